"""Starts real Milvus standalone servers for tests and benches, and breaks them: SIGKILL, SIGSTOP, SIGCONT.

The server is the binary of the PyPI package `milvus`, unpacked once per machine and run in a process group of its
own: the package's own starter cannot say etcd's ports, and refuses a port in TIME_WAIT. Lite: lookalike_server.lite.
"""

import contextlib
import importlib.util
import lzma
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc

from tests.parts.bound import bound
from tests.parts.processes import await_stop

HOST = "127.0.0.1"
READY_DEADLINE_S = 120.0
STOP_DEADLINE_S = 5.0
# Below the kernel's ephemeral range, so that no client's socket takes a dead server's port before it returns.
PORTS = range(15_000, 32_000)
ETCD = """\
name: default
data-dir: {home}/data/etcd.data
listen-client-urls: http://127.0.0.1:{client}
advertise-client-urls: http://127.0.0.1:{client}
listen-peer-urls: http://127.0.0.1:{peer}
initial-advertise-peer-urls: http://127.0.0.1:{peer}
initial-cluster: default=http://127.0.0.1:{peer}
log-level: error
"""
SLOT = re.compile(r"\{\{\s*(\w+)(?:\(\w+\))?(?::\s*([^}]*?))?\s*\}\}")


def package() -> Path | None:
    """Return where the package `milvus` keeps its files, None where it cannot be installed."""
    spec = importlib.util.find_spec("milvus")
    return Path(spec.origin).parent / "data" if spec is not None and spec.origin is not None else None


def unpacked() -> Path:
    """Return the folder of the unpacked server; unpack it if this machine has not."""
    source = package()
    assert source is not None
    target = Path(tempfile.gettempdir()) / "lookalike-milvus-2.3.5"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=target.parent) as half:
        for archive in (source / "bin").glob("*.lzma"):
            out = Path(half) / archive.stem
            out.write_bytes(lzma.decompress(archive.read_bytes()))
            out.chmod(0o755)
        with contextlib.suppress(OSError):  # another run was faster; its files are the same
            Path(half).rename(target)
            Path(half).mkdir()  # for the context's own cleaning
    return target


def free_ports(count: int) -> list[int]:
    """Return `count` different ports on which nothing listens now."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            probe = held.enter_context(socket.socket())
            port = random.choice(PORTS)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                found.append(port)
    return found


class Standalone:
    """One Milvus standalone over one folder; started again, it has the same ports and the same rows."""

    def __init__(self, home: Path, lease_s: int = 30) -> None:
        """Take the folder, and how long the parts of a killed server are waited for when it starts again."""
        self.home = home
        self._lease_s = lease_s
        self._process: subprocess.Popen[bytes] | None = None
        names = sorted({name for name, _ in SLOT.findall(self._template()) if name.endswith("_port")})
        self._ports = dict(zip([*names, "etcd_peer", "metrics"], free_ports(len(names) + 2), strict=True))

    @property
    def uri(self) -> str:
        return f"http://{HOST}:{self._ports['proxy_port']}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process; it answers once `wait_ready` returns."""
        assert not self.running
        self._forget()
        binaries = unpacked()
        self._write_config()
        env = os.environ | {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._ports["metrics"]),
            "MILVUS_RUN_DIR": str(self.home / "run"),
            "LD_LIBRARY_PATH": str(binaries),
            "MILVUSCONF": str(self.home / "configs"),
        }
        with (self.home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                bound([str(binaries / "milvus"), "run", "standalone"]),
                cwd=self.home,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self, deadline_s: float = READY_DEADLINE_S) -> None:
        """Return once the server says that it is healthy, and its coordinators answer as well: they are later."""
        until = time.monotonic() + deadline_s
        while time.monotonic() < until:
            assert self.running, f"the server ended: {(self.home / 'server.log').read_text()[-2000:]}"
            if self._healthy() and self._coordinated():
                return
            time.sleep(0.05)
        raise AssertionError(f"no answer after {deadline_s:.0f} s; read {self.home}/server.log")

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self._ports['metrics']}/healthz", timeout=5) as answer:
                return b"OK" in answer.read()
        except OSError:  # urllib's own errors too
            return False

    def _coordinated(self) -> bool:
        with connected(self.uri) as stub:
            state = stub.GetLoadState(milvus_pb2.GetLoadStateRequest(collection_name="lookalike_ready"), timeout=5)
        return "not ready" not in state.status.reason

    def stop(self) -> None:
        """Stop the process if it runs: politely, then for good."""
        if self._process is not None and self.running:
            self._process.terminate()
            try:
                self._process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._forget()

    def _forget(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.wait()

    def _template(self) -> str:
        source = package()
        assert source is not None
        return (source / "config.yaml.template").read_text()

    def _write_config(self) -> None:
        for folder in ("configs", "logs", "data", "run"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        etcd = self.home / "etcd.yaml"
        etcd.write_text(ETCD.format(home=self.home, client=self._ports["etcd_port"], peer=self._ports["etcd_peer"]))
        told = {
            **{name: str(port) for name, port in self._ports.items()},
            "etcd_data_dir": str(self.home / "data/etcd.data"),
            "local_storage_dir": str(self.home / "data"),
            "rocksmq_data_dir": str(self.home / "data/rocksmq"),
            "system_log_path": str(self.home / "logs"),
            "etcd_log_path": str(self.home / "logs/etcd.log"),
        }
        text = SLOT.sub(lambda slot: told.get(slot.group(1), slot.group(2) or ""), self._template())
        # The template knows `etcd.use.embed` but not the key that names etcd's own file.
        text = text.replace("  use:\n    embed: true", f"  config:\n    path: {etcd}\n  use:\n    embed: true")
        # Its parts speak to each other; on this machine alone.
        text = text.replace("  ip: # if not specify", "  ip: 127.0.0.1 # if not specify")
        text = text.replace(
            "    ttl: 30 # ttl value when session", f"    ttl: {self._lease_s} # ttl value when session"
        )
        # On a busy machine a part that is late is not dead.
        text = text.replace("  heartbeatAvailableInterval: 10000", "  heartbeatAvailableInterval: 60000")
        text = text.replace("  level: info # Only supports debug", "  level: error # Only supports debug")
        (self.home / "configs" / "milvus.yaml").write_text(text)
        source = package()
        assert source is not None
        (self.home / "configs" / "glog.conf").write_text((source / "glog.conf").read_text())


def start(homes: list[Path]) -> list[Standalone]:
    """Start one standalone per folder, all at once; return them ready."""
    servers = [Standalone(home) for home in homes]
    try:
        for server in servers:
            server.start()
        for server in servers:
            server.wait_ready()
    except BaseException:
        for server in servers:
            server.stop()
        raise
    return servers


def kill(pid: int) -> None:
    """End a server as a power cut of its process would."""
    os.killpg(pid, signal.SIGKILL)


def pause(pid: int) -> None:
    """Stop a server's clock: connections stay, nothing answers. It has stopped when this returns."""
    os.killpg(pid, signal.SIGSTOP)
    await_stop([psutil.Process(pid)])


def resume(pid: int) -> None:
    """Let a paused server go on."""
    os.killpg(pid, signal.SIGCONT)


@contextlib.contextmanager
def connected(uri: str) -> Iterator[Any]:
    """Give a client of a server, for what tests do behind the router's back."""
    with grpc.insecure_channel(uri.removeprefix("http://")) as channel:
        yield milvus_pb2_grpc.MilvusServiceStub(channel)


def empty(uri: str) -> None:
    """Drop every collection of ours on a server, so that another shop may be founded there."""
    with connected(uri) as stub:
        shown = stub.ShowCollections(milvus_pb2.ShowCollectionsRequest())
        assert shown.status.code == 0, shown.status.reason
        for name in shown.collection_names:
            if name.startswith("lookalike_"):
                dropped = stub.DropCollection(milvus_pb2.DropCollectionRequest(collection_name=name))
                assert dropped.code == 0, dropped.reason
