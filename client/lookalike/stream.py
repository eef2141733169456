"""Says what a kind of stream does with an item and with an answer; shared by the blocking and the async transport."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from lookalike.channel import refuse_if_too_large
from lookalike.errors import DeadlineExceeded, LookalikeError
from lookalike.flight import Flight, Ticket
from lookalike.types import Done, Outcome

Item = TypeVar("Item")
Response = TypeVar("Response")
Result = TypeVar("Result")
SentMessage = TypeVar("SentMessage", bound=Message)


@dataclass(frozen=True, slots=True)
class Answer(Generic[Response]):
    """The server said something about one item."""

    message: Response


@dataclass(frozen=True, slots=True)
class Broken:
    """A call of the stream is over; a stream may take several."""

    call: object
    error: LookalikeError


@dataclass(frozen=True, slots=True)
class StreamPlan(Generic[Item, SentMessage, Response, Result]):
    """One kind of stream: how an item becomes a message, and an answer a result."""

    build: Callable[[str, Item], SentMessage]
    read: Callable[[Response], tuple[str, Result | LookalikeError]]
    items_max: int
    silence_s: float

    def ticket(self, index: int, item: Item) -> Ticket[Item, SentMessage]:
        """Build the message for `item`; raise InvalidArgument if it cannot be sent."""
        request = self.build(str(index), item)
        size_bytes = request.ByteSize()
        refuse_if_too_large(size_bytes)
        return Ticket(index, item, request, size_bytes)

    def outcomes(
        self, answer: Answer[Response], flight: Flight[Item, SentMessage], now_s: float, dice: float
    ) -> Iterator[Outcome[Item, Result]]:
        """Enter `answer` in the books; yield the item's outcome unless it is tried again."""
        item_id, result = self.read(answer.message)
        index = int(item_id)
        if isinstance(result, LookalikeError):
            failed = flight.refused(index, result, now_s, dice)
            if failed is not None:
                yield failed
            return
        ticket = flight.landed(index, now_s)
        if ticket is not None:
            yield Done(ticket.index, ticket.item, result)

    def silent(self) -> DeadlineExceeded:
        """Return the error that ends a stream on which nothing is heard any more."""
        return DeadlineExceeded(
            f"the server has said nothing for {self.silence_s:g} s; whether the items on their way were done is unknown"
        )
