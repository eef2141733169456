"""The commands of `lookalike-server models`: what there is, and how to make and mend archives. Knows no service."""

import argparse
import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lookalike_server.errors import BadModel, ServerError
from lookalike_server.models import manifest as manifests
from lookalike_server.models.load import BUNDLED, MANIFEST, MANIFEST_BYTES_MAX, load_embedder, opened, read
from lookalike_server.models.manifest import EmbedderFace, Manifest
from lookalike_server.models.session import Runtime

EXTRA = "needs pip install 'lookalike[models]'"


def run_models(argv: Sequence[str]) -> str:
    """Run one command and return what to print; raise ServerError where it cannot be done."""
    told = parser().parse_args(argv)
    try:
        return str(told.run(told))
    except OSError as error:
        raise ServerError(str(error)) from error


def parser() -> argparse.ArgumentParser:
    """Return what the commands take."""
    whole = argparse.ArgumentParser("lookalike-server models", description="Models: archives of a network each.")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="the bundled archives, and those in a folder")
    listing.add_argument("--dir", type=Path, default=Path("models"), help="where yours lie (default: models)")
    listing.add_argument("--json", action="store_true", help="print JSON, for programs")
    listing.set_defaults(run=list_models)
    add_export(commands.add_parser("export", help=f"make an archive of a YOLO or a ResNet; {EXTRA}"))
    pca = commands.add_parser("fit-pca", help=f"fit a ResNet's last layer to a catalogue's pictures; {EXTRA}")
    pca.add_argument("--embedder", metavar="NAME", required=True, help="a ResNet of torchvision (resnet50)")
    pca.add_argument("--catalog", type=Path, required=True, help="a feed as `lookalike import` takes it")
    pca.add_argument("--weights", help="a file with the ResNet's weights, in place of the downloaded ones")
    pca.add_argument("--random", action="store_true", help="random weights, without a download")
    pca.add_argument("--out", type=Path, required=True, help="the archive to write")
    pca.set_defaults(run=fit_pca)
    pulling = commands.add_parser("pull", help="download official weights, of a pinned SHA-256")
    pulling.add_argument("name", help="yolo26n, yolo11n, yolov8n, resnet18, resnet50 ...")
    pulling.add_argument("--out", type=Path, default=Path("models"), help="the folder (default: models)")
    pulling.set_defaults(run=pull_weights)
    match = commands.add_parser("calibrate", help="learn what an embedder's scores mean, from photos of known products")
    match.add_argument("--embedder", type=Path, default=BUNDLED / "embedder.zip", help="(default: the bundled one)")
    match.add_argument("--catalog", type=Path, required=True, help="a feed as `lookalike import` takes it")
    match.add_argument("--truth", type=Path, required=True, help="a ground truth as `lookalike eval` takes it")
    match.add_argument("--out", type=Path, required=True, help="the archive to write")
    match.set_defaults(run=calibrate)
    return whole


def add_export(exporting: argparse.ArgumentParser) -> None:
    """Add what `export` takes."""
    kind = exporting.add_mutually_exclusive_group(required=True)
    kind.add_argument("--detector", metavar="WEIGHTS", help="a YOLO: its name (yolo26n.pt), a .pt or an .onnx file")
    kind.add_argument("--embedder", metavar="NAME", help="a ResNet of torchvision (resnet50), or a trained checkpoint")
    exporting.add_argument("--weights", help="a file with the ResNet's weights, in place of the downloaded ones")
    exporting.add_argument("--random", action="store_true", help="random weights: to measure speed without a download")
    exporting.add_argument("--size-px", type=int, default=640, help="the detector's input (default: 640)")
    exporting.add_argument("--out", type=Path, default=Path(), help="the folder to write to (default: this one)")
    exporting.set_defaults(run=export)


def list_models(told: argparse.Namespace) -> str:
    """Return a table of the archives that there are; one that cannot be read is listed with the reason."""
    places = [*sorted(BUNDLED.glob("*.zip")), *(sorted(told.dir.glob("*.zip")) if told.dir.is_dir() else [])]
    rows = [described(place) for place in places]
    if told.json:
        return json.dumps({"models": rows}, ensure_ascii=False)
    return "\n\n".join(drawn(row) for row in rows)


def described(place: Path) -> dict[str, Any]:
    """Return what one archive says of itself."""
    facts: dict[str, Any] = {"path": str(place), "bundled": place.parent == BUNDLED, "bytes": place.stat().st_size}
    try:
        one = manifest_of(place)
    except (BadModel, OSError, zipfile.BadZipFile) as error:
        return facts | {"error": str(error)}
    calibrated = isinstance(one.face, EmbedderFace) and one.face.calibration is not None
    return facts | {
        "kind": one.kind.value,
        "id": one.id,
        "input_px": [one.input.fit.width, one.input.fit.height],
        "licence": one.licence,
        "trained_on": one.trained_on,
        "metrics": dict(one.metrics),
        "calibrated": calibrated,
    }


def manifest_of(place: Path) -> Manifest:
    """Return an archive's manifest."""
    with opened(place) as archive:
        return manifests.parse(read(archive, MANIFEST, MANIFEST_BYTES_MAX))


def drawn(row: dict[str, Any]) -> str:
    """Write one archive for people."""
    place = ("bundled " if row["bundled"] else "") + f"{row['path']}, {row['bytes'] / 1e6:.1f} MB"
    if "error" in row:
        return f"{place}\n  cannot be used: {row['error']}"
    metrics = ", ".join(f"{name} {value}" for name, value in row["metrics"].items()) or "none told"
    said = "says what its scores mean" if row["calibrated"] else "does not say what its scores mean"
    lines = [
        f"{row['kind']} {row['id']}",
        place + f", input {row['input_px'][0]} x {row['input_px'][1]} px",
        f"licence {row['licence']}; trained on {row['trained_on']}",
        f"metrics: {metrics}" + (f"; {said}" if row["kind"] == "embedder" else ""),
    ]
    return "\n  ".join(lines)


def export(told: argparse.Namespace) -> str:
    """Make an archive."""
    from lookalike_server.models.export import export_detector, export_embedder

    stem = Path(told.detector or told.embedder).stem + ("-random" if told.random else "")
    out: Path = told.out / f"{stem}.zip"
    told.out.mkdir(parents=True, exist_ok=True)
    if told.detector:
        weights = f"{Path(told.detector).stem}.yaml" if told.random else told.detector
        export_detector(weights, out, told.size_px)
    else:
        export_embedder(told.embedder, out, told.weights, told.random)
    return wrote(out, "detector" if told.detector else "embedder")


def fit_pca(told: argparse.Namespace) -> str:
    """Make an archive whose last layer fits a catalogue."""
    from lookalike_server.models import pca
    from lookalike_server.models.export import Facts, export_embedder, pooled_features
    from lookalike_server.models.shop import catalogue

    known = list(catalogue(told.catalog))
    features = pooled_features(told.embedder, (one.picture for one in known), told.weights, told.random)
    fitted = pca.fit(features, [one.product_id for one in known])
    recall = {f"held_out_recall_at_1_whitening_{power:g}": round(value, 4) for power, value in fitted.recall.items()}
    facts = Facts(name=f"{Path(told.embedder).stem}-pca", metrics=recall | {"whitening": fitted.whitening})
    export_embedder(told.embedder, told.out, told.weights, told.random, facts, fitted)
    tried = ", ".join(f"{power:g}: {value:.1%}" for power, value in fitted.recall.items())
    return f"whitening {fitted.whitening:g} (recall@1 on products held out, by whitening: {tried})\n" + wrote(
        told.out, "embedder"
    )


def pull_weights(told: argparse.Namespace) -> str:
    """Download weights."""
    from lookalike_server.models.pull import KNOWN, pull

    path = pull(told.name, told.out)
    weights = next(one for one in KNOWN.values() if one.file == path.name)
    return (
        f"{path}: SHA-256 as pinned; licence {weights.licence}\nnext: lookalike-server models export {weights.export}"
    )


def calibrate(told: argparse.Namespace) -> str:
    """Write an archive that says what its scores mean."""
    import numpy as np

    from lookalike_server.models import calibrate as calibrating
    from lookalike_server.models.shop import Known, catalogue, known_photos

    embedder = load_embedder(told.embedder, Runtime())

    def vectors(known: Sequence[Known]) -> "np.ndarray[Any, np.dtype[np.float32]]":
        return np.stack([embedder.run(embedder.prepare(one.picture, [one.box]))[0] for one in known])

    gallery, photos = list(catalogue(told.catalog)), list(known_photos(told.truth))
    if not gallery or not photos:
        raise BadModel("the catalogue or the ground truth is empty: there is nothing to learn from")
    pairs = calibrating.pairs_of(
        vectors(photos), [one.product_id for one in photos], vectors(gallery), [one.product_id for one in gallery]
    )
    fitted = calibrating.fit(pairs)
    calibrating.write(told.embedder, fitted, told.out)
    shares = asdict(calibrating.quality(fitted, pairs))
    return (
        f"{shares['queries']} photos: {shares['true_same']:.1%} of right products found are called the same, and "
        f"{shares['false_same']:.1%} of the best hits would be where the product is not there\n"
        + wrote(told.out, "embedder")
    )


def wrote(out: Path, kind: str) -> str:
    """Say what to do with a new archive."""
    return f"wrote {out}; use it with: lookalike-server serve --{kind} {out}"
