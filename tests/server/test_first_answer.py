from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike_server.first_answer import delete_digest, given_again, upsert_digest, written
from lookalike_server.product import NewPicture, NewProduct, Outcome, StoredPicture, StoredProduct, Upserted
from lookalike_server.regions import WHOLE_BOX, Box

PICTURE = NewPicture("front", b"bytes", "a" * 64, "front.jpg", None, 0)
PRODUCT = NewProduct("mug", {"title": "Mug", "attributes": {"size": 4, "hue": "red"}}, (PICTURE,))


def changed(**changes: object) -> NewProduct:
    return replace(PRODUCT, pictures=(replace(PICTURE, **changes),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [
        replace(PRODUCT, product_id="cup"),
        replace(PRODUCT, attributes={"title": "Mug"}),
        replace(PRODUCT, pictures=(PICTURE, replace(PICTURE, image_id="back", position=1))),
        changed(image_id="back"),
        changed(sha256="b" * 64),
        changed(uri="back.jpg"),
        changed(box=WHOLE_BOX),
        changed(box=Box(0, 0, 0.5, 1)),
        changed(position=1),
    ],
)
def test_another_payload_has_another_digest(other: NewProduct) -> None:
    assert upsert_digest(other) != upsert_digest(PRODUCT)


def test_the_same_payload_has_the_same_digest_whoever_asks_and_when() -> None:
    turned = dict(reversed(list(PRODUCT.attributes.items()))) | {"attributes": {"hue": "red", "size": 4}}
    assert upsert_digest(replace(PRODUCT, attributes=turned)) == upsert_digest(PRODUCT)
    assert upsert_digest(changed(content=None)) == upsert_digest(PRODUCT)
    # Golden: a server that is updated still knows what an older one answered within the hour.
    assert upsert_digest(PRODUCT) == "0126e9662fb940cdff66b0e5b63addb3e1c1e873af418352a0106b21714a869e"


def test_a_delete_is_no_upsert() -> None:
    assert delete_digest("mug") != delete_digest("cup")
    assert delete_digest("mug") != upsert_digest(replace(PRODUCT, attributes={}, pictures=()))


sides = st.floats(0, 1, width=32)
boxes = st.builds(lambda left, top: Box(left * 0.5, top * 0.5, 1, 1), sides, sides)


@given(
    outcome=st.sampled_from(Outcome),
    asked=st.lists(st.none() | boxes, min_size=1, max_size=4),
    chosen=boxes,
    embedded=st.integers(0, 32),
)
def test_an_answer_given_again_is_the_first_answer(
    outcome: Outcome, asked: list[Box | None], chosen: Box, embedded: int
) -> None:
    product = replace(PRODUCT, pictures=tuple(replace(PICTURE, box=box, position=i) for i, box in enumerate(asked)))
    stored = [
        StoredPicture(one.image_id, one.uri, one.sha256, one.box or chosen, one.box is not None, one.position)
        for one in product.pictures
    ]
    first = Upserted(StoredProduct("mug", PRODUCT.attributes, tuple(stored)), outcome, embedded, 1)
    again = given_again(product, written(first))
    assert replace(again, product=first.product) == first
    assert again.product.attributes == first.product.attributes
    assert [one.facts() for one in again.product.pictures] == [one.facts() for one in stored]
