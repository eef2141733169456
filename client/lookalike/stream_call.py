"""One gRPC call of a stream, which may take several. Knows neither its messages nor who listens.

It takes two threads: gRPC's own, which sends what is put in, and one that listens and hands on what it hears.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

import grpc
from google.protobuf.message import Message

from lookalike.errors import LookalikeError, Unavailable
from lookalike.stream import Answer, Broken

Response = TypeVar("Response")
SentMessage = TypeVar("SentMessage", bound=Message)


class StreamCall(Generic[SentMessage, Response]):
    """A call that is open; every answer, and its end, goes to `hear`, which is called in another thread."""

    def __init__(
        self,
        method: "grpc.StreamStreamMultiCallable[SentMessage, Response]",
        hear: Callable[[Answer[Response] | Broken], None],
        failure: Callable[[grpc.RpcError], LookalikeError],
    ) -> None:
        self._hear = hear
        self._failure = failure
        self._outbox: SimpleQueue[SentMessage | None] = SimpleQueue()
        self._rpc = method(iter(self._outbox.get, None))
        threading.Thread(target=self._listen, name="lookalike-stream", daemon=True).start()

    def send(self, request: SentMessage) -> None:
        """Send `request`; returns at once, as the flight bounds what waits here."""
        self._outbox.put(request)

    def finish(self) -> None:
        """Tell the server that nothing more comes."""
        self._outbox.put(None)

    def abandon(self) -> None:
        """End the call now; harmless where it is over."""
        self._outbox.put(None)  # ends gRPC's sending thread, which waits for more
        self._rpc.cancel()

    def _listen(self) -> None:
        try:
            for message in self._rpc:
                self._hear(Answer(message))
            error: LookalikeError = Unavailable("the server ended the stream before it had answered")
        except grpc.RpcError as failed:
            error = self._failure(failed)
            error.__cause__ = failed
        self._hear(Broken(self, error))
