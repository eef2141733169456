"""The services over real gRPC, with tiny models and shards in memory: what each call does when all is well."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from PIL import Image

from lookalike.v1 import admin_pb2, catalog_pb2, search_pb2
from tests.parts.service import BLUE, CALL_S, GREEN, PURPLE, RED, Shop, open_shop, product
from tests.server.photos import encoded, jpeg, plain

# What the tiny embedder makes of two colours is far above 0 where grey fills a letterbox.
MATCH = {"slope": 20.0, "offset": -10.0, "same_min": 0.9, "similar_min": 0.5, "weak_min": 0.1}
R = search_pb2.Region
H = search_pb2.Hit
C = catalog_pb2.UpsertProductResponse
WHOLE = search_pb2.WholeImage()


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path) as running:
        yield running


def halves(left: tuple[int, int, int], right: tuple[int, int, int]) -> bytes:
    """Return a photo of two colours; lossless, so that colours are exact."""
    photo = plain(left, 64, 64)
    photo.paste(plain(right, 32, 64), (32, 0))
    return encoded(photo, "PNG")


async def search(shop: Shop, **request: object) -> search_pb2.SearchResponse:
    return await shop.search.Search(search_pb2.SearchRequest(**request), timeout=CALL_S)  # type: ignore[arg-type]


def ids(response: search_pb2.SearchResponse) -> list[str]:
    return [hit.product.product_id for hit in response.hits]


def sides(box: catalog_pb2.Box) -> list[float]:
    return [round(side, 3) for side in (box.left, box.top, box.right, box.bottom)]


async def test_a_detected_product_is_found_though_it_fills_half_of_the_photo(shop: Shop) -> None:
    await shop.put(product("red", RED, title="Red mug"), product("green", GREEN))
    found = await search(shop, image=halves(RED, BLUE))
    assert ids(found)[0] == "red"
    assert found.hits[0].score == pytest.approx(1.0, abs=1e-3)
    assert found.hits[0].product.title == "Red mug"
    assert (found.searched.source, sides(found.searched.box)) == (R.SOURCE_DETECTION, [0, 0, 0.5, 1])
    assert [sides(one.box) for one in found.detections] == [[0, 0, 0.5, 1], [0.5, 0, 1, 1]]


async def test_the_surest_detection_is_not_the_best_match_when_another_is(shop: Shop) -> None:
    await shop.put(product("blue", BLUE))
    found = await search(shop, image=halves(RED, BLUE))
    assert sides(found.searched.box) == [0.5, 0, 1, 1]


async def test_the_whole_photo_wins_where_it_matches_better(shop: Shop) -> None:
    await shop.put(product("purple", PURPLE))
    found = await search(shop, image=halves(RED, BLUE))
    assert found.searched.source == R.SOURCE_WHOLE_IMAGE_MATCHED_BETTER
    assert len(found.detections) == 2


async def test_nothing_detected_is_no_error(shop: Shop) -> None:
    await shop.put(product("red", RED))
    found = await search(shop, image=jpeg(plain((20, 0, 0))))
    assert (found.searched.source, sides(found.searched.box)) == (R.SOURCE_NOTHING_DETECTED, [0, 0, 1, 1])
    assert ids(found) == ["red"]
    assert not found.detections


async def test_nothing_in_the_shop_is_no_error(shop: Shop) -> None:
    found = await search(shop, image=halves(RED, BLUE))
    assert not found.hits
    assert found.searched.source == R.SOURCE_DETECTION
    assert found.coverage.slots_fraction == 1


async def test_a_hit_says_what_its_score_means(tmp_path: Path) -> None:
    async with open_shop(tmp_path, match=MATCH) as shop:
        await shop.put(product("red", RED), product("purple", PURPLE), product("green", GREEN))
        found = await search(shop, image=halves(RED, RED), whole_image=WHOLE)
        words = [(hit.product.product_id, hit.match) for hit in found.hits]
        assert words == [("red", H.MATCH_SAME), ("purple", H.MATCH_SAME), ("green", H.MATCH_NONE)]
        assert found.hits[0].same_probability > 0.99 > 0.02 > found.hits[2].same_probability
        assert not found.nothing_alike
        second_page = await search(shop, image=halves(RED, RED), whole_image=WHOLE, offset=2)
        assert [hit.match for hit in second_page.hits] == [H.MATCH_NONE]
        assert not second_page.nothing_alike


async def test_a_shop_that_has_nothing_alike_says_so_and_shows_what_it_has(tmp_path: Path) -> None:
    async with open_shop(tmp_path, match=MATCH) as shop:
        assert (await search(shop, image=halves(RED, RED), whole_image=WHOLE)).nothing_alike
        await shop.put(product("green", GREEN))
        found = await search(shop, image=halves(RED, RED), whole_image=WHOLE)
        assert (ids(found), found.nothing_alike) == (["green"], True)
        found = await search(shop, image=halves(RED, RED), whole_image=WHOLE, match_min=H.MATCH_WEAK)
        assert (ids(found), found.nothing_alike) == ([], True)


async def test_what_is_less_alike_than_asked_for_is_left_out(tmp_path: Path) -> None:
    async with open_shop(tmp_path, match=MATCH) as shop:
        await shop.put(product("red", RED), product("purple", PURPLE), product("green", GREEN))
        asked = {"image": halves(RED, RED), "whole_image": WHOLE, "facets": True}
        alike = await search(shop, **asked, match_min=H.MATCH_WEAK)
        assert (ids(alike), alike.facets.products) == (["red", "purple"], 2)
        assert len((await search(shop, **asked, match_min=H.MATCH_NONE)).hits) == 3
        assert ids(await search(shop, **asked, match_min=H.MATCH_WEAK, offset=1)) == ["purple"]


async def test_an_embedder_that_does_not_say_what_scores_mean_leaves_it_open(shop: Shop) -> None:
    await shop.put(product("green", GREEN))
    found = await search(shop, image=halves(RED, RED), match_min=H.MATCH_SAME)
    assert (found.hits[0].match, found.hits[0].same_probability) == (H.MATCH_UNSPECIFIED, 0)
    assert not found.nothing_alike


@pytest.mark.parametrize(
    ("region", "source", "box", "first"),
    [
        ({"box": catalog_pb2.Box(left=0.5, top=0, right=1, bottom=1)}, R.SOURCE_BOX, [0.5, 0, 1, 1], "blue"),
        ({"point": search_pb2.Point(x=0.75, y=0.5)}, R.SOURCE_POINT, [0.5, 0, 1, 1], "blue"),
        ({"point": search_pb2.Point(x=0.25, y=0.5)}, R.SOURCE_POINT, [0, 0, 0.5, 1], "red"),
        ({"whole_image": WHOLE}, R.SOURCE_WHOLE_IMAGE, [0, 0, 1, 1], "purple"),
    ],
)
async def test_a_region_is_searched_as_asked(
    shop: Shop, region: dict[str, object], source: R.Source.ValueType, box: list[float], first: str
) -> None:
    await shop.put(product("red", RED), product("blue", BLUE), product("purple", PURPLE))
    found = await search(shop, image=halves(RED, BLUE), **region)
    assert (found.searched.source, sides(found.searched.box), ids(found)[0]) == (source, box, first)


async def test_a_point_beside_every_detection_means_the_whole_photo(tmp_path: Path) -> None:
    async with open_shop(tmp_path, detections=[(0, 0, 16, 32, 3.0, 0)]) as shop:
        found = await search(shop, image=halves(RED, BLUE), point=search_pb2.Point(x=0.9, y=0.5))
    assert found.searched.source == R.SOURCE_NOTHING_DETECTED
    assert len(found.detections) == 1


async def test_a_token_stands_for_the_photo(shop: Shop) -> None:
    await shop.put(product("red", RED), product("blue", BLUE))
    first = await search(shop, image=halves(RED, BLUE))
    again = await search(shop, image_token=first.image_token, point=search_pb2.Point(x=0.75, y=0.5))
    assert ids(again)[0] == "blue"
    assert again.image_token == first.image_token
    assert again.timings.detect_ms == 0


async def test_pages_follow_each_other_without_a_gap(shop: Shop) -> None:
    shades = {f"red-{n}": (255, n * 20, 0) for n in range(12)}
    await shop.put(*(product(name, colour) for name, colour in shades.items()))
    photo = jpeg(plain(RED))
    whole = ids(await search(shop, image=photo, whole_image=WHOLE, limit=12))
    pages = [ids(await search(shop, image=photo, whole_image=WHOLE, limit=5, offset=n)) for n in (0, 5, 10)]
    assert whole == list(shades)
    assert [one for page in pages for one in page] == whole


async def test_a_hit_is_a_product_once_with_its_best_picture(shop: Shop) -> None:
    await shop.put(product("both", RED, BLUE), product("green", GREEN))
    found = await search(shop, image=jpeg(plain(BLUE)), whole_image=WHOLE)
    stored = await shop.catalog.GetProduct(catalog_pb2.GetProductRequest(product_id="both"))
    assert ids(found)[0] == "both"
    assert found.hits[0].image_id == stored.product.images[1].image_id
    assert [one.image_id for one in found.hits[0].product.images] == [found.hits[0].image_id]
    assert sorted(ids(found)) == ["both", "green"]


async def test_a_product_finds_others_like_it_and_not_itself(shop: Shop) -> None:
    await shop.put(product("red", RED), product("dark red", (200, 10, 10)), product("blue", BLUE))
    found = await search(shop, product_id="red", limit=1)
    assert ids(found) == ["dark red"]
    assert not found.HasField("searched")
    assert found.image_token == ""


async def test_a_vector_finds_what_its_picture_finds(shop: Shop) -> None:
    await shop.put(product("red", RED), product("blue", BLUE))
    embedded = await shop.search.Embed(search_pb2.EmbedRequest(image=halves(RED, BLUE)), timeout=CALL_S)
    found = await search(shop, vector=embedded.vector)
    assert (embedded.embedded.source, len(embedded.vector.values)) == (R.SOURCE_DETECTION, 256)
    assert embedded.vector.model == found.model
    assert found.model.startswith("tiny-embedder@1+")
    assert ids(found)[0] == "red"


async def test_a_filter_and_a_least_score_narrow_the_answer(shop: Shop) -> None:
    await shop.put(product("mug", RED, category="mug"), product("cup", RED, category="cup"), product("blue", BLUE))
    mugs = catalog_pb2.Filter(
        compare=catalog_pb2.Filter.Compare(field="category", value=catalog_pb2.Filter.Value(text="mug"))
    )
    assert ids(await search(shop, image=jpeg(plain(RED)), filter=mugs)) == ["mug"]
    assert ids(await search(shop, image=jpeg(plain(RED)), score_min=0.9)) == ["cup", "mug"]


async def test_detect_says_where_and_how_large(shop: Shop) -> None:
    seen = await shop.search.Detect(search_pb2.DetectRequest(image=halves(RED, BLUE)), timeout=CALL_S)
    assert (seen.width_px, seen.height_px) == (64, 64)
    assert seen.model.startswith("tiny-detector@1+")
    assert [one.label for one in seen.detections] == ["product", "product"]
    assert seen.image_token


async def test_an_answer_says_where_its_time_went(shop: Shop) -> None:
    spent = (await search(shop, image=halves(RED, BLUE))).timings
    stages = (spent.decode_ms, spent.detect_ms, spent.embed_ms, spent.search_ms)
    assert all(stage > 0 for stage in stages)
    assert sum(stages) <= spent.total_ms * 1.01


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_a_photo_held_any_way_gives_the_same_answer(shop: Shop, orientation: int) -> None:
    await shop.put(product("red", RED), product("blue", BLUE))
    turned = {
        1: [], 2: [Image.Transpose.FLIP_LEFT_RIGHT], 3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM], 5: [Image.Transpose.TRANSPOSE], 6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE], 8: [Image.Transpose.ROTATE_270],
    }[orientation]  # fmt: skip
    photo = plain(RED, 64, 64)
    photo.paste(plain(BLUE, 32, 64), (32, 0))
    for turn in turned:
        photo = photo.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = await search(shop, image=encoded(photo, "PNG", exif=exif))
    assert (ids(found)[0], sides(found.searched.box)) == ("red", [0, 0, 0.5, 1])


async def test_many_searches_share_a_stream_and_a_bad_one_ends_nothing(shop: Shop) -> None:
    await shop.put(product("red", RED), product("blue", BLUE))
    photos = {"red": jpeg(plain(RED)), "bad": b"no picture", "blue": jpeg(plain(BLUE))}

    def requests() -> Iterable[search_pb2.SearchStreamRequest]:
        for n in range(60):
            name = ("red", "bad", "blue")[n % 3]
            yield search_pb2.SearchStreamRequest(
                item_id=f"{name}-{n}", search=search_pb2.SearchRequest(image=photos[name])
            )

    answers = {one.item_id: one async for one in shop.search.SearchStream(iter(requests()), timeout=CALL_S)}
    assert len(answers) == 60
    for name, answer in answers.items():
        if name.startswith("bad"):
            assert (answer.error.code, answer.error.reason) == (3, "UNSUPPORTED_FORMAT")
        else:
            assert answer.result.hits[0].product.product_id == name.split("-")[0]


async def test_an_import_answers_every_item(shop: Shop) -> None:
    items = [
        catalog_pb2.ImportProductsRequest(item_id=str(n), product=product(f"p{n}", (n, 255 - n, 100)))
        for n in range(100)
    ]
    items.append(catalog_pb2.ImportProductsRequest(item_id="bad", product=catalog_pb2.Product(product_id="bad")))
    answers = {one.item_id: one async for one in shop.catalog.ImportProducts(iter(items), timeout=CALL_S)}
    assert len(answers) == 101
    assert answers["bad"].error.field_violations[0].field == "product.images"
    assert {one.result.outcome for name, one in answers.items() if name != "bad"} == {C.OUTCOME_CREATED}

    again = [one async for one in shop.catalog.ImportProducts(iter(items[:100]), timeout=CALL_S)]
    assert {(one.result.outcome, one.result.images_embedded) for one in again} == {(C.OUTCOME_UNCHANGED, 0)}


async def test_every_product_is_listed_once(shop: Shop) -> None:
    names = {f"p{n}" for n in range(23)}
    await shop.put(*(product(name, RED) for name in names))
    listed: list[str] = []
    token = ""
    while not listed or token:
        page = await shop.catalog.ListProducts(
            catalog_pb2.ListProductsRequest(page_size=5, page_token=token), timeout=CALL_S
        )
        assert len(page.products) <= 5
        listed += [one.product_id for one in page.products]
        token = page.next_page_token
    assert len(listed) == 23
    assert set(listed) == names


async def test_a_deleted_product_is_gone(shop: Shop) -> None:
    await shop.put(product("red", RED, BLUE))
    gone = await shop.catalog.DeleteProduct(catalog_pb2.DeleteProductRequest(product_id="red"), timeout=CALL_S)
    assert gone.images_deleted == 2
    assert ids(await search(shop, image=jpeg(plain(RED)))) == []


async def test_the_map_and_the_shards_are_shown(shop: Shop) -> None:
    await shop.put(*(product(f"p{n}", RED) for n in range(20)))
    topology = await shop.admin.GetTopology(admin_pb2.GetTopologyRequest(), timeout=CALL_S)
    shards = (await shop.admin.ListShards(admin_pb2.ListShardsRequest(), timeout=CALL_S)).shards
    assert (topology.epoch, topology.slots, topology.dim) == (1, 16_384, 256)
    assert topology.embedder.startswith("tiny-embedder@1+")
    assert topology.detector.startswith("tiny-detector@1+")
    assert sum(one.slots for one in topology.shards) == 16_384
    assert [one.shard.name for one in shards] == ["a", "b", "c"]
    assert {one.state for one in shards} == {admin_pb2.ShardStatus.STATE_HEALTHY}
    assert sum(one.rows for one in shards) == 20


async def test_reflection_names_the_services(shop: Shop) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(shop.channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    answers = [one async for one in stub.ServerReflectionInfo(iter([asked]), timeout=CALL_S)]
    names = {one.name for one in answers[0].list_services_response.service}
    assert {
        "lookalike.v1.SearchService",
        "lookalike.v1.CatalogService",
        "lookalike.v1.AdminService",
        "grpc.health.v1.Health",
    } <= names
