"""`lookalike eval` against a scripted server, whose best match for every photo is mug-0."""

import json
from pathlib import Path

from google.rpc import code_pb2

from lookalike.v1 import search_pb2
from tests.client.script import Refusal
from tests.client.scripted import ScriptedShop
from tests.client.typed import Cli, said


def truth(folder: Path, *rows: dict[str, object]) -> Path:
    for row in rows:
        (folder / str(row["photo"])).write_bytes(str(row["photo"]).encode())
    (folder / "truth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "truth.jsonl"


def test_a_photo_is_asked_about_in_every_way(cli: Cli, filled: ScriptedShop, tmp_path: Path) -> None:
    source = truth(
        tmp_path, {"photo": "a.jpg", "product_id": "mug-0", "box": [0, 0, 0.5, 1]}, {"photo": "b.jpg", "class": "mug"}
    )
    result = cli("eval", source, "--json")
    told = said(result)
    assert (result.exit_code, told["photos"], told["model"]) == (0, 2, said(cli("search", source, "--json"))["model"])
    assert {mode: one["n"] for mode, one in told["modes"].items()} == {
        "detected": 2,
        "whole": 2,
        "tapped": 1,
        "boxed": 1,
    }
    assert told["modes"]["detected"]["recall_at_1"] == 1
    assert told["modes"]["detected"]["map_at_10"] == 1
    assert list(told["categories"]) == ["mug"]
    assert told["timings_ms"]["total_ms"]["p99"] == 12.5


def test_misses_are_drawn_and_the_report_is_written(cli: Cli, filled: ScriptedShop, tmp_path: Path) -> None:
    source = truth(tmp_path, {"photo": "a.jpg", "product_id": "mug-2", "category": "cups"})
    files = ("--out", tmp_path / "report.json", "--page", tmp_path / "misses.html")
    result = cli("eval", source, *files, COLUMNS="120")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "the photo, with detection" in result.stdout
    assert "detection gains 0.0 points" in result.stdout
    assert json.loads((tmp_path / "report.json").read_text())["modes"]["detected"]["recall_at_1"] == 0
    assert "should have been mug-2" in (tmp_path / "misses.html").read_text()


def test_things_that_the_shop_lacks_are_false_matches_when_called_the_same(
    cli: Cli, filled: ScriptedShop, tmp_path: Path
) -> None:
    filled.match = search_pb2.Hit.MATCH_SAME
    source = truth(tmp_path, {"photo": "a.jpg"}, {"photo": "b.jpg", "product_id": "mug-0"})
    matches = said(cli("eval", source, "--json"))["matches"]
    assert (matches["absent"], matches["absent_called_same"], matches["true_called_same"]) == (1, 1, 1)
    shown = cli("eval", source, COLUMNS="120").stdout
    assert "1 photos of things not in the shop: 100.0% called the same" in shown


def test_a_ground_truth_of_another_shop_is_told(cli: Cli, filled: ScriptedShop, tmp_path: Path) -> None:
    source = truth(tmp_path, {"photo": "a.jpg", "product_id": "gone-1"}, {"photo": "b.jpg", "class": "sofa"})
    result = cli("eval", source, "--json")
    told = said(result)
    assert (result.exit_code, told["unknown_products"]) == (4, ["gone-1", "sofa"])
    assert told["modes"]["detected"] | {"n": 0} == dict.fromkeys(told["modes"]["detected"], 0)
    assert "count as missed: gone-1, sofa" in cli("eval", source, COLUMNS="120").stdout


def test_a_photo_that_is_refused_does_not_end_the_others(cli: Cli, filled: ScriptedShop, tmp_path: Path) -> None:
    source = truth(tmp_path, {"photo": "a.jpg"}, {"photo": "b.jpg"})
    filled.script.calls.append(Refusal(code_pb2.INVALID_ARGUMENT, "the JPEG is cut off", "CORRUPT_IMAGE"))
    result = cli("eval", source, "--json")
    told = said(result)
    assert (result.exit_code, told["photos"]) == (4, 1)
    assert told["failed"] == {str(tmp_path / "a.jpg"): "the JPEG is cut off"}


def test_a_wrong_ground_truth_is_a_wrong_command(cli: Cli, tmp_path: Path) -> None:
    result = cli("eval", tmp_path / "gone.csv")
    assert (result.exit_code, "gone.csv" in result.stderr) == (2, True)
