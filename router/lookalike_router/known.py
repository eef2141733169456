"""Vectors whose answers are known, by which a shard proves at join that it searches as we mean. Knows no Milvus."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lookalike_router.shard import DIM, Candidate, Row

# Products and pictures of the known rows, and each vector as its first two numbers. One is not of unit length, so
# that a server which normalises (or measures angles) is told from one that multiplies.
KNOWN = {("known 1", "long"): (2.0, 0.0), ("known 1", "same"): (1.0, 0.0), ("known 2", "near"): (0.6, 0.8)}
KNOWN_FAR = {("known 3", "opposite"): (-1.0, 0.0)}
TOLERANCE = 1e-4


def known_rows() -> list[Row]:
    """Return the rows to store."""
    return [
        Row(product_id, image_id, -1, 1, "known", {}, {}, _vector(*start))
        for (product_id, image_id), start in (KNOWN | KNOWN_FAR).items()
    ]


def known_queries() -> npt.NDArray[np.float32]:
    """Return the queries (2, 256) to ask."""
    return np.stack([_vector(1.0, 0.0), _vector(0.0, 1.0)])


def check_scores(lists: Sequence[Sequence[Candidate]]) -> str:
    """Return what is wrong with a shard's answers to the known queries, empty if nothing is."""
    rows = {(row.product_id, row.image_id): row.vector for row in known_rows()}
    for query, found in zip(known_queries(), lists, strict=True):
        scores = {(hit.product_id, hit.image_id): hit.score for hit in found}
        if set(scores) != set(rows):
            return f"finds {len(scores)} of {len(rows)} known vectors; it may have lost rows"
        if any(abs(scores[key] - float(vector @ query)) > TOLERANCE for key, vector in rows.items()):
            return "does not score by inner product; make the collection anew with metric IP"
        if sorted(scores.values(), reverse=True) != [hit.score for hit in found]:
            return "does not answer best first"
    return ""


def check_groups(found: Sequence[Candidate]) -> bool:
    """Say whether an answer to the first known query that was asked to be grouped by product is."""
    products = [hit.product_id for hit in found]
    return len(products) == len(set(products)) == 3


def _vector(first: float, second: float) -> npt.NDArray[np.float32]:
    vector = np.zeros(DIM, dtype=np.float32)
    vector[:2] = first, second
    return vector
