"""`lookalike eval` on the sample shop through a real server: what an operator measures, and how often it errs."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lookalike_server.demo import SAMPLE
from tests.e2e.cluster import Cluster, Server

RUNS_S = 600.0
# Photos of one product each come first; of these the shop lacks what they show.
ABSENT = 12
# Detection may cost this much of recall against the whole photo.
COST_MAX = 0.01


def command(server: Server, *argv: str) -> dict[str, Any]:
    """Run the command line and return what it prints as JSON."""
    line = [sys.executable, "-c", "from lookalike.cli import main; main()", *argv, "--json", "--server", server.address]
    done = subprocess.run(line, capture_output=True, text=True, timeout=RUNS_S, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def without(absent: set[str], folder: Path) -> Path:
    """Write the sample's feed without some products."""
    with (SAMPLE / "catalog.csv").open(newline="") as file:
        rows = [row | {"image": str(SAMPLE / row["image"])} for row in csv.DictReader(file)]
    with (folder / "shop.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row for row in rows if row["product_id"] not in absent)
    return folder / "shop.csv"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], Path]]:
    """Return the report on the sample's photos, of which some show what the shop lacks, and the folder."""
    home = tmp_path_factory.mktemp("eval")
    lines = [json.loads(line) for line in (SAMPLE / "truth.jsonl").read_text().splitlines()]
    absent = {line["product_id"] for line in lines[:ABSENT]}
    rows = [line | {"photo": str(SAMPLE / line["photo"])} for line in lines if line["product_id"] not in absent]
    rows += [{"photo": str(SAMPLE / line["photo"])} for line in lines[:ABSENT]]
    (home / "truth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    cluster = Cluster(home, {"a": ("a",)})
    server = Server(home, cluster.server.shards, bundled=True)
    cluster.server = server
    try:
        server.start()
        assert command(server, "import", str(without(absent, home)))["failed"] == 0
        files = ("--out", str(home / "report.json"), "--page", str(home / "misses.html"))
        yield command(server, "eval", str(home / "truth.jsonl"), *files), home
    finally:
        cluster.close()


def test_every_way_to_ask_is_measured(measured: tuple[dict[str, Any], Path]) -> None:
    report, home = measured
    assert set(report["modes"]) == {"detected", "whole", "tapped", "boxed"}
    assert report["modes"]["boxed"]["recall_at_1"] >= 0.8
    assert report["modes"]["tapped"]["recall_at_5"] >= 0.8
    assert len(report["categories"]) > 10
    assert json.loads((home / "report.json").read_text()) == report
    assert "data:image/jpeg;base64" in (home / "misses.html").read_text()


def test_detection_does_not_cost_what_the_whole_photo_finds(measured: tuple[dict[str, Any], Path]) -> None:
    assert measured[0]["detection_gains"] >= -COST_MAX


def test_things_that_are_not_in_the_shop_are_rarely_called_the_same(measured: tuple[dict[str, Any], Path]) -> None:
    matches = measured[0]["matches"]
    assert matches["absent"] == ABSENT
    assert matches["absent_called_same"] <= 1 / ABSENT
    assert matches["true_called_same"] > 0
