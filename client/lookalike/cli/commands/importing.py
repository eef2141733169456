"""`lookalike import`: a feed in, a shop filled, and a file of what failed."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli import progress, render
from lookalike.cli.desk import (
    DEFAULT_SERVER,
    FAILED,
    INTERRUPTED,
    PARTIAL,
    Desk,
    JsonOption,
    ServerOption,
    opened,
)
from lookalike.cli.failed import FailedRows
from lookalike.cli.feed import Feed, open_feed
from lookalike.cli.importing import Import, Tally
from lookalike.errors import LookalikeError


def import_feed(
    source: Annotated[Path, typer.Argument(help="A .csv or .jsonl file, or a folder of folders with pictures.")],
    server: ServerOption = DEFAULT_SERVER,
    json: JsonOption = False,
) -> None:
    """Fill the shop from a feed; running it again changes nothing and embeds no picture that the shop has.

    A CSV or JSONL file has the columns product_id and image, a path relative to the file; several rows of one
    product_id are several pictures of it, wherever they stand. Known columns are title, category, brand, price with
    currency, url, in_stock and tags (joined by bars); any other becomes an attribute. A folder has
    product/picture or category/product/picture.

    A product is imported whole or not at all. What fails goes to SOURCE.failed.csv with the reason, with all rows of
    its product, so that this file can be mended and imported by itself; the other products go on.
    """
    with opened(server, json) as desk, open_feed(source) as feed:
        failed = FailedRows(feed)
        run = Import(desk.client, feed, failed)
        try:
            with failed:
                _show_progress(run, desk, feed)
        except KeyboardInterrupt:
            _report(desk, run.tally, failed, finished=False)
            desk.warn("stopped; run it again to go on: what is stored stays, and is not embedded again")
            raise typer.Exit(INTERRUPTED) from None
        except LookalikeError:
            _report(desk, run.tally, failed, finished=False)
            raise
        _report(desk, run.tally, failed, finished=True)
        if run.tally.rows_failed:
            raise typer.Exit(PARTIAL if run.tally.stored else FAILED)


def _show_progress(run: Import, desk: Desk, feed: Feed) -> None:
    with progress.counted(desk.err, hidden=desk.as_json) as bar:
        task = bar.add_task("importing", total=feed.products)
        run.run(lambda tally: bar.update(task, completed=tally.products))


def _report(desk: Desk, tally: Tally, failed: FailedRows, finished: bool) -> None:
    seconds = time.monotonic() - tally.began_s
    counts = {name: count for name, count in asdict(tally).items() if name != "began_s"}
    told = {
        "products": tally.products,
        **counts,
        "seconds": round(seconds, 3),
        "failed_file": str(failed.path) if failed.rows else None,
        "finished": finished,
    }
    desk.show(told, *render.tally(tally, seconds))
    if failed.rows:
        desk.warn(f"{tally.rows_failed:,} rows were not imported; {failed.path} says why")
