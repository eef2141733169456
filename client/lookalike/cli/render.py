"""Draws the SDK's values for a terminal."""

from collections.abc import Iterable, Iterator, Sequence

from rich.table import Table
from rich.text import Text

from lookalike.cli.importing import Tally
from lookalike.types import Box, Coverage, Detection, Hit, Match, Product, Region, RegionSource, SearchResult

_WHY = {
    RegionSource.BOX: "the box that you gave",
    RegionSource.POINT: "the product at the point that you gave",
    RegionSource.WHOLE_IMAGE: "the whole picture, as you asked",
    RegionSource.DETECTION: "the product that matched best",
    RegionSource.WHOLE_IMAGE_MATCHED_BETTER: "the whole picture, which matched better than any product seen in it",
    RegionSource.NOTHING_DETECTED: "the whole picture, as no product was seen in it",
    RegionSource.UNKNOWN: "a part of the picture",
}


_STYLES = {Match.SAME: "green", Match.SIMILAR: "yellow", Match.WEAK: "", Match.NONE: "dim", Match.UNKNOWN: "dim"}


def hits(found: Sequence[Hit]) -> Table:
    """Draw the products found, best first."""
    told = any(hit.match is not Match.UNKNOWN for hit in found)
    titles = ("#", "score", *(("match",) if told else ()), "product", "title", "price", "category")
    table = columns(*titles, right=("#", "score", "price"))
    for rank, hit in enumerate(found, start=1):
        match = (Text(f"{hit.match.value} {hit.same_probability:.0%}", _STYLES[hit.match]),) if told else ()
        table.add_row(str(rank), f"{hit.score:.3f}", *match, *map(Text, _line(hit.product)))
    return table


def searched(result: SearchResult) -> Iterable[Text]:
    """Say what was searched, what else was seen, and how long it took."""
    if result.searched is not None:
        where = box(result.searched.box)
        yield Text(f"searched: {_WHY[result.searched.source]} ({where})")
    others = [one for one in result.detections if not _is_searched(one, result.searched)]
    for detection in others:
        yield Text(f"also seen: {detection.label} {detection.score:.2f}; search it with --box {box(detection.box)}")
    times = result.timings
    parts = {
        "queue": times.queue_ms,
        "decode": times.decode_ms,
        "detect": times.detect_ms,
        "embed": times.embed_ms,
        "search": times.search_ms,
    }
    detail = ", ".join(f"{name} {spent:.0f}" for name, spent in parts.items())
    yield Text(f"{times.total_ms:.0f} ms on the server ({detail}); model {result.model}", style="dim")


def caveats(coverage: Coverage) -> Iterator[str]:
    """Say what an answer may lack."""
    if coverage.shards_answered < coverage.shards_asked:
        shards = "; ".join(
            f"{one.shard} {one.kind.value.replace('_', ' ')}{f': {one.message}' if one.message else ''}"
            for one in coverage.missing
        )
        yield f"only {coverage.slots_fraction:.0%} of the shop answered ({shards}); better matches may be missing"
    if coverage.behind:
        shards = ", ".join(coverage.behind)
        yield f"the newest changes may be missing from {shards}: only replicas that are behind could answer"
    if coverage.map_may_be_stale:
        yield "the server has lost touch with its store: what was moved or deleted of late may be shown wrongly"


def products(found: Iterable[Product]) -> Table:
    """Draw products, one a line."""
    table = columns("product", "title", "price", "category", "brand", "pictures", right=("price", "pictures"))
    for product in found:
        table.add_row(*map(Text, _line(product)), Text(product.brand), str(len(product.images)))
    return table


def product(one: Product) -> Table:
    """Draw one product, a field a line."""
    table = Table(show_header=False, box=None, pad_edge=False)
    facts = {
        "product": one.product_id,
        "title": one.title,
        "category": one.category,
        "brand": one.brand,
        "price": "" if one.price is None else str(one.price),
        "url": one.url,
        "in stock": "" if one.in_stock is None else ("yes" if one.in_stock else "no"),
        "tags": ", ".join(one.tags),
        **{name: str(value) for name, value in sorted(one.attributes.items())},
    }
    for name, value in facts.items():
        if value:
            table.add_row(Text(name, style="dim"), Text(value))
    for image in one.images:
        part = f"  box {box(image.box)}" if image.box is not None else ""
        table.add_row(Text("picture", style="dim"), Text(f"{image.image_id}  {image.uri}{part}"))
    return table


def tally(done: Tally, seconds: float) -> Iterable[str]:
    """Say what an import did."""
    rate = f", {done.products / seconds:,.0f} a second" if seconds > 0 else ""
    yield (
        f"{done.products:,} products in {seconds:,.1f} s{rate}: {done.created:,} created, {done.updated:,} updated, "
        f"{done.unchanged:,} unchanged, {done.failed:,} failed"
    )
    yield f"{done.images_embedded + done.images_reused:,} pictures: {done.images_embedded:,} embedded, " + (
        f"{done.images_reused:,} known already"
    )


def box(one: Box) -> str:
    """Write a box as --box takes it."""
    return ",".join(f"{side:.3g}" for side in (one.left, one.top, one.right, one.bottom))


def _is_searched(detection: Detection, region: Region | None) -> bool:
    return region is not None and detection.box == region.box


def _line(one: Product) -> tuple[str, str, str, str]:
    return one.product_id, one.title, "" if one.price is None else str(one.price), one.category


def columns(*titles: str, right: tuple[str, ...] = ()) -> Table:
    """Return an empty table with these columns."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, justify="right" if title in right else "left", overflow="fold")
    return table
