"""Downloads official weights by name, and keeps only what has the SHA-256 that is written here.

Knows no networks' insides. A .pt file is a pickle: what it holds runs when it is opened, so the digest is checked
before anybody does.
"""

import hashlib
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lookalike_server.errors import ServerError

YOLO = "https://github.com/ultralytics/assets/releases/download/v8.4.0/"
RESNET = "https://download.pytorch.org/models/"
AGPL = "AGPL-3.0 (ultralytics)"
BSD = "BSD-3-Clause (torchvision), trained on ImageNet, whose terms are for research"
# The largest of these has 100 MB: more is not what was asked for.
BYTES_MAX = 512 * 2**20
CHUNK = 1 << 20
SILENCE_S = 30.0


class PullError(ServerError):
    """Weights cannot be had; the message says what to do."""


@dataclass(frozen=True)
class Weights:
    """One file of weights: where it is, and what it must be."""

    url: str
    sha256: str
    licence: str
    export: str
    """How `models export` takes the file."""

    @property
    def file(self) -> str:
        """The file's name."""
        return self.url.rsplit("/", 1)[-1]


def yolo(file: str, sha256: str) -> Weights:
    """Return weights of a YOLO that ultralytics publishes."""
    return Weights(YOLO + file, sha256, AGPL, f"--detector {file}")


def resnet(name: str, file: str, sha256: str) -> Weights:
    """Return weights of a ResNet that torchvision publishes."""
    return Weights(RESNET + file, sha256, BSD, f"--embedder {name} --weights {file}")


KNOWN: Mapping[str, Weights] = {
    "yolo26n": yolo("yolo26n.pt", "9b09cc8bf347f0fc8a5f7657480587f25db09b34bf33b0652110fb03a8ad4fef"),
    "yolo26s": yolo("yolo26s.pt", "646f8bc3fe0a656803d95c294f7852321748cb29d13466a1af8862e2db384a1b"),
    "yolo11n": yolo("yolo11n.pt", "0ebbc80d4a7680d14987a577cd21342b65ecfd94632bd9a8da63ae6417644ee1"),
    "yolo11s": yolo("yolo11s.pt", "85a76fe86dd8afe384648546b56a7a78580c7cb7b404fc595f97969322d502d5"),
    "yolov8n": yolo("yolov8n.pt", "f59b3d833e2ff32e194b5bb8e08d211dc7c5bdf144b90d2c8412c47ccfc83b36"),
    "resnet18": resnet(
        "resnet18", "resnet18-f37072fd.pth", "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec"
    ),
    "resnet34": resnet(
        "resnet34", "resnet34-b627a593.pth", "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f"
    ),
    "resnet50": resnet(
        "resnet50", "resnet50-11ad3fa6.pth", "11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca"
    ),
}


def pull(name: str, folder: Path, known: Mapping[str, Weights] = KNOWN) -> Path:
    """Return the file of the weights called `name`, downloaded into `folder` unless it is there already."""
    weights = known.get(name.removesuffix(".pt"))
    if weights is None:
        raise PullError(f"there are no weights called {name}; there are {', '.join(known)}")
    path = folder / weights.file
    if path.is_file() and digest_of(path) == weights.sha256:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        download(weights.url, part)
        found = digest_of(part)
        if found != weights.sha256:
            raise PullError(
                f"{weights.url} has SHA-256 {found}, not {weights.sha256}: it is another file than was promised, and "
                "was not kept"
            )
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def download(url: str, path: Path) -> None:
    """Write what is at `url` to `path`."""
    try:
        with urllib.request.urlopen(url, timeout=SILENCE_S) as answer, path.open("wb") as file:
            taken = 0
            while chunk := answer.read(CHUNK):
                taken += len(chunk)
                if taken > BYTES_MAX:
                    raise PullError(f"{url} has more than {BYTES_MAX:,} bytes")
                file.write(chunk)
    # A network may refuse in many ways: URLError and HTTPError are OSErrors, as are resets and timeouts.
    except OSError as error:
        raise PullError(
            f"{url} could not be downloaded ({error}); download it where the network allows, put the file into "
            f"{path.parent} as {path.name.removesuffix('.part')}, and run this again: it is then only checked"
        ) from error


def digest_of(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
