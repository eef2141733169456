"""Many searches and imports over one stream, through the blocking and the async client."""

import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from google.rpc import code_pb2

import lookalike
from lookalike import Done, Failed, Image, Product
from tests.client.both import Shop, opened
from tests.client.script import AWAY, FULL, WRONG, Refusal
from tests.client.scripted import ScriptedShop


def products(count: int) -> list[Product]:
    return [Product(f"p{number}", images=(Image(b"picture"),)) for number in range(count)]


def test_every_product_has_its_outcome(shop: Shop, server: ScriptedShop) -> None:
    wanted = products(100)
    outcomes = list(shop.import_products(wanted))
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert sorted((outcome.index, outcome.item.product_id) for outcome in outcomes) == [
        (number, f"p{number}") for number in range(100)
    ]
    assert {outcome.result.outcome for outcome in outcomes} == {lookalike.UpsertOutcome.CREATED}
    assert (server.script.streams, len(server.products)) == (1, 100)


def test_every_photo_has_its_outcome(shop: Shop, server: ScriptedShop) -> None:
    shop.upsert(products(1)[0])
    outcomes = list(shop.search_many([b"a", b"b"], limit=1, whole_image=True))
    assert {outcome.item for outcome in outcomes} == {b"a", b"b"}
    assert all(outcome.result.hits[0].product.product_id == "p0" for outcome in outcomes)


def test_no_items_need_no_server(shop: Shop, server: ScriptedShop) -> None:
    assert list(shop.import_products([])) == []
    assert server.script.streams == 0


def test_an_item_that_fails_is_a_value_and_the_others_go_on(shop: Shop, server: ScriptedShop) -> None:
    server.script.items["p1"] = deque([WRONG])
    outcomes = {outcome.index: outcome for outcome in shop.import_products(products(3))}
    failed = outcomes.pop(1)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, lookalike.InvalidArgument)
    assert failed.error.field_violations == (lookalike.FieldViolation("product.title", "is wrong"),)
    assert all(isinstance(outcome, Done) for outcome in outcomes.values())


def test_a_photo_that_cannot_be_read_is_a_value_too(shop: Shop, tmp_path: Path) -> None:
    good = tmp_path / "good.jpg"
    good.write_bytes(b"photo")
    outcomes = {outcome.index: outcome for outcome in shop.search_many(["gone.jpg", good, b""])}
    assert isinstance(outcomes[0], Failed)
    assert "gone.jpg" in str(outcomes[0].error)
    assert isinstance(outcomes[1], Done)


@pytest.mark.parametrize("refusal", [AWAY, FULL], ids=["away", "full"])
def test_an_item_that_fails_for_now_is_sent_again(shop: Shop, server: ScriptedShop, refusal: Refusal) -> None:
    server.script.items["p1"] = deque([refusal, refusal])
    outcomes = list(shop.import_products(products(3)))
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert server.script.taken == 5


def test_an_item_that_never_succeeds_is_given_up(shop: Shop, server: ScriptedShop) -> None:
    server.script.items["p1"] = deque([AWAY] * 100)
    outcomes = {outcome.index: outcome for outcome in shop.import_products(products(3))}
    assert isinstance(outcomes[1].error, lookalike.Unavailable)
    assert server.script.taken == 2 + lookalike.RetryPolicy().attempts_max


def test_the_iterable_is_never_read_far_ahead(shop: Shop, server: ScriptedShop) -> None:
    pulled = answered = 0
    furthest = 0

    def feed() -> Iterator[Product]:
        nonlocal pulled, furthest
        for number in range(600):
            pulled += 1
            furthest = max(furthest, pulled - answered)
            yield Product(f"p{number % 10}", images=(Image(b"picture"),))

    for _ in shop.import_products(feed(), in_flight=8):
        answered += 1
    assert (pulled, answered) == (600, 600)
    assert furthest <= 8 + 1  # and the one whose answer this loop has not counted yet


def test_a_server_that_does_not_answer_holds_the_iterable_back(server: ScriptedShop) -> None:
    server.script.gate = threading.Semaphore(0)
    pulled = []

    def feed() -> Iterator[Product]:
        for product in products(1000):
            pulled.append(product)
            yield product

    with lookalike.Client(server.address) as shop:
        outcomes = shop.import_products(feed(), in_flight=4)
        for answers in range(1, 20):
            server.script.gate.release()
            next(outcomes)
            assert len(pulled) <= answers + 4
        outcomes.close()
        server.script.gate.release(1000)


def test_items_in_flight_stay_within_a_number_of_bytes(server: ScriptedShop) -> None:
    server.script.gate = threading.Semaphore(0)
    pulled = []

    def feed() -> Iterator[bytes]:
        for number in range(100):
            pulled.append(number)
            yield bytes(20 * 2**20)

    with lookalike.Client(server.address) as shop:
        outcomes = shop.search_many(feed(), in_flight=100)
        server.script.gate.release()
        next(outcomes)
        assert len(pulled) <= 5  # 64 MiB hold three, one is answered, one goes over
        outcomes.close()
        server.script.gate.release(1000)


def test_a_stream_that_breaks_goes_on_over_another(shop: Shop, server: ScriptedShop) -> None:
    server.script.breaks.extend([(3, AWAY), *[(0, AWAY)] * 9])  # more often than an item is tried
    outcomes = list(shop.import_products(products(20)))
    assert sorted(outcome.index for outcome in outcomes) == list(range(20))
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert server.script.streams == 11


def test_a_stream_that_is_refused_says_what_became_of_each_item_and_raises(shop: Shop, server: ScriptedShop) -> None:
    server.script.silent = True  # so that all three are read, and none is answered, before it refuses
    server.script.breaks.append((2, Refusal(code_pb2.PERMISSION_DENIED, "not you")))
    stream = shop.import_products(products(3))
    seen = [next(stream) for _ in range(3)]
    assert [type(outcome.error) for outcome in seen] == [lookalike.PermissionDenied] * 3
    with pytest.raises(lookalike.PermissionDenied, match="not you"):
        next(stream)


def test_a_stream_that_is_refused_at_once_forgets_no_item_that_it_had_read(shop: Shop, server: ScriptedShop) -> None:
    pulled: list[Product] = []

    def feed() -> Iterator[Product]:
        for product in products(3):
            pulled.append(product)
            yield product

    server.script.breaks.append((0, Refusal(code_pb2.PERMISSION_DENIED, "not you")))
    seen = []
    with pytest.raises(lookalike.PermissionDenied, match="not you"):
        seen.extend(shop.import_products(feed()))
    assert pulled
    assert [outcome.item for outcome in sorted(seen, key=lambda outcome: outcome.index)] == pulled


def test_a_server_that_is_lost_for_good_ends_the_iteration() -> None:
    for kind in ("blocking", "async"):
        shop = opened(kind, "127.0.0.1:1")
        with pytest.raises(lookalike.Unavailable, match="cannot reach"):
            list(shop.import_products(products(3)))
        shop.close()


def test_a_silent_server_ends_the_iteration(shop: Shop, server: ScriptedShop) -> None:
    server.script.silent = True
    with pytest.raises(lookalike.DeadlineExceeded, match=r"said nothing for 0\.05 s"):
        list(shop.import_products(products(3), silence_s=0.05))


def test_what_the_iterable_raises_reaches_the_caller(shop: Shop) -> None:
    def feed() -> Iterator[Product]:
        yield products(1)[0]
        raise RuntimeError("the feed is broken")

    with pytest.raises(RuntimeError, match="the feed is broken"):
        list(shop.import_products(feed()))


def test_the_iterable_runs_in_the_callers_thread(server: ScriptedShop) -> None:
    threads = set()

    def feed() -> Iterator[Product]:
        for product in products(10):
            threads.add(threading.get_ident())
            yield product

    with lookalike.Client(server.address) as shop:
        list(shop.import_products(feed()))
    assert threads == {threading.get_ident()}


def test_a_loop_that_is_left_early_ends_the_stream(shop: Shop, server: ScriptedShop) -> None:
    outcomes = shop.import_products(products(1000), in_flight=2)
    next(outcomes)
    outcomes.close()
    assert len(list(shop.import_products(products(3)))) == 3


def test_a_client_closed_under_a_stream_says_so(server: ScriptedShop) -> None:
    server.script.silent = True
    shop = lookalike.Client(server.address)

    def feed() -> Iterator[Product]:
        yield products(1)[0]
        shop.close()

    with pytest.raises(lookalike.ClientClosed):
        list(shop.import_products(feed()))


async def test_an_async_client_closed_under_a_stream_says_so(server: ScriptedShop) -> None:
    server.script.silent = True
    shop = lookalike.AsyncClient(server.address)

    async def feed() -> AsyncIterator[Product]:
        yield products(1)[0]
        await shop.close()

    with pytest.raises(lookalike.ClientClosed):
        [outcome async for outcome in shop.import_products(feed())]


async def test_an_async_iterable_is_taken_too(server: ScriptedShop) -> None:
    async def feed() -> AsyncIterator[Product]:
        for product in products(5):
            yield product

    async with lookalike.AsyncClient(server.address) as shop:
        assert len([outcome async for outcome in shop.import_products(feed())]) == 5


@pytest.mark.parametrize("in_flight", [0, -1])
def test_nothing_in_flight_is_refused(shop: Shop, in_flight: int) -> None:
    with pytest.raises(lookalike.InvalidArgument, match="at least 1"):
        shop.import_products([], in_flight=in_flight)
