"""The command line against a real server over real shards: what an operator types, and what comes back."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import Cluster, photo

RUNS_S = 60.0
HEADER = "product_id,image,title,category,price,currency,color\n"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    running = Cluster(tmp_path_factory.mktemp("cli"))
    try:
        running.server.start()
        yield running
    finally:
        running.close()


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    """Return a feed of six products with two pictures each."""
    rows = []
    for n in range(12):
        (tmp_path / f"{n}.jpg").write_bytes(photo(n * 20))
        rows.append(f"p{n // 2},{n}.jpg,Shade {n // 2},shade,{n // 2}.50,EUR,red\n")
    path = tmp_path / "shop.csv"
    path.write_text(HEADER + "".join(rows))
    return path


def cli(cluster: Cluster, *argv: str) -> tuple[int, Any, str]:
    """Run the command line; return its code, its JSON and what it says to people."""
    command = [sys.executable, "-c", "from lookalike.cli import main; main()", *argv, "--json"]
    done = subprocess.run(
        [*command, "--server", cluster.server.address], capture_output=True, text=True, timeout=RUNS_S, check=False
    )
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None, done.stderr


def test_a_feed_is_imported_searched_and_imported_again_for_nothing(cluster: Cluster, feed: Path) -> None:
    code, told, said = cli(cluster, "import", str(feed))
    assert (code, told["created"], told["images_embedded"]) == (0, 6, 12), said
    code, told, said = cli(cluster, "import", str(feed))
    assert (code, told["unchanged"], told["images_embedded"]) == (0, 6, 0), said
    code, told, said = cli(cluster, "search", str(feed.parent / "4.jpg"), "--limit", "2")
    assert (code, [hit["product"]["product_id"] for hit in told["hits"]][:1]) == (0, ["p2"]), said
    code, told, said = cli(cluster, "search", str(feed.parent / "4.jpg"), "--filter", "price<1,color=red")
    assert (code, {hit["product"]["product_id"] for hit in told["hits"]}) == (0, {"p0"}), said


def test_the_shop_is_in_order(cluster: Cluster, feed: Path) -> None:
    cli(cluster, "import", str(feed))
    code, told, said = cli(cluster, "doctor")
    assert code == 0, (told, said)
    code, told, said = cli(cluster, "shards")
    assert code == 0, said
    code, told, said = cli(cluster, "product", "get", "p1")
    assert (code, told["title"]) == (0, "Shade 1"), (told, said)
    code, told, said = cli(cluster, "product", "delete", "p5", "--yes")
    assert code == 0, said
    code, told, said = cli(cluster, "product", "get", "p5")
    assert (code != 0, "p5" in said) == (True, True), (told, said)


def test_a_wrong_row_is_told_and_the_others_are_stored(cluster: Cluster, feed: Path) -> None:
    (feed.parent / "text.jpg").write_text("this is no picture")
    lines = feed.read_text().splitlines(keepends=True)
    lines += [lines[1], "gone,nowhere.jpg,Gone,shade,1.00,EUR,red\n", "text,text.jpg,Text,shade,1.00,EUR,red\n"]
    feed.write_text("".join(lines))
    code, told, said = cli(cluster, "import", str(feed))
    assert code != 0
    assert told["failed"] == 2, (told, said)
    failed = Path(told["failed_file"]).read_text()
    assert "nowhere.jpg" in failed
    assert "text.jpg" in failed
    assert "repeats" in failed


def test_a_feed_without_a_needed_column_is_refused_whole(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text("product_id,title\np1,Mug\n")
    code, _, said = cli(cluster, "import", str(tmp_path / "shop.csv"))
    assert code != 0
    assert "image" in said
