"""Serves a Milvus Lite folder so that reads see whole states of it. Knows no process and no rows.

Milvus Lite's own server lets ten threads at one engine that is made for one writer: while it flushes, reads miss what
it holds in memory, rows and deletions alike, and writes at the same time may be lost. And an engine that failed to
write forgets rows that it acknowledged until it starts again, or writes on behind a torn log. So here a write runs
alone, reads run together, and a server that could not write ends: started again, it reads all it acknowledged.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from milvus_lite.adapter.grpc.servicer import MilvusServicer
from milvus_lite.db import MilvusLite
from pymilvus.grpc_gen import milvus_pb2_grpc

# Calls at a time; beyond it they wait in line. Milvus Lite's own number.
THREADS = 10
MESSAGE_BYTES_MAX = 256 * 2**20
STOP_S = 5
READS = {
    "Connect",
    "DescribeCollection",
    "DescribeIndex",
    "GetLoadState",
    "GetVersion",
    "HasCollection",
    "HasPartition",
    "Query",
    "Search",
    "ShowCollections",
}
WRITES = {"Delete", "Flush", "Insert", "Upsert"}
# What Milvus Lite answers where something broke that is no fault of the caller's.
UNEXPECTED = 1


class Turns:
    """Lets some in together, and one alone."""

    def __init__(self) -> None:
        """Start with nobody inside."""
        self._door = threading.Lock()
        self._left = threading.Condition()
        self._inside = 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """Be inside with others of this kind."""
        with self._door, self._left:
            self._inside += 1
        try:
            yield
        finally:
            with self._left:
                self._inside -= 1
                self._left.notify()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be inside with nobody else; who comes later waits at the door."""
        with self._door:
            with self._left:
                self._left.wait_for(lambda: not self._inside)
            yield


class Order(grpc.ServerInterceptor):
    """Gives every call its turn."""

    def __init__(self, end: Callable[[str], None]) -> None:
        """Take what ends the server, given why."""
        self._turns = Turns()
        self._end = end

    def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of a call, in its turn."""
        handler = continuation(handler_call_details)
        method = handler_call_details.method.rpartition("/")[2]
        if handler is None or handler.unary_unary is None:
            return handler
        turn = self._turns.together if method in READS else self._turns.alone

        def serve(request: Any, context: grpc.ServicerContext) -> Any:
            with turn():
                answer = handler.unary_unary(request, context)
                if method in WRITES and answer.status.code == UNEXPECTED:
                    self._end(f"{method} failed: {answer.status.reason}; start again once the disk takes writes")
            return answer

        return grpc.unary_unary_rpc_method_handler(
            serve, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )


def run_server(data_dir: str, host: str, port: int) -> None:
    """Serve one folder until SIGINT."""
    engine = MilvusLite(data_dir)
    server = grpc.server(
        ThreadPoolExecutor(THREADS),
        interceptors=[Order(end_now)],
        options=[
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        ],
    )
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(MilvusServicer(engine), server)
    server.add_insecure_port(f"{host}:{port}")
    server.start()
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop(STOP_S).wait()
        engine.close()


def end_now(why: str) -> None:
    """End this process before anybody reads what the engine has in memory now."""
    with contextlib.suppress(OSError):  # the log may be on the disk that is full
        print(f"ended: {why}", file=sys.stderr, flush=True)
    os._exit(1)
