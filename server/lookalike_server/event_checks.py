"""Turns reported events into what is kept, or says every field that is wrong."""

from lookalike.v1 import search_pb2
from lookalike_server.checks import LIMIT_MAX, OFFSET_MAX
from lookalike_server.complaints import Complaints
from lookalike_server.events import Event

EVENTS_MAX = 100
KINDS = {
    search_pb2.Event.KIND_VIEW: "view",
    search_pb2.Event.KIND_CLICK: "click",
    search_pb2.Event.KIND_ADD_TO_CART: "add_to_cart",
}
POSITION_MAX = OFFSET_MAX + LIMIT_MAX


def checked_events(wire: search_pb2.RecordEventsRequest) -> list[Event]:
    """Check reported events."""
    complaints = Complaints()
    if not 1 <= len(wire.events) <= EVENTS_MAX:
        complaints.add("events", f"holds {len(wire.events)} events; 1 to {EVENTS_MAX} can be sent at once")
        complaints.settle()
    for i, one in enumerate(wire.events):
        if one.kind not in KINDS:
            complaints.add(f"events[{i}].kind", "is not one of the kinds")
        complaints.identifier(f"events[{i}].search_id", one.search_id)
        complaints.identifier(f"events[{i}].product_id", one.product_id)
        if not 1 <= one.position <= POSITION_MAX:
            complaints.add(f"events[{i}].position", f"is {one.position}; a place is 1 to {POSITION_MAX}")
    complaints.settle()
    return [Event(KINDS[one.kind], one.search_id, one.product_id, one.position) for one in wire.events]
