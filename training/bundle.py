"""Writes the two archives that ship with the server from the checkpoints of a training run.

Knows names, versions and licences; how a model is exported is lookalike_server.models.export's.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch

from lookalike_server.models.export import Facts, export_detector, export_embedder
from training.arguments import existing_path

# Of 256 and 288 px the better on the validation composites; learned from at the same size.
SERVED_PX = 256
# Added to the detector's log-odds, so that what scored 0.12 scores 0.25, from which servers believe a box: on the
# validation composites 0.1 finds 94 % of the products, 0.15 finds 92 % and 0.25 finds 89 %.
LOG_ODDS_SHIFT = 0.894
SOURCES = (
    "From random initialisation: goods rendered and drawn by this project (renders/, none in the sample shop), "
    "GroceryStoreDataset (MIT, Marcus Klasson) and clothing-dataset (CC0, Alexey Grigorev); the embedder also followed "
    "which photos a MobileNetV2 (Apache-2.0, Google) finds alike; see training/CARD.md"
)


def shifted(checkpoint: Path, out: Path) -> Path:
    """Write the detector with its scores raised by LOG_ODDS_SHIFT as `out`."""
    state: dict[str, Any] = torch.load(checkpoint, weights_only=False)
    with torch.no_grad():
        for branch in state["model"].model[-1].one2one_cv3:
            branch[-1].bias += LOG_ODDS_SHIFT
    torch.save(state, out)
    return out


def main() -> None:
    """Export what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for detector.zip and embedder.zip")
    parser.add_argument("--detector", type=existing_path, help="detector.pt of training/detector.py")
    parser.add_argument("--embedder", type=existing_path, help="embedder.pt of training/embedder.py")
    parser.add_argument("--version", default="0.7.0")
    args = parser.parse_args()
    shared = {"version": args.version, "licence": "Apache-2.0", "trained_on": SOURCES}
    if args.detector:
        facts = Facts(name="lookalike-detector", half_weights=True, **shared)
        with tempfile.TemporaryDirectory() as folder:
            weights = shifted(args.detector, Path(folder) / "detector.pt")
            print(export_detector(str(weights), args.out / "detector.zip", SERVED_PX, facts))
    if args.embedder:
        facts = Facts(name="lookalike-embedder", half_weights=True, **shared)
        print(export_embedder(str(args.embedder), args.out / "embedder.zip", facts=facts))


if __name__ == "__main__":
    main()
