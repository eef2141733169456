"""Reads pins as people type them: SHARD=FIRST-LAST. Knows no server."""

import re

from lookalike.cli.desk import Misuse
from lookalike.rebalance import RebalancePin
from lookalike.shards import SlotRange

_PIN = re.compile(r"([^=]+)=(\d+)(?:-(\d+))?", re.ASCII)


def pin(text: str) -> RebalancePin:
    """Return the pin that `text` names, or raise Misuse.

    >>> pin("a=0-99"), pin("b=7").slots
    (RebalancePin(shard='a', slots=SlotRange(first=0, last=99)), SlotRange(first=7, last=7))
    """
    match = _PIN.fullmatch(text)
    if match is None:
        raise Misuse(f"--pin {text} is not SHARD=FIRST-LAST, for example a=0-99")
    first = int(match[2])
    return RebalancePin(match[1], SlotRange(first, int(match[3] or first)))
