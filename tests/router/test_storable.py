import dataclasses

import numpy as np
import pytest

from lookalike_router.answer import Picture, ProductWrite
from lookalike_router.errors import WriteRefused
from lookalike_router.shard import DIM
from lookalike_router.storable import PICTURES_MAX, check
from tests.parts.shop import product, vectors

GOOD = product("p", list(vectors(2)), {"price_minor": 2490})


def changed(**fields: object) -> ProductWrite:
    return dataclasses.replace(GOOD, **fields)  # type: ignore[arg-type]


def shown(vector: np.ndarray[tuple[int], np.dtype[np.float32]]) -> tuple[Picture, ...]:
    return (Picture("x", vector, {}),)


def test_a_good_product_can_be_stored() -> None:
    check(GOOD)
    check(product("p", list(vectors(PICTURES_MAX)), {"attributes": {f"name {i}": i for i in range(500)}}))


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (changed(pictures=()), "0 pictures"),
        (product("p", list(vectors(PICTURES_MAX + 1))), "33 pictures"),
        (changed(pictures=(GOOD.pictures[0], GOOD.pictures[0])), "twice"),
        (changed(product_id=""), "empty"),
        (changed(product_id="é" * 300), "512 bytes"),
        (changed(model=""), "empty"),
        (changed(attributes={"price_minor": 2**62}), "range"),
        (changed(attributes={"attributes": {f"{i}": i for i in range(5000)}}), "too many attributes"),
        (changed(attributes={"url": "x" * 70_000}), "bytes of attributes"),
        (changed(pictures=shown(vectors(1)[0] * 2)), "unit length"),
        (changed(pictures=shown(vectors(1)[0][: DIM - 1])), "unit length"),
        (changed(pictures=shown(np.full(DIM, np.nan, dtype=np.float32))), "unit length"),
    ],
)
def test_what_no_shard_can_hold_is_refused_with_a_reason(write: ProductWrite, why: str) -> None:
    with pytest.raises(WriteRefused, match=why):
        check(write)
