"""The commands, as a person or a program types them, against a scripted server."""

import csv
import json
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest
from google.rpc import code_pb2
from typer.testing import CliRunner

import lookalike
from lookalike.cli.app import app
from lookalike.v1 import search_pb2
from tests.client.script import AWAY, Refusal
from tests.client.scripted import ScriptedShop
from tests.client.typed import Cli, said

CORRUPT = Refusal(code_pb2.INVALID_ARGUMENT, "product.images[1]: the JPEG is cut off", "CORRUPT_IMAGE")


def feed(folder: Path, *rows: str) -> Path:
    for picture in ("a.jpg", "b.jpg"):
        (folder / picture).write_bytes(picture.encode())
    path = folder / "shop.csv"
    path.write_text("\n".join(["product_id,image,title,price,currency", *rows]) + "\n")
    return path


def failed_rows(folder: Path) -> dict[str, str]:
    with (folder / "shop.failed.csv").open(newline="") as file:
        return {f"{row['product_id']} {row['image']}": row["error"] for row in csv.DictReader(file)}


def test_an_import_tells_what_it_did(cli: Cli, server: ScriptedShop, tmp_path: Path) -> None:
    source = feed(tmp_path, "mug-1,a.jpg,Mug,24.90,EUR", "cup-1,b.jpg,Cup,,", "mug-1,b.jpg,,,")
    first = cli("import", source)
    assert (first.exit_code, first.stderr) == (0, "")
    assert "2 products" in first.stdout
    assert "2 created, 0 updated, 0 unchanged, 0 failed" in first.stdout
    assert "3 embedded, 0 known already" in first.stdout
    assert len(server.products["mug-1"].images) == 2
    again = said(cli("import", source, "--json"))
    assert (again["unchanged"], again["images_embedded"], again["images_reused"]) == (2, 0, 3)
    assert (again["failed_file"], again["finished"]) == (None, True)


def test_rows_that_fail_are_written_down_and_the_others_go_on(cli: Cli, server: ScriptedShop, tmp_path: Path) -> None:
    server.script.items["bad"] = deque([CORRUPT])
    rows = ["mug-1,a.jpg,Mug,,", "bad,a.jpg,Bad,,", "bad,b.jpg,,,", "gone,gone.jpg,,,", "mug-1,a.jpg,Mug,,"]
    result = cli("import", feed(tmp_path, *rows), "--json")
    told = said(result)
    assert (result.exit_code, told["created"], told["failed"], told["rows_failed"]) == (4, 1, 2, 4)
    assert told["failed_file"] == str(tmp_path / "shop.failed.csv")
    with (tmp_path / "shop.failed.csv").open(newline="") as file:
        errors = [(row["product_id"], row["error"]) for row in csv.DictReader(file)]
    assert sorted(errors) == [
        ("bad", "line 3: not wrong itself; line 4 of the same product is"),
        ("bad", "line 4: product.images[1]: the JPEG is cut off"),
        ("gone", f"line 5: no such picture: {tmp_path / 'gone.jpg'}"),
        ("mug-1", "line 2: not wrong itself; line 6 of the same product is"),
        ("mug-1", "line 6: repeats line 2: same product_id and image"),
    ]


def test_the_file_of_failed_rows_can_be_mended_and_imported(cli: Cli, server: ScriptedShop, tmp_path: Path) -> None:
    assert cli("import", feed(tmp_path, "mug-1,gone.jpg,Mug,24.90,EUR", "cup-1,b.jpg,,,")).exit_code == 4
    (tmp_path / "gone.jpg").write_bytes(b"found")
    mended = said(cli("import", tmp_path / "shop.failed.csv", "--json"))
    assert (mended["products"], mended["created"]) == (1, 1)
    assert server.products["mug-1"].title == "Mug"
    assert not server.products["mug-1"].attributes.fields


def test_a_file_of_failed_rows_does_not_outlive_the_failures(cli: Cli, tmp_path: Path) -> None:
    source = feed(tmp_path, "mug-1,gone.jpg,,,")
    assert cli("import", source).exit_code == 1
    assert failed_rows(tmp_path)
    (tmp_path / "gone.jpg").write_bytes(b"found")
    assert cli("import", source).exit_code == 0
    assert not (tmp_path / "shop.failed.csv").exists()


def test_failed_lines_of_json_and_of_a_folder_can_be_imported_too(
    cli: Cli, server: ScriptedShop, tmp_path: Path
) -> None:
    feed(tmp_path)
    lines = tmp_path / "shop.jsonl"
    lines.write_text('{"product_id": "mug-1", "image": ["a.jpg", "gone.jpg"], "parts": {"lid": true}}\nnonsense\n')
    assert cli("import", lines).exit_code == 1
    (tmp_path / "gone.jpg").write_bytes(b"found")
    mended = said(cli("import", tmp_path / "shop.failed.jsonl", "--json"))
    assert (mended["created"], mended["failed"]) == (1, 1)
    folder = tmp_path / "goods"
    (folder / "mug" / "blue").mkdir(parents=True)
    (folder / "mug" / "blue" / "1.jpg").write_bytes(b"picture")
    server.script.items["blue"] = deque([CORRUPT])
    assert cli("import", folder).exit_code == 1
    assert said(cli("import", tmp_path / "goods.failed.csv", "--json"))["created"] == 1
    assert (server.products["blue"].category, server.products["blue"].images[0].uri) == ("mug", "goods/mug/blue/1.jpg")


@pytest.mark.parametrize(
    ("header", "why"), [("sku,image", "no column product_id"), ("product_id,picture", "no column image")]
)
def test_a_missing_column_is_told_at_once(cli: Cli, tmp_path: Path, header: str, why: str) -> None:
    (tmp_path / "shop.csv").write_text(header + "\n1,a.jpg\n")
    result = cli("import", tmp_path / "shop.csv")
    assert (result.exit_code, result.stdout) == (2, "")
    assert why in result.stderr
    assert not (tmp_path / "shop.failed.csv").exists()


def test_an_import_that_loses_the_server_says_how_far_it_came(cli: Cli, tmp_path: Path) -> None:
    source = feed(tmp_path, "mug-1,a.jpg,,,")
    result = cli("import", source, "--json", "--server", "127.0.0.1:1")
    assert (result.exit_code, said(result)["finished"]) == (3, False)
    assert json.loads(result.stderr)["error"]["exit_code"] == 3


def test_ctrl_c_ends_an_import_in_good_order(server: ScriptedShop, tmp_path: Path) -> None:
    server.script.silent = True
    source = feed(tmp_path, "gone,gone.jpg,,,", "mug-1,a.jpg,,,")
    command = [sys.executable, "-c", "from lookalike.cli import main; main()"]
    arguments = ["import", str(source), "--json", "--server", server.address]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert server.script.seen.wait(timeout=30)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    told = json.loads(stdout)
    assert (told["finished"], told["failed"], "Traceback" in stderr) == (False, 1, False)
    assert list(failed_rows(tmp_path)) == ["gone gone.jpg"]


def test_a_search_shows_products_and_what_was_seen(cli: Cli, filled: ScriptedShop, photo: Path) -> None:
    result = cli("search", photo, COLUMNS="120")
    assert result.exit_code == 0
    assert "mug-0" in result.stdout
    assert "Mug [0]" in result.stdout
    assert "24.90 EUR" in result.stdout
    assert "searched: the product that matched best (0.25,0.125,0.75,0.5)" in result.stdout


def test_a_search_says_in_words_what_a_score_means(cli: Cli, filled: ScriptedShop, photo: Path) -> None:
    assert "match" not in cli("search", photo, COLUMNS="120").stdout.splitlines()[0]
    filled.match, filled.nothing_alike = search_pb2.Hit.MATCH_SIMILAR, True
    result = cli("search", photo, COLUMNS="120")
    assert "similar 50%" in result.stdout
    assert "nothing like it in this shop" in result.stderr
    told = said(cli("search", photo, "--json"))
    assert (told["hits"][0]["match"], told["nothing_alike"]) == ("similar", True)


def test_a_search_sends_what_was_typed(cli: Cli, filled: ScriptedShop, photo: Path) -> None:
    options = ["--limit", "2", "--offset", "1", "--box", "0.25,0.25,0.5,0.75", "--filter", "price<30,category=mug|cup"]
    result = cli(
        "search", photo, *options, "--min-score", "0.5", "--min-coverage", "1", "--min-match", "weak", "--json"
    )
    request = filled.script.requests[-1]
    assert (request.image, request.limit, request.offset, request.box.bottom) == (b"photo", 2, 1, 0.75)
    assert (request.score_min, request.coverage_min) == (0.5, 1.0)
    assert request.match_min == search_pb2.Hit.MATCH_WEAK
    assert [one.WhichOneof("kind") for one in request.filter.all_of.filters] == ["range", "in_list"]
    assert [hit["product"]["product_id"] for hit in said(result)["hits"]] == ["mug-1", "mug-2"]


@pytest.mark.parametrize(
    ("option", "region"), [(["--whole"], "whole_image"), (["--point", "0.5,0.25"], "point"), ([], None)]
)
def test_the_part_to_search_is_sent(
    cli: Cli, filled: ScriptedShop, photo: Path, option: list[str], region: str | None
) -> None:
    assert cli("search", photo, *option).exit_code == 0
    assert filled.script.requests[-1].WhichOneof("region") == region


@pytest.mark.parametrize(
    "wrong",
    [["--box", "1,2"], ["--box", "a,b,c,d"], ["--point", "1"], ["--filter", "mug"], ["--limit", "many"], ["--no-such"]],
    ids=str,
)
def test_a_command_that_makes_no_sense_is_2(cli: Cli, photo: Path, wrong: list[str]) -> None:
    assert cli("search", photo, *wrong).exit_code == 2


def test_an_answer_of_a_part_of_the_shop_says_so(cli: Cli, filled: ScriptedShop, photo: Path) -> None:
    filled.coverage.shards_asked = 3
    filled.coverage.slots_fraction = 2 / 3
    filled.coverage.unreachable.append("b")
    filled.coverage.reasons.add(shard="b", kind=filled.coverage.Reason.KIND_TIMED_OUT, message="no answer in 0.8 s")
    result = cli("search", photo)
    assert result.exit_code == 0
    assert "only 67% of the shop answered (b timed out: no answer in 0.8 s)" in result.stderr
    coverage = said(cli("search", photo, "--json"))["coverage"]
    assert coverage["missing"] == [{"shard": "b", "kind": "timed_out", "message": "no answer in 0.8 s"}]


def test_a_missing_photo_is_one_line(cli: Cli, server: ScriptedShop) -> None:
    result = cli("search", "gone.jpg")
    assert (result.exit_code, result.stderr) == (
        1,
        "error: cannot read the photo 'gone.jpg': No such file or directory\n",
    )


def test_an_error_is_json_for_programs(cli: Cli, server: ScriptedShop, photo: Path) -> None:
    server.script.calls.append(Refusal(code_pb2.INVALID_ARGUMENT, "cut off", "CORRUPT_IMAGE"))
    result = cli("search", photo, "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    error = {"kind": "InvalidArgument", "reason": "CORRUPT_IMAGE", "message": "cut off", "exit_code": 1}
    assert json.loads(result.stderr) == {"error": error}


@pytest.mark.parametrize(
    "command",
    [["search", "photo.jpg"], ["product", "get", "x"], ["product", "list"], ["shards"], ["verify"]],
    ids=" ".join,
)
def test_a_server_that_is_not_there_is_3(cli: Cli, photo: Path, command: list[str]) -> None:
    command = [str(photo) if one == "photo.jpg" else one for one in command]
    result = cli(*command, "--server", "127.0.0.1:1")
    assert result.exit_code == 3
    assert len(result.stderr.splitlines()) == 1
    assert "lookalike-server serve" in result.stderr


def test_a_shard_that_is_away_is_no_missing_server(cli: Cli, server: ScriptedShop) -> None:
    server.script.calls.extend([AWAY] * lookalike.RetryPolicy().attempts_max)
    result = cli("product", "get", "x")
    assert result.exit_code == 1
    assert "`lookalike shards` shows" in result.stderr


def test_a_product_is_shown(cli: Cli, filled: ScriptedShop) -> None:
    assert "24.90 EUR" in cli("product", "get", "mug-1").stdout
    assert said(cli("product", "get", "mug-1", "--json"))["price"] == {"amount_minor": 2490, "currency": "EUR"}
    missing = cli("product", "get", "none")
    assert (missing.exit_code, missing.stderr) == (1, "error: there is no product 'none'\n")


def test_products_are_listed(cli: Cli, filled: ScriptedShop) -> None:
    short = cli("product", "list", "--limit", "2")
    assert ("mug-1" in short.stdout, "mug-2" in short.stdout) == (True, False)
    assert "--limit 0 shows all" in short.stderr
    whole = cli("product", "list", "--limit", "0", "--filter", "category=mug", "--json")
    assert [json.loads(line)["product_id"] for line in whole.stdout.splitlines()] == ["mug-0", "mug-1", "mug-2"]


def test_a_product_is_deleted_only_after_a_yes(cli: Cli, filled: ScriptedShop) -> None:
    assert cli("product", "delete", "mug-0", typed="n\n").exit_code == 1
    assert "mug-0" in filled.products
    assert cli("product", "delete", "mug-0", typed="y\n").exit_code == 0
    assert "mug-0" not in filled.products
    some = cli("product", "delete", "mug-0", "mug-1", "--yes", "--json")
    assert (some.exit_code, said(some)) == (4, {"deleted": {"mug-1": 1}, "not_found": ["mug-0"]})
    assert cli("product", "delete", "mug-0", "--yes").exit_code == 1


COMMANDS = (
    "import",
    "search",
    "product get",
    "product list",
    "product delete",
    "shards",
    "shards add",
    "replicas add",
    "replicas remove",
    "verify",
    "doctor",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_takes_json(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200"})
    assert (result.exit_code, "--json" in result.stdout, "--server" in result.stdout) == (0, True, True)


def test_a_missing_library_is_named() -> None:
    code = "import sys; sys.modules['typer'] = None; from lookalike.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, "pip install 'lookalike[cli]'" in result.stderr) == (1, True)
