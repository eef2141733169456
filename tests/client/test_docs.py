"""The examples of docs/sdk.md run as they stand."""

import re
from pathlib import Path

import pytest

from tests.client.scripted import ScriptedShop

PAGE = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) == 9


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs(server: ScriptedShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.chdir(tmp_path)
    for picture in ("photo.jpg", "mug.jpg"):
        (tmp_path / picture).write_bytes(b"picture")
    names: dict[str, object] = {}
    filling = next(example for example in EXAMPLES if "def goods" in example)
    for example in (filling, EXAMPLES[0], EXAMPLES[number]):  # a search wants something to find
        exec(example.replace("localhost:50051", server.address), names)
    assert list(server.products) == ["mug-1"]
