import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lookalike_server.lite import LiteFailed, LiteProcess

READY_S = 60.0


def test_a_process_answers_stops_and_starts_again_at_the_same_address(tmp_path: Path) -> None:
    lite = LiteProcess("a", tmp_path / "a")
    lite.start()
    try:
        lite.wait_ready(READY_S)
        uri, first = lite.uri, psutil.Process(lite.pid)
        heard = {one.laddr.ip for one in first.net_connections() if one.status == psutil.CONN_LISTEN}
        assert {address.removeprefix("::ffff:") for address in heard} == {"127.0.0.1"}
        with pytest.raises(LiteFailed, match="already"):
            lite.start()
        lite.stop()
        assert not lite.running
        assert not psutil.pid_exists(first.pid)
        lite.start()
        lite.wait_ready(READY_S)
        assert lite.uri == uri
    finally:
        lite.stop()


def test_a_process_that_ends_at_once_says_where_to_read_why(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "LOCK").mkdir()
    lite = LiteProcess("a", tmp_path / "a")
    lite.start()
    try:
        with pytest.raises(LiteFailed, match=r"a\.log"):
            lite.wait_ready(READY_S)
    finally:
        lite.stop()


def test_stopping_what_was_never_started_is_nothing(tmp_path: Path) -> None:
    LiteProcess("a", tmp_path / "a").stop()


def test_a_process_ends_with_a_starter_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from lookalike_server.lite import LiteProcess;"
        "lite = LiteProcess('a', pathlib.Path(sys.argv[1])); lite.start(); lite.wait_ready();"
        "print(lite.pid, flush=True); sys.stdin.read()"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "a")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert starter.stdout is not None
    assert starter.stdin is not None
    lite = psutil.Process(int(starter.stdout.readline()))

    starter.send_signal(signal.SIGKILL)
    starter.wait()

    lite.wait(timeout=READY_S)
    starter.stdout.close()
    starter.stdin.close()
