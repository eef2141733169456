import json
from pathlib import Path

import pytest

from lookalike_server.events import Event, Events, EventsLost

CLICK = Event("click", "s1", "p1", 3)


async def test_events_are_appended_one_line_each(tmp_path: Path) -> None:
    events = Events(tmp_path / "new" / "events.jsonl", clock=lambda: 12.3456)
    assert await events.record([CLICK, CLICK]) == 2
    assert await events.record([CLICK]) == 1
    lines = (tmp_path / "new" / "events.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[0]) == {"at": 12.346, "kind": "click", "search_id": "s1", "product_id": "p1", "position": 3}


async def test_untold_nothing_is_kept() -> None:
    events = Events(None)
    assert not events.kept
    assert await events.record([CLICK]) == 0


async def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(EventsLost, match="cannot write"):
        await Events(tmp_path).record([CLICK])
