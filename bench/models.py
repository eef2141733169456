"""Measures one pass of each network: through the server's own path, beside a bare onnxruntime session.

    python bench/models.py [ARCHIVE ...] [--json]

Without archives, the bundled pair. A detector that takes any size is also asked at 320 px. Inputs are ready tensors of
random pixels, one picture at a time, all cores; rounds are interleaved, a ratio is the median of the rounds' ratios.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).parent.parent))

from lookalike_server.errors import BadModel
from lookalike_server.image import Picture
from lookalike_server.models import manifest as manifests
from lookalike_server.models.load import (
    BUNDLED,
    MANIFEST,
    MANIFEST_BYTES_MAX,
    NETWORK_BYTES_MAX,
    load_detector,
    load_embedder,
    opened,
    read,
)
from lookalike_server.models.manifest import Kind, Manifest
from lookalike_server.models.session import Runtime

ROUNDS, PASSES = 21, 10
DETECTOR_PX = 320


@dataclass(frozen=True)
class Rivals:
    """Two ways to the same output of one network."""

    name: str
    ours: Callable[[], object]
    bare: Callable[[], object]


def rivals_of(archive: Path) -> list[Rivals]:
    """Return what is measured of one archive."""
    with opened(archive) as files:
        manifest = manifests.parse(read(files, MANIFEST, MANIFEST_BYTES_MAX))
        content = read(files, manifest.file, NETWORK_BYTES_MAX)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    name = f"{manifest.id}, {len(content) / 1e6:.1f} MB"
    sizes = [manifest.input.shape[2]]
    if manifest.kind is Kind.DETECTOR and not isinstance(session.get_inputs()[0].shape[2], int):
        sizes.append(DETECTOR_PX)
    return [one_of(f"{name}, {side} px", archive, manifest, session, side) for side in dict.fromkeys(sizes)]


def one_of(name: str, archive: Path, manifest: Manifest, session: onnxruntime.InferenceSession, side: int) -> Rivals:
    """Return one network at one size of its input."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    fit = replace(manifest.input.fit, width=side, height=side)
    tensor, _ = Picture.of(pixels).tensor(fit)
    if manifest.kind is Kind.DETECTOR:
        detector = load_detector(archive, Runtime())
        prepared = replace(detector.prepare(Picture.of(pixels)), tensor=tensor)
        ours: Callable[[], object] = partial(detector.run, [prepared])
    else:
        embedder = load_embedder(archive, Runtime())
        ours = partial(embedder.run, [tensor])
    return Rivals(name, ours, partial(session.run, [manifest.output], {manifest.input.name: tensor[None]}))


def measured(rivals: Rivals) -> dict[str, float]:
    """Return milliseconds of a pass either way, and the ratio."""
    ours_ms: list[float] = []
    bare_ms: list[float] = []
    for number in range(ROUNDS + 1):
        for call, told in ((rivals.ours, ours_ms), (rivals.bare, bare_ms)):
            begun = time.perf_counter()
            for _ in range(PASSES):
                call()
            if number:  # the first round warms up
                told.append((time.perf_counter() - begun) * 1000 / PASSES)
    ratio = median(a / b for a, b in zip(ours_ms, bare_ms, strict=True))
    return {"ours_ms": round(median(ours_ms), 2), "bare_ms": round(median(bare_ms), 2), "ratio": round(ratio, 3)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archives", type=Path, nargs="*")
    parser.add_argument("--json", action="store_true", help="end with one JSON line")
    told = parser.parse_args()
    archives = told.archives or [BUNDLED / f"{kind.value}.zip" for kind in Kind]
    asked: list[Rivals] = []
    for archive in archives:
        try:
            asked += rivals_of(archive)
        except BadModel as error:
            parser.error(f"{archive}: {error}")
    figures = {}
    for rivals in asked:
        figures[rivals.name] = found = measured(rivals)
        print(
            f"{rivals.name:<50} {found['ours_ms']:>7.2f} ms, bare {found['bare_ms']:>7.2f} ms, {found['ratio']:.2f} x"
        )
    if told.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
