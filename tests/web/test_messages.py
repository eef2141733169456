"""Every language says everything, fills the same places, and the page asks for nothing that no language says."""

import json
import re
from pathlib import Path

import pytest

from lookalike_server.gateway.page import WEB

FILES = sorted((WEB / "messages").glob("*.json"))
ENGLISH = json.loads((WEB / "messages" / "en.json").read_text())
SCRIPTS = {path.name: path.read_text() for path in (WEB / "js").glob("*.js")}
# Keys that are put together: corner.lt, theme.dark, state.none.title.
MADE = re.compile(r"t\(`([a-z]+)\.\$\{")


def test_there_are_twenty_languages_and_the_page_offers_each() -> None:
    offered = re.findall(r"\b([a-z]{2}): \"", SCRIPTS["i18n.js"].split("};")[0])
    assert len(FILES) == 20
    assert sorted(offered) == [path.stem for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_message_is_missing_or_empty_and_places_agree(path: Path) -> None:
    messages = json.loads(path.read_text())
    assert messages.keys() == ENGLISH.keys()
    for key, text in messages.items():
        assert text.strip(), key
        assert places(text) == places(ENGLISH[key]), key


def places(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def test_the_page_asks_only_for_messages_that_there_are() -> None:
    html = (WEB / "index.html").read_text()
    asked = set(re.findall(r'data-(?:t|label)="([^"]+)"', html))
    made = set()
    for script in SCRIPTS.values():
        asked |= set(re.findall(r'\bt\("([^"]+)"', script))
        made |= set(MADE.findall(script))
    assert asked <= ENGLISH.keys()
    assert made <= {key.split(".")[0] for key in ENGLISH}
