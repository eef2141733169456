import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookalike_router.shard import Stored
from lookalike_server.catalog import PAGE_BYTES_MAX, Catalog, chosen_box, fitting
from lookalike_server.deadline import Deadline
from lookalike_server.errors import BadField, BadImage, NotThere, TooLate
from lookalike_server.product import NewPicture, NewProduct, Outcome
from lookalike_server.regions import WHOLE_BOX, Box, Detection
from lookalike_server.vision import Vision
from tests.parts.service import memory_shards, opened
from tests.server.photos import encoded, jpeg, plain
from tests.server.tiny import tiny_detector, tiny_embedder

LEFT_HALF = (0, 0, 16, 32, 3.0, 0)
RED, BLUE = jpeg(plain((255, 0, 0))), jpeg(plain((0, 0, 255)))
LEFT = Box(0, 0, 0.5, 1)


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    vision = Vision(tiny_detector(tmp_path, [LEFT_HALF]), tiny_embedder(tmp_path))
    router = await opened(tmp_path, memory_shards("a/1", "b/1"))
    yield Catalog(vision, router)
    await router.close()
    await vision.close()


def soon() -> Deadline:
    return Deadline.after(30)


def new(*pictures: NewPicture, title: str = "Mug") -> NewProduct:
    return NewProduct("mug", {"title": title}, tuple(replace(one, position=i) for i, one in enumerate(pictures)))


def picture(content: bytes | None, *, image_id: str = "", sha256: str = "", box: Box | None = None) -> NewPicture:
    return NewPicture(image_id, content, sha256, "", box, 0)


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def counts(catalog: Catalog, product: NewProduct) -> tuple[Outcome, int, int]:
    done = await catalog.upsert(product, soon())
    return done.outcome, done.images_embedded, done.images_reused


async def test_the_same_product_again_is_unchanged_and_nothing_is_embedded(catalog: Catalog) -> None:
    product = new(picture(RED), picture(BLUE))
    assert await counts(catalog, product) == (Outcome.CREATED, 2, 0)
    before = await catalog.get("mug", soon())
    assert await counts(catalog, product) == (Outcome.UNCHANGED, 0, 2)
    after = await catalog.get("mug", soon())
    assert [one.facts() for one in before.pictures] == [one.facts() for one in after.pictures]


async def test_known_bytes_need_not_be_sent_again(catalog: Catalog) -> None:
    await catalog.upsert(new(picture(RED)), soon())
    product = new(picture(None, sha256=sha(RED)), picture(BLUE), title="Blue and red")
    assert await counts(catalog, product) == (Outcome.UPDATED, 1, 1)


async def test_bytes_that_the_product_does_not_have_must_be_sent(catalog: Catalog) -> None:
    await catalog.upsert(new(picture(RED)), soon())
    for unknown in (picture(None, sha256=sha(BLUE)), picture(None, sha256=sha(RED), box=LEFT)):
        with pytest.raises(BadField, match=r"product\.images\[1\]\.content"):
            await catalog.upsert(new(picture(RED), unknown), soon())


async def test_another_part_of_known_bytes_is_embedded_anew(catalog: Catalog) -> None:
    await catalog.upsert(new(picture(RED)), soon())
    assert await counts(catalog, new(picture(RED, box=Box(0, 0, 1, 0.5)))) == (Outcome.UPDATED, 1, 0)
    assert await counts(catalog, new(picture(RED, box=Box(0, 0, 1, 0.5)))) == (Outcome.UNCHANGED, 0, 1)


async def test_a_choice_of_ours_and_the_same_box_asked_for_are_two_things(catalog: Catalog) -> None:
    chosen = (await catalog.upsert(new(picture(RED)), soon())).product.pictures[0].box
    assert chosen == LEFT
    assert await counts(catalog, new(picture(RED, box=chosen))) == (Outcome.UPDATED, 1, 0)


async def test_pictures_left_out_are_gone_and_order_is_kept(catalog: Catalog) -> None:
    await catalog.upsert(new(picture(RED), picture(BLUE)), soon())
    assert await counts(catalog, new(picture(BLUE), picture(RED))) == (Outcome.UPDATED, 0, 2)
    assert [one.sha256 for one in (await catalog.get("mug", soon())).pictures] == [sha(BLUE), sha(RED)]
    assert await counts(catalog, new(picture(BLUE))) == (Outcome.UPDATED, 0, 1)
    assert [one.sha256 for one in (await catalog.get("mug", soon())).pictures] == [sha(BLUE)]


async def test_the_same_picture_twice_is_one(catalog: Catalog) -> None:
    done = await catalog.upsert(new(picture(RED), picture(RED), picture(RED, box=LEFT)), soon())
    assert (done.images_embedded, len(done.product.pictures)) == (2, 2)
    assert done.product.pictures[0].image_id == sha(RED)[:32]
    assert done.product.pictures[1].image_id.startswith(sha(RED)[:32] + "-")


async def test_one_bad_picture_refuses_the_product_by_its_place(catalog: Catalog) -> None:
    with pytest.raises(BadImage, match=r"product\.images\[1\]: "):
        await catalog.upsert(new(picture(RED), picture(b"text"), picture(BLUE)), soon())
    with pytest.raises(NotThere):
        await catalog.get("mug", soon())


async def test_a_wrong_hash_is_refused(catalog: Catalog) -> None:
    with pytest.raises(BadField, match="content_sha256"):
        await catalog.upsert(new(picture(RED, sha256=sha(BLUE))), soon())


async def test_writers_of_one_product_take_turns(catalog: Catalog) -> None:
    products = [new(picture(encoded(plain((255, n, 0)), "PNG")), title=str(n)) for n in range(20)]
    done = await asyncio.gather(*(catalog.upsert(product, soon()) for product in products))
    assert [one.outcome for one in done] == [Outcome.CREATED] + [Outcome.UPDATED] * 19
    assert (await catalog.get("mug", soon())).attributes["title"] == "19"


async def test_a_writer_that_gives_up_lets_the_next_one_in(catalog: Catalog) -> None:
    first = asyncio.create_task(catalog.upsert(new(picture(RED)), soon()))
    second = asyncio.create_task(catalog.upsert(new(picture(BLUE)), soon()))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).outcome is Outcome.CREATED
    assert first.cancelled() or first.cancelling()


async def test_nothing_is_stored_after_the_deadline(catalog: Catalog) -> None:
    with pytest.raises(TooLate):
        await catalog.upsert(new(picture(RED)), Deadline.after(-1))
    with pytest.raises(NotThere):
        await catalog.get("mug", soon())


@pytest.mark.parametrize(
    ("detections", "box"),
    [
        ([], WHOLE_BOX),
        ([Detection(LEFT, 0.89, "x")], WHOLE_BOX),
        ([Detection(LEFT, 0.91, "x"), Detection(WHOLE_BOX, 0.5, "x")], LEFT),
        ([Detection(Box(0, 0, 0.2, 0.2), 0.99, "x")], WHOLE_BOX),
    ],
    ids=["nothing seen", "not sure", "sure", "a detail"],
)
def test_the_product_is_cut_out_only_where_it_surely_is(detections: list[Detection], box: Box) -> None:
    assert chosen_box(detections) == box


def test_a_page_stays_below_what_clients_take() -> None:
    rows = [[Stored(f"p{n}", "i", 0, 1, "m", {"attributes": {"x": "y" * 100_000}}, {})] for n in range(50)]
    assert fitting(rows) == PAGE_BYTES_MAX // 100_000
    assert fitting(rows[:1]) == 1
    assert fitting([]) == 0
    assert np.all([fitting(rows[:n]) == n for n in range(10)])
