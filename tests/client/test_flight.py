"""The books of a stream, against every order of answers, refusals and breaks."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from lookalike import Failed, Internal, LookalikeError, NotFound, RetryPolicy, Unavailable
from lookalike.flight import End, Flight, Pull, Send, Ticket, Wait

ITEMS_MAX = 4
POLICY = RetryPolicy(attempts_max=3)


class World:
    """Plays the driver, the caller and the server of one flight, as `data` says."""

    def __init__(self, items: int, data: st.DataObject) -> None:
        self.flight: Flight[str, str] = Flight(POLICY, ITEMS_MAX, silence_s=60)
        self.items = items
        self.pulled = 0
        self.on_the_wire: set[int] = set()
        self.ended: list[int] = []
        self.now_s = 0.0
        self.data = data

    def run(self) -> None:
        while not isinstance(step := self.flight.next_step(self.now_s), End):
            match step:
                case Pull():
                    self.pull()
                case Send(ticket):
                    self.flight.sent(self.now_s)
                    self.on_the_wire.add(ticket.index)
                case Wait(until_s, silence):
                    self.wait(until_s, silence)
            assert self.pulled - len(self.ended) <= ITEMS_MAX

    def pull(self) -> None:
        if self.pulled == self.items:
            self.flight.exhausted()
            return
        self.flight.pulled(Ticket(self.pulled, f"item {self.pulled}", "request", 1))
        self.pulled += 1

    def wait(self, until_s: float, silence: bool) -> None:
        if not self.on_the_wire:
            assert not silence
            self.now_s = until_s
            return
        index = min(self.on_the_wire)
        match self.data.draw(st.sampled_from(["answer", "refuse", "refuse for now", "break"])):
            case "answer":
                ticket = self.flight.landed(index, self.now_s)
                assert ticket is not None
                self.end(index)
            case "refuse":
                self.note(self.flight.refused(index, NotFound("no"), self.now_s, 0.5), index)
            case "refuse for now":
                self.note(self.flight.refused(index, Unavailable("later"), self.now_s, 0.5), index)
            case "break":
                self.on_the_wire.clear()
                self.ended.extend(failed.index for failed in self.flight.broke(Unavailable("gone"), self.now_s, 0.5))

    def note(self, failed: Failed[str] | None, index: int) -> None:
        self.on_the_wire.discard(index)
        if failed is not None:
            assert failed.index == index
            self.end(index)

    def end(self, index: int) -> None:
        self.on_the_wire.discard(index)
        self.ended.append(index)


@given(items=st.integers(0, 30), data=st.data())
def test_every_item_that_was_pulled_ends_exactly_once(items: int, data: st.DataObject) -> None:
    world = World(items, data)
    lost = False
    try:
        world.run()
    except Unavailable:
        lost = True
    assert sorted(world.ended) == list(range(world.pulled))
    assert lost or world.pulled == items


def flying(count: int) -> Flight[str, str]:
    flight: Flight[str, str] = Flight(POLICY, ITEMS_MAX, silence_s=60)
    for index in range(count):
        flight.pulled(Ticket(index, f"item {index}", "request", 1))
        flight.sent(float(index))
    return flight


def test_silence_is_counted_from_the_last_word_of_the_server() -> None:
    flight = flying(ITEMS_MAX)
    assert flight.next_step(3.0) == Wait(60.0, silence=True)
    flight.landed(0, 10.0)
    flight.exhausted()
    assert flight.next_step(10.0) == Wait(70.0, silence=True)


def breaks_until_given_up(flight: Flight[str, str]) -> int:
    for count in itertools.count(1):
        try:
            assert list(flight.broke(Unavailable("gone"), 0.0, 0.5)) == []
        except Unavailable:
            return count
        while isinstance(flight.next_step(1e9), Send):
            flight.sent(1e9)
    raise AssertionError("never given up")


def test_a_stream_that_never_worked_is_given_up_sooner_than_one_that_did() -> None:
    fresh, proven = flying(2), flying(2)
    proven.landed(0, 0.0)
    assert breaks_until_given_up(fresh) == POLICY.attempts_max
    assert breaks_until_given_up(proven) == POLICY.reconnects_max


def test_an_item_that_takes_the_server_down_each_time_is_given_up() -> None:
    flight = flying(1)
    for other in range(1, POLICY.attempts_max):
        assert list(flight.broke(Unavailable("crashed"), 0.0, 0.5)) == []
        flight.pulled(Ticket(other, "another item", "request", 1))
        while isinstance(flight.next_step(1e9), Send):
            flight.sent(1e9)
        flight.landed(other, 1e9)
    assert [failed.index for failed in flight.broke(Unavailable("crashed"), 0.0, 0.5)] == [0]


def test_an_answer_for_an_unknown_item_is_no_outcome() -> None:
    flight = flying(1)
    assert flight.landed(7, 0.0) is None
    assert flight.refused(7, NotFound("no"), 0.0, 0.5) is None


def test_a_break_without_hope_fails_also_what_waits_to_be_sent() -> None:
    flight = flying(2)
    flight.pulled(Ticket(2, "item 2", "request", 1))
    flight.refused(0, Unavailable("later"), 0.0, 0.5)
    failed: list[int] = []
    raised: LookalikeError | None = None
    try:
        failed.extend(one.index for one in flight.broke(Internal("bug"), 0.0, 0.5))
    except LookalikeError as error:
        raised = error
    assert (sorted(failed), type(raised)) == ([0, 1, 2], Internal)
