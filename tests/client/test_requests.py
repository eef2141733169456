"""A write that is sent twice takes effect once: its request_id is the same in every try."""

from collections import deque

import pytest

import lookalike
from lookalike import Done, Image, Product, UpsertOutcome
from tests.client.both import Shop
from tests.client.script import AWAY
from tests.client.scripted import ScriptedShop

MUG = Product("mug-1", title="Blue mug", images=(Image(b"one"), Image(b"two")))


def products(count: int) -> list[Product]:
    return [Product(f"p{number}", images=(Image(b"picture"),)) for number in range(count)]


def test_an_upsert_whose_answer_is_lost_gets_that_answer_later(shop: Shop, server: ScriptedShop) -> None:
    server.script.lost = 2
    assert shop.upsert(MUG).outcome is UpsertOutcome.CREATED  # done again, it would be UNCHANGED
    assert server.script.lost == 0
    tries = [request.request_id for request in server.script.requests]
    assert (len(tries), len(set(tries)), set(tries)) == (3, 1, set(server.answers))


def test_a_delete_whose_answer_is_lost_does_not_find_its_own_work_done(shop: Shop, server: ScriptedShop) -> None:
    shop.upsert(MUG)
    server.script.lost = 1
    assert shop.delete("mug-1") == 2  # done again, it would be NotFound
    assert (server.script.lost, server.products) == (0, {})
    first, second = server.script.requests[-2:]
    assert first == second
    assert first.request_id


def test_a_write_that_was_refused_for_now_keeps_its_name(shop: Shop, server: ScriptedShop) -> None:
    server.script.calls.extend([AWAY, AWAY])
    shop.upsert(MUG)
    assert len({request.request_id for request in server.script.requests}) == 1


def test_every_write_has_a_name_of_its_own(shop: Shop, server: ScriptedShop) -> None:
    for _ in range(2):
        shop.upsert(MUG)
        shop.delete("mug-1")
    names = [request.request_id for request in server.script.requests]
    assert len(set(names)) == 4
    assert all(len(name) == 32 for name in names)


def test_a_callers_own_name_holds_over_several_calls(shop: Shop) -> None:
    outcomes = [shop.upsert(MUG, request_id="order-7").outcome for _ in range(2)]
    assert outcomes == [UpsertOutcome.CREATED, UpsertOutcome.CREATED]
    assert [shop.delete("mug-1", request_id="order-8") for _ in range(2)] == [2, 2]


def test_a_name_used_for_another_write_is_refused(shop: Shop) -> None:
    shop.upsert(MUG, request_id="order-7")
    with pytest.raises(lookalike.RequestIdReused, match="order-7") as reused:
        shop.upsert(Product("mug-2", images=MUG.images), request_id="order-7")
    assert isinstance(reused.value, lookalike.InvalidArgument)
    assert reused.value.reason == "REQUEST_ID_REUSED"


def test_an_empty_name_is_not_taken_for_none(shop: Shop, server: ScriptedShop) -> None:
    with pytest.raises(lookalike.InvalidArgument, match="request_id is empty"):
        shop.upsert(MUG, request_id="")
    with pytest.raises(lookalike.InvalidArgument, match="request_id is empty"):
        shop.delete("mug-1", request_id="")
    assert server.script.requests == []


def test_items_of_a_stream_that_broke_are_sent_again_under_their_names(shop: Shop, server: ScriptedShop) -> None:
    server.script.lost_on_streams.extend([3, 0])
    outcomes = list(shop.import_products(products(8)))
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    # p3 was stored before its stream broke: done again, it would be UNCHANGED.
    assert {outcome.result.outcome for outcome in outcomes} == {UpsertOutcome.CREATED}
    assert server.script.streams == 3
    names: dict[str, list[str]] = {}
    for item in server.script.streamed:
        names.setdefault(item.product.product_id, []).append(item.request_id)
    assert len(names["p3"]) > 1
    assert all(len(set(tries)) == 1 for tries in names.values())
    assert len({tries[0] for tries in names.values()}) == 8


def test_an_item_that_was_refused_for_now_keeps_its_name(shop: Shop, server: ScriptedShop) -> None:
    server.script.items["p1"] = deque([AWAY, AWAY])
    list(shop.import_products(products(2)))
    tries = [item.request_id for item in server.script.streamed if item.product.product_id == "p1"]
    assert (len(tries), len(set(tries))) == (3, 1)


def test_a_caller_can_name_the_items_of_an_import(shop: Shop, server: ScriptedShop) -> None:
    for _ in range(2):
        outcomes = list(shop.import_products(products(3), request_id=lambda product: f"feed-7 {product.product_id}"))
        assert {outcome.result.outcome for outcome in outcomes} == {UpsertOutcome.CREATED}
    assert {item.request_id for item in server.script.streamed} == {f"feed-7 p{number}" for number in range(3)}


def test_an_item_with_an_empty_name_fails_alone(shop: Shop) -> None:
    outcomes = list(shop.import_products(products(3), request_id=lambda product: product.product_id.strip("p0")))
    failed = [outcome.index for outcome in outcomes if not isinstance(outcome, Done)]
    assert failed == [0]
