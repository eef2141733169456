"""Starts, kills, stops and revives the processes of a shop. Knows nothing of what they promise.

Every blow is verified: a killed process is gone and a paused one is stopped when the call returns, or AssertionError
says that the fault did not happen.
"""

import enum
import os
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

from lookalike_server.lite import LiteFailed, LiteProcess
from tests.parts.bound import bound
from tests.parts.milvus import Standalone

HOST = "127.0.0.1"
# The machine may be busy with other processes that start.
READY_S = 90.0
BLOW_S = 10.0
# A process that ends while it starts is started again, as a supervisor would.
RESTART_S = 0.5

# What Python runs for a router as it is ...
WHOLE = ("-m", "lookalike_server")
# ... and for one without one of its safeguards: a test must see a promise broken.
LACKING = (
    "import sys, lookalike_router.safeguards as s; s.ALL = s.Safeguards(**{sys.argv.pop(1): False}); "
    "from lookalike_server.__main__ import main; sys.exit(main())"
)


class Condition(enum.Enum):
    """How a process is."""

    UP = "up"
    DOWN = "down"
    PAUSED = "paused"
    RETURNING = "returning"


class Actor(ABC):
    """One process that can be broken and comes back at the same place with the same data."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.condition = Condition.DOWN
        self.busy = threading.Lock()
        """Held by the fault that is at work on it."""

    @property
    @abstractmethod
    def pid(self) -> int:
        """Return the process id of the one that runs."""

    @abstractmethod
    def start(self) -> None:
        """Start it and return once it serves; raise StartFailed if it ends instead."""

    @abstractmethod
    def bury(self) -> None:
        """Clear away what is left of a dead process."""

    def ended(self) -> bool:
        """Say whether it ended by itself; clear it away if it did."""
        if self.condition is not Condition.UP or psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE:
            return False
        self.bury()
        self.condition = Condition.DOWN
        return True

    def kill(self) -> None:
        """End it by SIGKILL."""
        process = psutil.Process(self.pid)
        process.kill()
        self.bury()
        assert not process.is_running(), f"{self.name} outlived SIGKILL"
        self.condition = Condition.DOWN

    def pause(self) -> bool:
        """Stop it by SIGSTOP; return False if it has ended by itself meanwhile."""
        process = psutil.Process(self.pid)
        process.suspend()
        until = time.monotonic() + BLOW_S
        while process.status() != psutil.STATUS_STOPPED:
            if self.ended():
                return False
            assert time.monotonic() < until, f"{self.name} runs on after SIGSTOP"
            time.sleep(0.001)
        self.condition = Condition.PAUSED
        return True

    def resume(self) -> None:
        """Let it run on."""
        psutil.Process(self.pid).resume()
        self.condition = Condition.UP

    def revive(self, stop: threading.Event) -> None:
        """Start it, again and again if it ends meanwhile, until it serves; raise StartFailed if it never does."""
        self.condition = Condition.RETURNING
        until = time.monotonic() + READY_S
        while True:
            try:
                self.start()
            except StartFailed:
                self.bury()
                if stop.wait(RESTART_S) or time.monotonic() > until:
                    raise
            else:
                self.condition = Condition.UP
                return


class StartFailed(Exception):
    """A process ended before it served."""


class LiteReplica(Actor):
    """A Milvus Lite server over one folder."""

    def __init__(self, name: str, data_dir: Path, port: int) -> None:
        super().__init__(name)
        self.lite = LiteProcess(name, data_dir, port)

    @property
    def address(self) -> str:
        """Return where it answers, as "host:port"."""
        return f"{HOST}:{self.lite.port}"

    @property
    def uri(self) -> str:
        return f"http://{self.address}"

    @property
    def data_dir(self) -> Path:
        """Return the folder that holds its rows."""
        return self.lite.data_dir

    @property
    def pid(self) -> int:
        return self.lite.pid

    def start(self) -> None:
        try:
            self.lite.start()
            self.lite.wait_ready(READY_S)
        except LiteFailed as failed:
            raise StartFailed(str(failed)) from failed

    def bury(self) -> None:
        self.lite.stop()


class StandaloneReplica(Actor):
    """A Milvus standalone server over one folder."""

    # What its parts wait for a killed predecessor's, in seconds; 30 by default.
    LEASE_S = 2

    def __init__(self, name: str, home: Path) -> None:
        super().__init__(name)
        self.server = Standalone(home, self.LEASE_S)

    @property
    def uri(self) -> str:
        return self.server.uri

    @property
    def address(self) -> str:
        """Return where it answers, as "host:port"."""
        return self.server.uri.removeprefix("http://")

    @property
    def pid(self) -> int:
        return self.server.pid

    def start(self) -> None:
        self.server.start()
        try:
            self.server.wait_ready(READY_S)
        except AssertionError as failed:
            raise StartFailed(str(failed)) from failed

    def bury(self) -> None:
        self.server.stop()


Replica = LiteReplica | StandaloneReplica


class RouterProcess(Actor):
    """One `lookalike-server serve`; its port stays the same."""

    def __init__(
        self, name: str, port: int, flags: Sequence[str], env: Mapping[str, str], log: Path, program: Sequence[str]
    ) -> None:
        """Take its flags without the port, what its environment has beside ours, its log, and what Python runs."""
        super().__init__(name)
        self.port = port
        self._program = program
        self.log = log
        self.first_flags: Sequence[str] = ()
        """More flags, until it has served once."""
        self._flags = flags
        self._env = env
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[str] | None = None

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self._log = self.log.open("a")
        serve = [sys.executable, *self._program, "serve", "--port", str(self.port)]
        self._process = subprocess.Popen(
            bound([*serve, *self._flags, *self.first_flags]),
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, **self._env},
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline().endswith("ready\n"):
            raise StartFailed(f"{self.name} did not start; read {self.log}")
        self.first_flags = ()

    def bury(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        if self._log is not None:
            self._log.close()
