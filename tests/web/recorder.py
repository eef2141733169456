"""Stands between a browser and the server and keeps what the browser sends, as it arrives."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CHUNK = 1 << 16


class Recorder:
    """A port that passes everything on to another."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._sent = bytearray()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._spawn(self._accept)

    def sent(self) -> bytes:
        """Return what has arrived so far, over all connections."""
        with self._lock:
            return bytes(self._sent)

    def close(self) -> None:
        """Take no more connections and cut those that are open."""
        for one in (self._listener, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += near, far
                self._spawn(self._pass_on, near, far, True)
                self._spawn(self._pass_on, far, near, False)

    def _pass_on(self, source: socket.socket, target: socket.socket, keep: bool) -> None:
        with suppress(OSError):
            while chunk := source.recv(CHUNK):
                if keep:
                    with self._lock:
                        self._sent += chunk
                target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)

    def _spawn(self, work: object, *args: object) -> None:
        threading.Thread(target=work, args=args, daemon=True).start()  # type: ignore[arg-type]


@contextmanager
def recording(target: int) -> Iterator[Recorder]:
    """Record what goes to a port."""
    recorder = Recorder(target)
    try:
        yield recorder
    finally:
        recorder.close()


def picture_in(sent: bytes) -> bytes:
    """Return the JPEG that was sent in a form."""
    begin = sent.rindex(b"\xff\xd8\xff")
    return sent[begin : sent.index(b"\r\n--", begin)]
