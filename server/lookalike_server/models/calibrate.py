"""Learns what an embedder's cosines mean, and writes it into the embedder's archive.

From queries whose right product is known, asked of a gallery as a shop would be: the best hits are the pairs to learn
from, for those are what a shop shows. Knows no pictures and no networks.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lookalike_server.errors import BadModel
from lookalike_server.models import manifest as manifests
from lookalike_server.models.load import MANIFEST, MANIFEST_BYTES_MAX, NETWORK_BYTES_MAX, opened, read
from lookalike_server.models.match import Calibration
from lookalike_server.models.pack import pack

Floats = npt.NDArray[np.float64]

# Hits of each query that are learned from: a page of them.
HITS = 10
# Fewer right and wrong pairs than this say nothing of the tails, which the words are about.
PAIRS_MIN = 20
# Of photos whose product is not in the shop, so many may have a best hit that is called the same, or similar.
FALSE_SAME_MAX, FALSE_SIMILAR_MAX = 0.02, 0.2
# Of right products that are found, so many may be called no match.
LOST_MAX = 0.05
# A word for "very likely" is never given to what is less likely than not.
SAME_LEAST = 0.5
NEWTON_STEPS, RIDGE = 50, 1e-3


@dataclass(frozen=True, eq=False)
class Pairs:
    """Cosines of queries with products they found, and those of the best wrong one of each query.

    The best wrong one is what a shop without the product would answer.
    """

    cosines: Floats  # (n,)
    same: npt.NDArray[np.bool_]  # (n,)
    best_wrong: Floats  # (queries,)


@dataclass(frozen=True)
class Quality:
    """What a calibration does on the pairs that are given; shares, 0 to 1."""

    queries: int
    false_same: float
    """Of queries without their product, those whose best hit is called the same."""
    true_same: float
    """Of right products found, those called the same."""


def pairs_of(
    queries: npt.NDArray[np.float32], wanted: Sequence[str], gallery: npt.NDArray[np.float32], owners: Sequence[str]
) -> Pairs:
    """Return the best hits of unit vectors (n, 256) among (m, 256), of which each product counts once."""
    names = sorted(set(owners))
    place = {name: at for at, name in enumerate(names)}
    of = np.array([place[owner] for owner in owners])
    cosines, same, best_wrong = [], [], []
    for query, name in zip(queries, wanted, strict=True):
        scores = np.full(len(names), -1.0)
        np.maximum.at(scores, of, (gallery @ query).astype(np.float64))
        order = np.argsort(-scores)[:HITS]
        cosines += scores[order].tolist()
        same += [names[at] == name for at in order]
        best_wrong.append(max((scores[at] for at in order if names[at] != name), default=-1.0))
    return Pairs(np.array(cosines), np.array(same, bool), np.array(best_wrong))


def joined(parts: Sequence[Pairs]) -> Pairs:
    """Return the pairs of several sets together."""
    return Pairs(
        np.concatenate([one.cosines for one in parts]),
        np.concatenate([one.same for one in parts]),
        np.concatenate([one.best_wrong for one in parts]),
    )


def fit(pairs: Pairs) -> Calibration:
    """Learn what cosines mean; raise BadModel where there is too little to learn from."""
    right, wrong = int(pairs.same.sum()), int((~pairs.same).sum())
    if min(right, wrong) < PAIRS_MIN:
        raise BadModel(
            f"of the pairs found {right} are right and {wrong} wrong: {PAIRS_MIN} of each are needed; "
            "give more photos whose product is in the catalogue"
        )
    slope, offset = logistic(pairs.cosines, pairs.same)
    if slope <= 0:
        raise BadModel("right pairs are no more alike than wrong ones: this embedder tells nothing apart here")

    def likely(cosine: float) -> float:
        return float(np.clip(1 / (1 + np.exp(-(slope * cosine + offset))), 1e-9, 1.0))

    # Just above the quantile, so that the share is kept on the very pairs given.
    same = max(SAME_LEAST, likely(np.quantile(pairs.best_wrong, 1 - FALSE_SAME_MAX, method="higher") + 1e-6))
    similar = min(same, likely(np.quantile(pairs.best_wrong, 1 - FALSE_SIMILAR_MAX)))
    weak = min(similar, likely(np.quantile(pairs.cosines[pairs.same], LOST_MAX)))
    return Calibration(slope, offset, same, similar, weak)


def logistic(cosines: Floats, same: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return slope and offset of the log-odds, by Newton's method with a little ridge on the slope."""
    mean, spread = float(cosines.mean()), float(cosines.std()) or 1.0
    x = np.stack([(cosines - mean) / spread, np.ones_like(cosines)], axis=1)
    weights = np.zeros(2)
    for _ in range(NEWTON_STEPS):
        likely = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (likely - same) + RIDGE * weights * (1, 0)
        curve = (x * (likely * (1 - likely))[:, None]).T @ x + np.diag([RIDGE, 1e-9])
        step = np.linalg.solve(curve, gradient)
        weights -= step
        if np.abs(step).max() < 1e-9:
            break
    slope = float(weights[0]) / spread
    return slope, float(weights[1]) - slope * mean


def quality(one: Calibration, pairs: Pairs) -> Quality:
    """Return what a calibration does on pairs; those it was not learned from tell more."""
    likely = np.array([one.probability(cosine) for cosine in pairs.cosines])
    wrong = np.array([one.probability(cosine) for cosine in pairs.best_wrong])
    return Quality(
        queries=len(wrong),
        false_same=float((wrong >= one.same_min).mean()),
        true_same=float((likely[pairs.same] >= one.same_min).mean()) if pairs.same.any() else 0.0,
    )


def write(archive: Path, one: Calibration, out: Path) -> None:
    """Write the embedder's `archive` as the zip file `out`, with what its cosines mean; the network stays as it is."""
    with opened(archive) as place:
        raw = json.loads(read(place, MANIFEST, MANIFEST_BYTES_MAX))
        network = read(place, raw["file"], NETWORK_BYTES_MAX)
    raw["match"] = {name: round(value, 6) for name, value in asdict(one).items()}
    if manifests.parse(json.dumps(raw)).kind is not manifests.Kind.EMBEDDER:
        raise BadModel(f"{archive} is a detector: only an embedder has cosines")
    pack(out, raw, network)
