"""Starts a private PostgreSQL for tests, and breaks it: SIGKILL, SIGSTOP, SIGCONT. It forgets everything in the end.

The server refuses to run as root, so it runs as another user, over a folder of that user's own. Where
LOOKALIKE_TEST_POSTGRES names a server that may be used, tests make databases there instead and break nothing.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.parts.milvus import HOST, free_ports
from tests.parts.processes import await_stop, descendants

READY_DEADLINE_S = 60.0
STOP_DEADLINE_S = 10.0
ROLE = "lookalike"
GIVEN = os.environ.get("LOOKALIKE_TEST_POSTGRES")
# Becomes another user, whose ids come first, and the server. A killed test leaves nothing: SIGQUIT ends the
# server's other processes too. Not with Popen's user and preexec_fn, which fork a process whose gRPC has threads.
BECOME = (
    "import ctypes, os, sys; who = [int(one) for one in sys.argv[1].split(',') if one]; "
    "who and (os.setgroups([]), os.setgid(who[1]), os.setuid(who[0])); "
    "ctypes.CDLL(None).prctl(1, 3); os.execv(sys.argv[2], sys.argv[2:])"
)
# What is killed here is a process, never the machine: its system keeps what was not synced.
OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "fsync": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
}


def binaries() -> Path | None:
    """Return the folder of the newest PostgreSQL that is installed here."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


MISSING = "PostgreSQL is missing: as root, apt-get install postgresql; or set LOOKALIKE_TEST_POSTGRES to a URL"
breakable = pytest.mark.skipif(
    binaries() is None or GIVEN is not None,
    reason="breaks its server, so it needs one of its own: as root, apt-get install postgresql, and do not set "
    "LOOKALIKE_TEST_POSTGRES",
)


class Postgres:
    """One server over one folder; started again, it has the same port and the same databases."""

    def __init__(self) -> None:
        """Make a new cluster; nothing runs yet."""
        folder = binaries()
        assert folder is not None
        self._binaries = folder
        self._user = _user()
        self._process: subprocess.Popen[bytes] | None = None
        # Not pytest's own folder: that one is root's, and no other user may pass through it.
        self.home = Path(tempfile.mkdtemp(prefix="lookalike-postgres-"))
        if self._user is not None:
            os.chown(self.home, self._user.pw_uid, self._user.pw_gid)
        self._port = free_ports(1)[0]
        told = ["--username", ROLE, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        self._run([str(folder / "initdb"), "--pgdata", str(self.home / "data"), *told]).wait(READY_DEADLINE_S)
        assert (self.home / "data" / "PG_VERSION").exists(), self._said()

    @property
    def url(self) -> str:
        """The address of the database that every server has."""
        return f"postgresql://{ROLE}@{HOST}:{self._port}/postgres"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server; return once it answers."""
        assert not self.running
        options = [part for name, value in OPTIONS.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._binaries / "postgres"), "-D", str(self.home / "data"), "-p", str(self._port), *options]
        self._process = self._run(command)
        until = time.monotonic() + READY_DEADLINE_S
        while not self._answers():
            assert self.running, self._said()
            assert time.monotonic() < until, self._said()
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server as an operator does who does not wait for its clients."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the server's processes all at once, without a goodbye."""
        self._signal(signal.SIGKILL)
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop the server's clock: connections stay, new ones are taken by the kernel, nothing answers."""
        assert self._process is not None
        self._signal(signal.SIGSTOP)
        await_stop([psutil.Process(self._process.pid), *self.backends()])

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """End the server if it runs, and delete its folder."""
        if self.running:
            self.resume()
            self._end(signal.SIGQUIT)
        shutil.rmtree(self.home, ignore_errors=True)

    def backends(self) -> list[psutil.Process]:
        """Return the processes that answer clients, one for each connection."""
        assert self._process is not None
        found = []
        for one in descendants(self._process.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                if HOST in " ".join(one.cmdline()):
                    found.append(one)
        return found

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        assert process is not None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _signal(self, number: signal.Signals) -> None:
        """Tell the server and all its processes; each of those is in a session of its own."""
        assert self._process is not None
        self._process.send_signal(number)  # first, so that it starts no more
        for child in descendants(self._process.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.send_signal(number)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        who = (self._user.pw_uid, self._user.pw_gid) if self._user is not None else ()
        with (self.home / "server.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", BECOME, ",".join(map(str, who)), *command],
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _said(self) -> str:
        return (self.home / "server.log").read_text()[-2000:]


def _user() -> pwd.struct_passwd | None:
    """Return whom to run the server as; None where we are not root."""
    if os.getuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


@contextlib.contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """Make a database, and drop it in the end; give its URL."""
    name = f"lookalike_{uuid.uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    try:
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
