"""Opens model archives: a zip file or a folder with manifest.json and the network. Knows no networks' insides."""

import hashlib
import zipfile
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar

from lookalike_server.errors import BadModel
from lookalike_server.models import manifest as manifests
from lookalike_server.models.detector import DETECTIONS_MAX, SCORE_MIN, Detector
from lookalike_server.models.embedder import Embedder
from lookalike_server.models.manifest import Kind, Manifest
from lookalike_server.models.session import Runtime, Session

BUNDLED = Path(__file__).parent / "bundled"
MANIFEST = "manifest.json"
# A manifest is a page of text.
MANIFEST_BYTES_MAX = 1 * 2**20
# Protobuf, in which ONNX is written, ends here.
NETWORK_BYTES_MAX = 2 * 2**30

Model = TypeVar("Model")
Archive: TypeAlias = zipfile.Path | Path


def load_detector(
    path: Path | None,
    runtime: Runtime,
    *,
    score_min: float = SCORE_MIN,
    detections_max: int = DETECTIONS_MAX,
) -> Detector:
    """Load the detector at `path`, or the bundled one; raise BadModel if it cannot be used."""
    make = partial(Detector, score_min=score_min, detections_max=detections_max)
    return load(path, Kind.DETECTOR, runtime, make)


def load_embedder(path: Path | None, runtime: Runtime) -> Embedder:
    """Load the embedder at `path`, or the bundled one; raise BadModel if it cannot be used."""
    return load(path, Kind.EMBEDDER, runtime, Embedder)


def load(path: Path | None, kind: Kind, runtime: Runtime, make: Callable[[Manifest, Session], Model]) -> Model:
    """Open an archive, prove that it is whole and of `kind`, and make a model of its network."""
    place = path or BUNDLED / f"{kind.value}.zip"
    try:
        with opened(place) as archive:
            manifest = manifests.parse(read(archive, MANIFEST, MANIFEST_BYTES_MAX))
            if manifest.kind is not kind:
                raise BadModel(f"it is a model of kind {manifest.kind.value!r}; give it as --{manifest.kind.value}")
            content = read(archive, manifest.file, NETWORK_BYTES_MAX)
        digest = hashlib.sha256(content).hexdigest()
        if digest != manifest.sha256:
            raise BadModel(f"{manifest.file} has SHA-256 {digest}, the manifest says {manifest.sha256}; fetch it again")
        return make(manifest, Session(content, manifest, runtime))
    except (BadModel, OSError, zipfile.BadZipFile) as error:
        raise BadModel(f"the {kind.value} {place} cannot be used: {error}") from error


def opened(place: Path) -> AbstractContextManager[Archive]:
    """Open a folder or a zip file."""
    if place.is_dir():
        return nullcontext(place)
    if not place.is_file():
        raise BadModel("there is no such file or folder")
    if not zipfile.is_zipfile(place):
        raise BadModel("it is no model archive; make one with `lookalike-server models export`")
    return ZipArchive(place)


class ZipArchive(AbstractContextManager[Archive]):
    """The root of a zip file, closed on exit."""

    def __init__(self, place: Path) -> None:
        self._file = zipfile.ZipFile(place)

    def __enter__(self) -> Archive:
        return zipfile.Path(self._file)

    def __exit__(self, *_: object) -> None:
        self._file.close()


def read(archive: Archive, name: str, bytes_max: int) -> bytes:
    """Return the bytes of one file of an archive."""
    file = archive / name
    if not file.is_file():
        raise BadModel(f"{name} is missing in it")
    try:
        with file.open("rb") as stream:
            content: bytes = stream.read(bytes_max + 1)
    # What zipfile raises for a member that is damaged, encrypted or packed in a way it does not know.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise BadModel(f"{name} in it cannot be read: {error}; fetch it again") from error
    if len(content) > bytes_max:
        raise BadModel(f"{name} has more than {bytes_max:,} bytes")
    return content
