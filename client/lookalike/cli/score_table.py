"""Draws a report on a ground truth as tables. Knows no server."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from lookalike.cli.render import columns
from lookalike.cli.scoring import Figures, Mode, Report

# Categories that are shown, the worst first; the JSON report has them all.
CATEGORIES_SHOWN = 12

_SAID = {
    Mode.DETECTED: "the photo, with detection",
    Mode.WHOLE: "the whole photo",
    Mode.TAPPED: "a tap on the product",
    Mode.BOXED: "the true box",
}


def drawn(report: Report) -> Iterator[Table | Text]:
    """Draw the figures, the worst categories, the matches and the times."""
    table = columns("asked by", "n", "recall@1", "@5", "@10", "mAP@10", right=("n", "recall@1", "@5", "@10", "mAP@10"))
    for mode, figures in report.modes.items():
        table.add_row(_SAID[Mode(mode)], *_cells(figures))
    yield table
    if {Mode.DETECTED, Mode.WHOLE} <= report.modes.keys():
        word = "gains" if report.detection_gains >= 0 else "costs"
        yield Text(f"detection {word} {abs(report.detection_gains) * 100:.1f} points of recall@1\n")
    if len(report.categories) > 1:
        yield _worst_categories(report)
    yield from map(Text, _matches(report))
    yield _times(report)


def _cells(figures: Figures) -> tuple[str, ...]:
    shares = (figures.recall_at_1, figures.recall_at_5, figures.recall_at_10, figures.map_at_10)
    return f"{figures.n:,}", *(f"{one:.1%}" for one in shares)


def _worst_categories(report: Report) -> Table:
    """Draw the categories in which most is missed, by how a shopper would ask."""
    mode = Mode.TAPPED if Mode.TAPPED in report.modes else Mode.DETECTED
    told = [(name, figures[mode]) for name, figures in report.categories.items() if mode in figures]
    table = columns(f"worst, {mode.value}", "n", "recall@1", "@5", "@10", "mAP@10", right=("n", "recall@1", "@5"))
    for name, figures in sorted(told, key=lambda one: one[1].recall_at_1)[:CATEGORIES_SHOWN]:
        table.add_row(Text(name), *_cells(figures))
    return table


def _matches(report: Report) -> Iterator[str]:
    told = report.matches
    if told.absent:
        yield (
            f"{told.absent:,} photos of things not in the shop: {told.absent_called_same:.1%} called the same, "
            f"{told.absent_nothing_alike:.1%} told that there is nothing like it"
        )
    if told.true_pairs:
        yield f"{told.true_pairs:,} right products found: {told.true_called_same:.1%} called the same"
    if told.called_same:
        yield f"{told.called_same:,} best hits called the same: {told.called_same_right:.1%} of them right"
    for name, why in report.failed.items():
        yield f"refused: {name}: {why}"
    if report.unknown_products:
        few = ", ".join(report.unknown_products[:5])
        yield f"{len(report.unknown_products):,} of the ground truth are not in the shop, and count as missed: {few}"


def _times(report: Report) -> Table:
    table = columns("on the server, ms", "p50", "p95", "p99", right=("p50", "p95", "p99"))
    for stage, spent in report.timings_ms.items():
        table.add_row(stage.removesuffix("_ms"), *(f"{one:.1f}" for one in (spent.p50, spent.p95, spent.p99)))
    return table
