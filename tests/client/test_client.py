"""Every call against a real server, through the blocking and the async client."""

import io
import threading
from pathlib import Path

import pytest
from google.rpc import code_pb2
from grpc_health.v1 import health_pb2

import lookalike
from lookalike import Box, Image, Money, Point, Product, equals
from lookalike.v1 import search_pb2
from tests.client.both import Shop, opened
from tests.client.script import AWAY, FULL, WRONG, Refusal
from tests.client.scripted import ScriptedShop
from tests.client.scripted_map import MODEL

MUG = Product(
    "mug-1",
    title="Blue mug",
    category="mug",
    brand="Nordlys",
    price=Money(2490, "EUR"),
    url="https://shop.example/mug-1",
    in_stock=False,
    tags=("new", "blue"),
    attributes={"color": "blue", "litres": 0.4, "size": 3, "set": False, "more": {"list": [1, None, "x"]}},
    images=(Image(b"one", uri="mug.jpg"), Image(b"two", box=Box(0.0, 0.0, 0.5, 1.0))),
)


def test_a_product_comes_back_as_it_went_in(shop: Shop) -> None:
    result = shop.upsert(MUG)
    assert result.outcome is lookalike.UpsertOutcome.CREATED
    assert result.images_embedded == 2
    stored = shop.get("mug-1")
    assert [image.uri for image in stored.images] == ["mug.jpg", ""]
    assert [image.box for image in stored.images] == [None, Box(0.0, 0.0, 0.5, 1.0)]
    for name in ("title", "category", "brand", "price", "url", "in_stock", "tags", "attributes"):
        assert getattr(stored, name) == getattr(MUG, name), name


def test_what_was_not_said_stays_unsaid(shop: Shop) -> None:
    shop.upsert(Product("bare", images=(Image(b"one"),)))
    bare = shop.get("bare")
    assert (bare.price, bare.in_stock, bare.images[0].box, bare.images[0].vector) == (None, None, None, None)


def test_the_same_product_again_is_unchanged(shop: Shop) -> None:
    outcomes = [shop.upsert(MUG).outcome for _ in range(2)]
    assert outcomes == [lookalike.UpsertOutcome.CREATED, lookalike.UpsertOutcome.UNCHANGED]


def test_vectors_come_only_when_asked_for(shop: Shop) -> None:
    shop.upsert(MUG)
    vector = shop.get("mug-1", include_vectors=True).images[0].vector
    assert (len(vector.values), vector.model) == (256, MODEL)


@pytest.mark.parametrize("kind", ["path", "str", "bytes", "bytearray", "memoryview", "file", "buffer"])
def test_a_photo_is_a_path_bytes_or_a_binary_file(shop: Shop, server: ScriptedShop, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"photo")
    with path.open("rb") as file:
        photos = {
            "path": path,
            "str": str(path),
            "bytes": b"photo",
            "bytearray": bytearray(b"photo"),
            "memoryview": memoryview(b"photo"),
            "file": file,
            "buffer": io.BytesIO(b"photo"),
        }
        shop.search(photos[kind])
    assert server.script.requests[-1].image == b"photo"


def test_a_search_says_all_that_the_server_said(shop: Shop, server: ScriptedShop) -> None:
    shop.upsert(MUG)
    server.coverage.MergeFrom(type(server.coverage)(shards_asked=2, unreachable=["b"]))
    server.coverage.reasons.add(shard="b", kind=server.coverage.Reason.KIND_TIMED_OUT, message="no answer in 0.8 s")
    result = shop.search(b"photo")
    assert [(hit.product.product_id, hit.score, hit.images_matched) for hit in result.hits] == [("mug-1", 1.0, 1)]
    assert result.searched == lookalike.Region(Box(0.25, 0.125, 0.75, 0.5), lookalike.RegionSource.DETECTION)
    assert [detection.label for detection in result.detections] == ["product"]
    assert not result.coverage.complete
    assert result.coverage.missing == (
        lookalike.MissingShard("b", lookalike.MissingKind.TIMED_OUT, "no answer in 0.8 s"),
    )
    assert (result.image_token, result.model, result.timings.total_ms) == ("token", MODEL, 12.5)


def test_a_hit_says_what_its_score_means(shop: Shop, server: ScriptedShop) -> None:
    shop.upsert(MUG)
    open_ended = shop.search(b"photo")
    assert (open_ended.hits[0].match, open_ended.hits[0].same_probability) == (lookalike.Match.UNKNOWN, 0.0)
    server.match, server.nothing_alike = search_pb2.Hit.MATCH_NONE, True
    judged = shop.search(b"photo")
    assert (judged.hits[0].match, judged.hits[0].same_probability) == (lookalike.Match.NONE, 0.5)
    assert judged.nothing_alike


def test_an_answer_that_may_lack_the_newest_is_not_complete(shop: Shop, server: ScriptedShop) -> None:
    assert shop.search(b"photo").coverage.complete
    server.coverage.behind.append("a")
    behind = shop.search(b"photo").coverage
    assert (behind.complete, behind.behind, behind.slots_fraction) == (False, ("a",), 1.0)
    server.coverage.ClearField("behind")
    server.coverage.map_may_be_stale = True
    stale = shop.search(b"photo").coverage
    assert (stale.complete, stale.map_may_be_stale, stale.missing) == (False, True, ())


def test_a_search_explains_itself_when_asked(shop: Shop, server: ScriptedShop) -> None:
    drops = search_pb2.ShardExplanation.Drops(not_owner=1, older_version=2, same_product=3)
    server.explanation.shards.add(shard="a", replica="a/2", ms=1.5, rows=30, drops=drops, hedge="a/2", rounds=2)
    server.explanation.shards.add(shard="b", ms=800, retry="b/2", rounds=1, message="no answer in 0.8 s")
    assert shop.search(b"photo").explanation is None
    explanation = shop.search(b"photo", explain=True).explanation
    assert explanation == lookalike.Explanation(
        (
            lookalike.ShardExplanation("a", "a/2", 1.5, 30, lookalike.Drops(1, 2, 3), "a/2", "", 2, ""),
            lookalike.ShardExplanation("b", "", 800, 0, lookalike.Drops(0, 0, 0), "", "b/2", 1, "no answer in 0.8 s"),
        )
    )


def test_a_search_asks_for_what_it_was_told(shop: Shop, server: ScriptedShop) -> None:
    shop.search(
        image_token="t",
        point=Point(0.5, 0.25),
        limit=3,
        offset=6,
        filter=equals("category", "mug"),
        score_min=0.5,
        match_min=lookalike.Match.SIMILAR,
        coverage_min=1.0,
    )
    request = server.script.requests[-1]
    assert request.match_min == search_pb2.Hit.MATCH_SIMILAR
    assert (request.image_token, request.point.x, request.point.y) == ("t", 0.5, 0.25)
    assert (request.limit, request.offset, request.score_min, request.coverage_min) == (3, 6, 0.5, 1.0)
    assert request.filter.compare.value.text == "mug"


def test_what_was_not_asked_is_not_sent(shop: Shop, server: ScriptedShop) -> None:
    shop.search(product_id="mug-1")
    request = server.script.requests[-1]
    assert request.WhichOneof("query") == "product_id"
    assert [field.name for field, _ in request.ListFields()] == ["product_id"]


def test_a_vector_is_a_vector_or_any_numbers(shop: Shop, server: ScriptedShop) -> None:
    shop.search(vector=shop.embed(b"photo", whole_image=True).vector)
    assert (server.script.requests[-2].whole_image, server.script.requests[-1].vector.model) is not None
    assert server.script.requests[-1].vector.model == MODEL
    shop.search(vector=(float(n) for n in range(3)))
    assert list(server.script.requests[-1].vector.values) == [0.0, 1.0, 2.0]


def test_detect_finds_boxes_and_the_size(shop: Shop) -> None:
    seen = shop.detect(b"photo")
    assert (len(seen.detections), seen.width_px, seen.height_px, seen.model) == (1, 320, 240, "boxes@1")


def test_a_listing_goes_through_every_page(shop: Shop, server: ScriptedShop) -> None:
    for number in range(7):
        shop.upsert(Product(f"p{number}", images=(Image(b"one"),)))
    assert [product.product_id for product in shop.list(page_size=3)] == [f"p{number}" for number in range(7)]
    assert shop.list_page(page_size=3, page_token="3").next_page_token == "6"


def test_a_listing_asks_for_no_page_before_it_is_needed(shop: Shop, server: ScriptedShop) -> None:
    for number in range(4):
        shop.upsert(Product(f"p{number}", images=(Image(b"one"),)))
    before = len(server.script.requests)
    next(iter(shop.list(page_size=2)))
    assert len(server.script.requests) == before + 1


def test_a_deleted_product_is_gone(shop: Shop) -> None:
    shop.upsert(MUG)
    assert shop.delete("mug-1") == 2
    with pytest.raises(lookalike.NotFound) as gone:
        shop.get("mug-1")
    assert gone.value.reason == "PRODUCT_NOT_FOUND"


def test_the_map_the_shards_and_the_health_are_told(shop: Shop, server: ScriptedShop) -> None:
    topology = shop.topology()
    assert (topology.slots, topology.embedder, topology.dim) == (16384, MODEL, 256)
    assert topology.shards[0].slot_ranges == (lookalike.SlotRange(0, 16383),)
    (status,) = shop.shards()
    assert (status.shard.name, status.state, status.rows) == ("a", lookalike.ShardState.HEALTHY, 7)
    assert shop.health() is lookalike.Health.SERVING
    server.serve(health_pb2.HealthCheckResponse.NOT_SERVING)
    assert shop.health() is lookalike.Health.NOT_SERVING


@pytest.mark.parametrize("refusal", [AWAY, FULL], ids=["away", "full"])
def test_a_call_that_fails_for_now_is_tried_again(shop: Shop, server: ScriptedShop, refusal: Refusal) -> None:
    server.script.calls.extend([refusal, refusal])
    assert shop.search(b"photo").search_id == "s-1"
    assert len(server.script.requests) == 3


def test_a_call_that_fails_for_good_is_not_tried_again(shop: Shop, server: ScriptedShop) -> None:
    server.script.calls.append(WRONG)
    with pytest.raises(lookalike.InvalidArgument) as wrong:
        shop.search(b"photo")
    assert wrong.value.field_violations == (lookalike.FieldViolation("product.title", "is wrong"),)
    assert (wrong.value.reason, str(wrong.value), len(server.script.requests)) == ("INVALID_FIELD", "no", 1)


def test_a_full_server_that_names_no_time_is_not_asked_again(shop: Shop, server: ScriptedShop) -> None:
    server.script.calls.append(Refusal(code_pb2.RESOURCE_EXHAUSTED, reason="QUOTA"))
    with pytest.raises(lookalike.Overloaded) as full:
        shop.search(b"photo")
    assert (full.value.retry_after_s, len(server.script.requests)) == (None, 1)


def test_a_wait_that_would_outlast_the_deadline_is_not_begun(shop: Shop, server: ScriptedShop) -> None:
    server.script.calls.append(Refusal(code_pb2.RESOURCE_EXHAUSTED, reason="OVERLOADED", retry_after_s=0.9))
    with pytest.raises(lookalike.Overloaded) as full:
        shop.search(b"photo", timeout_s=0.8)
    assert full.value.retry_after_s == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (code_pb2.INVALID_ARGUMENT, lookalike.InvalidArgument),
        (code_pb2.NOT_FOUND, lookalike.NotFound),
        (code_pb2.FAILED_PRECONDITION, lookalike.FailedPrecondition),
        (code_pb2.ABORTED, lookalike.Conflict),
        (code_pb2.PERMISSION_DENIED, lookalike.PermissionDenied),
        (code_pb2.UNAUTHENTICATED, lookalike.PermissionDenied),
        (code_pb2.UNIMPLEMENTED, lookalike.Unimplemented),
        (code_pb2.DEADLINE_EXCEEDED, lookalike.DeadlineExceeded),
        (code_pb2.INTERNAL, lookalike.Internal),
        (code_pb2.UNKNOWN, lookalike.Internal),
    ],
)
def test_every_code_has_its_error(shop: Shop, server: ScriptedShop, code: int, error: type[Exception]) -> None:
    server.script.calls.append(Refusal(code, "why", "REASON"))
    with pytest.raises(error, match="why") as raised:
        shop.get("x")
    assert type(raised.value) is error


def test_a_server_that_is_not_there_is_named(shop: Shop) -> None:
    with pytest.raises(lookalike.Unavailable, match=r"cannot reach 127\.0\.0\.1:1 "):
        opened("blocking", "127.0.0.1:1", lookalike.RetryPolicy(attempts_max=1)).search(b"photo")


def test_a_server_that_is_too_slow_is_not_waited_for(shop: Shop, server: ScriptedShop) -> None:
    server.script.hold = threading.Event()
    with pytest.raises(lookalike.DeadlineExceeded, match=r"no answer from 127\.0\.0\.1"):
        shop.search(b"photo", timeout_s=0.05)
    server.script.hold.set()


def test_a_call_without_any_time_is_not_made(shop: Shop, server: ScriptedShop) -> None:
    with pytest.raises(lookalike.DeadlineExceeded):
        shop.search(b"photo", timeout_s=0.0)
    assert server.script.requests == []


def test_a_missing_photo_is_named(shop: Shop) -> None:
    with pytest.raises(lookalike.InvalidArgument, match=r"cannot read the photo 'gone\.jpg': No such file") as missing:
        shop.search("gone.jpg")
    assert missing.value.reason == "PHOTO_UNREADABLE"


def test_a_missing_picture_of_a_product_says_which(shop: Shop) -> None:
    with pytest.raises(lookalike.InvalidArgument) as missing:
        shop.upsert(Product("mug-1", images=(Image(b"one"), Image("gone.jpg"))))
    assert missing.value.field_violations[0].field == "product.images[1].content"


def test_an_empty_picture_is_not_taken_for_no_picture(shop: Shop) -> None:
    with pytest.raises(lookalike.InvalidArgument, match="empty"):
        shop.upsert(Product("mug-1", images=(Image(b""),)))


def test_a_text_file_is_no_photo(shop: Shop) -> None:
    with pytest.raises(lookalike.InvalidArgument, match="binary mode"):
        shop.search(io.StringIO("text"))


def test_a_thing_of_another_kind_is_no_photo(shop: Shop) -> None:
    with pytest.raises(lookalike.InvalidArgument, match="not float"):
        shop.search(1.5)


def test_a_file_that_no_server_takes_is_not_sent(shop: Shop, server: ScriptedShop, tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    with video.open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(lookalike.InvalidArgument) as large:
        shop.search(video)
    assert (large.value.reason, server.script.requests) == ("IMAGE_TOO_LARGE", [])


def test_a_product_that_no_server_takes_is_not_sent(shop: Shop, server: ScriptedShop) -> None:
    with pytest.raises(lookalike.InvalidArgument) as large:
        shop.upsert(Product("mug-1", images=(Image(bytes(2**24)), Image(bytes(2**24)))))
    assert (large.value.reason, server.script.requests) == ("REQUEST_TOO_LARGE", [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_token": "t"},
        {"product_id": "p", "vector": [1.0]},
        {"box": Box(0, 0, 1, 1), "whole_image": True},
        {"box": (0, 0, 1, 1)},
        {"limit": 10**12},
        {"filter": "category=mug"},
        {"score_min": "high"},
        {"match_min": "high"},
    ],
    ids=str,
)
def test_a_call_that_makes_no_sense_is_refused(shop: Shop, server: ScriptedShop, wrong: dict[str, object]) -> None:
    with pytest.raises(lookalike.InvalidArgument):
        shop.search(b"photo", **wrong)
    assert server.script.requests == []


def test_a_search_for_nothing_is_refused(shop: Shop) -> None:
    with pytest.raises(lookalike.InvalidArgument, match="give a photo"):
        shop.search()


@pytest.mark.parametrize("kind", ["blocking", "async"])
@pytest.mark.parametrize("address", ["", "http://localhost:50051", "  "])
def test_an_address_that_grpc_would_misread_is_refused(kind: str, address: str) -> None:
    with pytest.raises(lookalike.InvalidArgument, match="HOST:PORT"):
        opened(kind, address)


def test_a_closed_client_says_so(server: ScriptedShop) -> None:
    with lookalike.Client(server.address) as shop:
        assert shop.address == server.address
    with pytest.raises(lookalike.ClientClosed):
        shop.search(b"photo")
    with pytest.raises(lookalike.ClientClosed):
        next(shop.search_many([b"photo"]))


async def test_a_closed_async_client_says_so(server: ScriptedShop) -> None:
    async with lookalike.AsyncClient(server.address) as shop:
        assert shop.address == server.address
    with pytest.raises(lookalike.ClientClosed):
        await shop.search(b"photo")
    with pytest.raises(lookalike.ClientClosed):
        await anext(shop.search_many([b"photo"]))
