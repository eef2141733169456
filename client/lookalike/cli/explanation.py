"""Draws how each shard came to its part of an answer. Knows no server."""

from collections.abc import Iterator

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lookalike.cli.render import columns
from lookalike.types import Drops, Explanation, ShardExplanation

_BAR_CELLS = 12


def drawn(explanation: Explanation) -> Table:
    """Draw every shard, one a line, its time as a bar beside the slowest one's."""
    slowest_ms = max((shard.ms for shard in explanation.shards), default=0.0)
    table = columns("shard", "replica", "ms", "", "rows", "dropped", "what happened", right=("ms", "rows"))
    for shard in explanation.shards:
        table.add_row(
            Text(shard.shard),
            Text(shard.replica or "-"),
            f"{shard.ms:.1f}",
            _bar(shard, slowest_ms),
            f"{shard.rows:,}",
            Text(", ".join(dropped(shard.drops)) or "-"),
            Text("; ".join(events(shard)) or "-"),
        )
    return table


def dropped(drops: Drops) -> Iterator[str]:
    """Say how many rows did not count, and why.

    >>> ", ".join(dropped(Drops(3, 0, 1)))
    "3 another shard's, 1 same product"
    """
    reasons = {
        "another shard's": drops.not_owner,
        "older or deleted": drops.older_version,
        "same product": drops.same_product,
    }
    return (f"{count:,} {reason}" for reason, count in reasons.items() if count)


def events(shard: ShardExplanation) -> Iterator[str]:
    """Say what did not go straight."""
    if shard.retry:
        yield f"asked {shard.retry} after a failure"
    if shard.hedge:
        won = shard.replica == shard.hedge
        yield f"asked {shard.hedge} too, as it was slow" + (": it came first" if won else "")
    if shard.rounds > 1:
        yield f"asked {shard.rounds} times, as too few rows were left"
    if shard.message:
        yield shard.message


def _bar(shard: ShardExplanation, slowest_ms: float) -> ProgressBar:
    style = _style(shard)
    return ProgressBar(
        total=slowest_ms or 1.0, completed=shard.ms, width=_BAR_CELLS, complete_style=style, finished_style=style
    )


def _style(shard: ShardExplanation) -> str:
    if shard.message:
        return "red"
    return "yellow" if shard.hedge or shard.retry else "green"
