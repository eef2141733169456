"""The demo, on a sample shop as small as can be: it fills, searches, reports, serves, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from lookalike import Client
from tests.e2e.cluster import eventually, photo, write_models
from tests.parts.processes import descendants
from tests.web.shopfront import free_port

ENDS_S = 120.0
PRODUCTS = 6
RUN = "import asyncio, sys; from pathlib import Path; from lookalike_server.demo import Page, run_demo; " + (
    "told = sys.argv[1:]; page = Page(port=int(told[3])); "
    "sys.exit(asyncio.run(run_demo(Path(told[0]), 0, once=told[2] == 'once', sample=Path(told[1]), page=page)))"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with tiny models and a sample of one-coloured products; each photo shows one on its left."""
    home = tmp_path_factory.mktemp("demo")
    write_models(home)
    sample = home / "sample"
    (sample / "images").mkdir(parents=True)
    (sample / "photos").mkdir()
    rows, truth = ["product_id,image,title,category,price,currency,in_stock"], []
    for n in range(PRODUCTS):
        (sample / "images" / f"{n}.jpg").write_bytes(photo(n * 40))
        (sample / "photos" / f"{n}.jpg").write_bytes(photo(n * 40))
        rows.append(f"p{n},images/{n}.jpg,Shade {n},shade,9.90,EUR,true")
        truth.append(json.dumps({"photo": f"photos/{n}.jpg", "product_id": f"p{n}", "box": [0.05, 0, 0.45, 1]}))
    (sample / "catalog.csv").write_text("\n".join(rows))
    (sample / "truth.jsonl").write_text("\n".join(truth))
    return home


def start(home: Path, how: str, http_port: int = 0) -> subprocess.Popen[str]:
    models = {f"LOOKALIKE_{kind.upper()}": str(home / f"{kind}.zip") for kind in ("detector", "embedder")}
    command = [sys.executable, "-c", RUN, str(home / "data"), str(home / "sample"), how, str(http_port)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | models)


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Return what the process prints up to a line with `text`."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"{said}{process.stderr.read() if process.stderr else ''}")


def test_once_it_reports_and_ends_with_json_and_the_second_time_it_imports_nothing(home: Path) -> None:
    first, first_errors = start(home, "once").communicate(timeout=ENDS_S)
    again, again_errors = start(home, "once").communicate(timeout=ENDS_S)
    for said, errors in ((first, first_errors), (again, again_errors)):
        assert said, errors
        told = json.loads(said.splitlines()[-1])
        assert (told["products"], told["images"], told["photos"], told["shards"]) == (PRODUCTS, PRODUCTS, PRODUCTS, 3)
        assert (told["recall_at_1"], told["recall_at_5"], told["coverage"]) == (1.0, 1.0, 1.0)
        assert told["search_p95_ms"] >= told["search_p50_ms"] > 0
    assert f"{PRODUCTS} products imported" in first
    assert "nothing to import" in again
    assert "Shade 0 1.00 ✓" in again


def test_it_keeps_serving_until_ctrl_c_and_leaves_nothing_behind(home: Path) -> None:
    http_port = free_port()
    process = start(home, "serve", http_port)
    said = read_until(process, "The page")
    started = descendants(process.pid)
    assert f"http://127.0.0.1:{http_port}/" in said
    for place in ("", "ops", "v1/images/images/0.jpg", "samples/0.jpg"):
        with urlopen(f"http://127.0.0.1:{http_port}/{place}", timeout=ENDS_S) as answer:
            assert answer.status == 200
    address = said.rpartition("keeps serving on ")[2].split(";")[0]
    with Client(address) as client:
        assert len(client.shards()) == 3
    assert len(started) == 3
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=ENDS_S)
    assert process.returncode == 0, errors
    assert errors == ""
    assert [child for child in started if child.is_running()] == []


def test_its_shards_end_with_it_even_when_it_is_killed(home: Path) -> None:
    process = start(home, "serve")
    read_until(process, "keeps serving on")
    started = descendants(process.pid)
    process.kill()
    process.communicate(timeout=ENDS_S)
    eventually(lambda: not any(child.is_running() for child in started), ENDS_S)


def test_two_demos_do_not_share_a_folder(home: Path) -> None:
    first = start(home, "serve")
    try:
        read_until(first, "keeps serving on")
        _, errors = start(home, "once").communicate(timeout=ENDS_S)
        assert "another demo uses" in errors
    finally:
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=ENDS_S)
