"""Reads a shop's feed, a file or a folder, product by product, in memory that does not grow with it.

The rows of one product may stand anywhere. A first pass notes where each product's rows are in a temporary database
on disk; the second reads the products in the order of their first rows. A dict would be faster for small feeds, and
take some 6 GB for 30 million rows.
"""

import os
import sqlite3
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Self

from lookalike.cli.rows import Entry, Rejected, assemble
from lookalike.cli.tables import CsvTable, FeedError, FolderTable, JsonlTable, Table

_KINDS: dict[str, type[CsvTable | JsonlTable]] = {
    ".csv": CsvTable,
    ".tsv": CsvTable,
    ".jsonl": JsonlTable,
    ".ndjson": JsonlTable,
}

# Rows without a product_id are products of their own, each of them wrong.
_GROUPED = """
    SELECT place, number, min(number) OVER (PARTITION BY product_id, CASE WHEN product_id IS NULL THEN number END)
    FROM rows ORDER BY 3, 2
"""
_COUNT = "SELECT count(*), count(DISTINCT product_id) + sum(product_id IS NULL) FROM rows"


class Feed:
    """The products of one source; made by `open_feed`, and to be closed."""

    def __init__(self, source: Path, root: Path, table: Table) -> None:
        self.source = source
        self.table = table
        self._root = root
        self._index = sqlite3.connect("")  # a file that SQLite removes by itself
        try:
            self._index.execute("CREATE TABLE rows (product_id TEXT, place, number INTEGER)")
            self._index.executemany("INSERT INTO rows VALUES (?, ?, ?)", table.scan())
            self.rows, products = self._index.execute(_COUNT).fetchone()
        except BaseException:
            self._index.close()
            raise
        self.products: int = products or 0

    def __iter__(self) -> Iterator[Entry | Rejected]:
        """Yield every product once: to import, or rejected with the reason for each row."""
        for _, group in groupby(self._index.execute(_GROUPED), key=itemgetter(2)):
            rows = [self.table.read(place, number) for place, number, _ in group]
            yield assemble(rows, self._root, os.path.isfile)

    def close(self) -> None:
        """Close the source and drop the index."""
        self._index.close()
        self.table.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_feed(source: Path) -> Feed:
    """Open a CSV file, a JSONL file or a folder of folders; raise FeedError if it cannot be read at all.

    >>> with open_feed(Path("shop.csv")) as feed:  # doctest: +SKIP
    ...     products = [entry.product for entry in feed if isinstance(entry, Entry)]
    """
    if source.is_dir():
        return Feed(source, source, FolderTable(source))
    kind = _KINDS.get(source.suffix.lower())
    if kind is None:
        raise FeedError(f"{source}: give a .csv or .jsonl file, or a folder of folders with pictures")
    try:
        table = kind(source)
    except OSError as error:
        raise FeedError(f"cannot read {source}: {error.strerror}") from error
    try:
        return Feed(source, source.parent, table)
    except BaseException:
        table.close()
        raise
