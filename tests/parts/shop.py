"""Makes small shops for tests: unit vectors, rows and products."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lookalike_router.answer import Picture, ProductWrite
from lookalike_router.filter import Json
from lookalike_router.shard import DIM, Row
from lookalike_router.slots import slot_of

MODEL = "test@1"


def vectors(count: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return `count` random unit vectors (count, 256)."""
    drawn = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    normal: npt.NDArray[np.float32] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return normal


def row(
    product_id: str,
    image_id: str = "front",
    vector: npt.NDArray[np.float32] | None = None,
    attributes: Mapping[str, Json] | None = None,
    version: int = 1,
) -> Row:
    """Return a row; without a vector a random one that its ids choose."""
    drawn = vectors(1, seed=slot_of(product_id + image_id))[0] if vector is None else vector
    facts = {"uri": f"{image_id}.jpg"}
    return Row(product_id, image_id, slot_of(product_id), version, MODEL, attributes or {}, facts, drawn)


def product(
    product_id: str, pictures: Sequence[npt.NDArray[np.float32]], attributes: Mapping[str, Json] | None = None
) -> ProductWrite:
    """Return a product with these vectors for pictures."""
    named = tuple(Picture(f"picture {i}", vector, {"uri": f"{i}.jpg"}) for i, vector in enumerate(pictures))
    return ProductWrite(product_id, MODEL, attributes or {}, named)


def products(count: int, pictures: int = 2, seed: int = 0) -> list[ProductWrite]:
    """Return `count` products with random pictures."""
    drawn = vectors(count * pictures, seed).reshape(count, pictures, DIM)
    return [product(f"product {i}", list(drawn[i]), {"title": f"Title {i}"}) for i in range(count)]
