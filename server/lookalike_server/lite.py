"""Runs Milvus Lite, the embedded shard, as a process of its own on loopback. Knows no rows and no router."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

HOST = "127.0.0.1"
# Imports take about two seconds on an idle machine, and recovery of the rows comes on top.
READY_DEADLINE_S = 60.0
# Milvus Lite lets calls in flight finish for 5 s, then writes its memtable.
STOP_DEADLINE_S = 10.0
POLL_S = 0.02


class LiteFailed(Exception):
    """A Milvus Lite process did not start."""


class LiteProcess:
    """One Milvus Lite server over one folder; it ends with the process that started it, however that one ends."""

    def __init__(self, name: str, data_dir: Path, port: int = 0) -> None:
        """Take the folder that holds `name`'s rows; port 0 picks a free one, which later starts keep."""
        self.name = name
        self.data_dir = data_dir
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Return where it answers."""
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Return the process id; the process leads a group of its own."""
        if self._process is None:
            raise LiteFailed(f"shard {self.name} is not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Say whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process; it answers once `wait_ready` returns."""
        if self.running:
            raise LiteFailed(f"shard {self.name} runs already")
        self._forget()
        self.port = self.port or free_port()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "lookalike_server.lite", str(self.data_dir.resolve()), str(self.port)]
        with (self.data_dir.parent / f"{self.data_dir.name}.log").open("ab") as log:
            # A group of its own: Ctrl-C in the terminal reaches the starter alone, which stops its shards last.
            # The pipe is how the process notices that its starter is gone, even by SIGKILL.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )

    def wait_ready(self, deadline_s: float = READY_DEADLINE_S) -> None:
        """Return once the server answers; raise LiteFailed if it ends or takes too long."""
        until = time.monotonic() + deadline_s
        while time.monotonic() < until:
            if not self.running:
                raise LiteFailed(f"shard {self.name} ended at once; read {self.data_dir}.log")
            try:
                with socket.create_connection((HOST, self.port), timeout=1.0):
                    return
            except OSError:
                time.sleep(POLL_S)
        raise LiteFailed(f"shard {self.name} does not answer after {deadline_s:.0f} s; read {self.data_dir}.log")

    def stop(self) -> None:
        """Stop the process if it runs: politely, then for good."""
        if self._process is not None and self.running:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._forget()

    def _forget(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


def free_port() -> int:
    """Return a port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _end_with_starter() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGINT)


def main() -> None:
    """Serve one folder until SIGINT or the end of standard input."""
    parser = argparse.ArgumentParser(prog="lookalike_server.lite")
    parser.add_argument("data_dir")
    parser.add_argument("port", type=int)
    told = parser.parse_args()
    # Imported here: only the process that serves needs the engine.
    from lookalike_server.lite_server import run_server

    # A shell's background jobs ignore SIGINT, and so would this process, which is told to end by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_end_with_starter, daemon=True).start()
    run_server(told.data_dir, host=HOST, port=told.port)


if __name__ == "__main__":
    main()
