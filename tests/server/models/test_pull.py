import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lookalike_server.models.pull import KNOWN, PullError, Weights, pull

CONTENT = b"weights of a network"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Leave the test's output alone."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """Serve a folder with one file of weights on loopback."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "net.pt").write_bytes(CONTENT)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "site"))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def known(url: str, content: bytes = CONTENT) -> dict[str, Weights]:
    return {"net": Weights(url, hashlib.sha256(content).hexdigest(), "Apache-2.0", "--detector net.pt")}


def test_weights_come_by_name_and_are_kept(site: str, tmp_path: Path) -> None:
    path = pull("net", tmp_path / "models", known(site + "net.pt"))
    assert path.read_bytes() == CONTENT
    assert [one.name for one in path.parent.iterdir()] == ["net.pt"]


def test_weights_that_are_there_are_not_downloaded_again(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(CONTENT)
    assert pull("net.pt", tmp_path, known("http://127.0.0.1:1/net.pt")) == tmp_path / "net.pt"


def test_another_file_than_was_promised_is_not_kept(site: str, tmp_path: Path) -> None:
    with pytest.raises(PullError, match="another file than was promised"):
        pull("net", tmp_path / "models", known(site + "net.pt", b"something else"))
    assert not list((tmp_path / "models").iterdir())


@pytest.mark.parametrize("missing", [True, False])
def test_a_network_that_refuses_is_told_with_what_to_do(site: str, tmp_path: Path, missing: bool) -> None:
    url = site + "gone.pt" if missing else "http://127.0.0.1:1/gone.pt"
    with pytest.raises(PullError, match=r"could not be downloaded.* put the file into"):
        pull("net", tmp_path / "models", known(url))
    assert not list((tmp_path / "models").iterdir())


def test_a_name_that_nobody_knows_is_answered_with_those_known() -> None:
    with pytest.raises(PullError, match="yolo26n"):
        pull("yolo99", Path("models"))


def test_every_digest_is_whole_and_torchvision_names_its_files_by_them() -> None:
    for weights in KNOWN.values():
        assert len(bytes.fromhex(weights.sha256)) == 32
        if "pytorch.org" in weights.url:
            assert weights.file.endswith(f"-{weights.sha256[:8]}.pth")
