import pytest

from lookalike.v1 import search_pb2
from lookalike_server.errors import BadField, BadFields
from lookalike_server.event_checks import EVENTS_MAX, checked_events
from lookalike_server.events import Event

GOOD = search_pb2.Event(kind=search_pb2.Event.KIND_ADD_TO_CART, search_id="s", product_id="p", position=1)


def test_events_are_read() -> None:
    assert checked_events(search_pb2.RecordEventsRequest(events=[GOOD])) == [Event("add_to_cart", "s", "p", 1)]


def test_every_wrong_field_is_named() -> None:
    with pytest.raises(BadFields) as refused:
        checked_events(search_pb2.RecordEventsRequest(events=[GOOD, search_pb2.Event()]))
    named = ["kind", "search_id", "product_id", "position"]
    assert [one.field for one in refused.value.fields] == [f"events[1].{name}" for name in named]


@pytest.mark.parametrize("count", [0, EVENTS_MAX + 1])
def test_their_number_has_bounds(count: int) -> None:
    with pytest.raises(BadField, match="1 to 100"):
        checked_events(search_pb2.RecordEventsRequest(events=[GOOD] * count))
