"""Reads the three kinds of source row by row: a CSV file, a JSONL file, a folder of folders. Knows no products.

A table is read twice: `scan` goes through it once and says which product each row is of and where the row is;
`read` fetches a row from there. So a product's rows may stand anywhere, and nothing is kept in memory.
"""

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from lookalike.cli.rows import ERROR_COLUMN, NEEDED, Row
from lookalike.types import Json

PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif"}
_DELIMITERS = (",", ";", "\t")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")

Place = int | bytes
"""Where a row is: a byte offset in a file, a path in a folder."""


class FeedError(Exception):
    """The source as a whole cannot be read; the message says why and what to do."""


class Table(Protocol):
    """A source of rows."""

    columns: tuple[str, ...]
    delimiter: str

    def scan(self) -> Iterator[tuple[str | None, Place, int]]:
        """Yield each row's product_id, place and number; None where the row has none or cannot be read."""
        ...

    def read(self, place: Place, number: int) -> Row:
        """Return the row at `place`."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class CsvTable:
    """A CSV file in UTF-8 with a header; the delimiter is a comma, a semicolon or a tab."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")
        try:
            self._lines = _Lines(self._file)
            header = next(self._lines, "").removeprefix("\ufeff")
            self.delimiter = max(_DELIMITERS, key=header.count)
            self.columns = tuple(name.strip() for name in next(csv.reader([header], delimiter=self.delimiter), []))
            self._body = self._lines.offset
            _check_header(self.columns, path)
        except BaseException:
            self._file.close()
            raise

    def scan(self) -> Iterator[tuple[str | None, Place, int]]:
        """Yield each row's product_id, place and line; blank lines are skipped."""
        column = self.columns.index("product_id")
        self._lines.go_to(self._body, line=1)
        reader = csv.reader(self._lines, delimiter=self.delimiter)
        while True:
            place, line = self._lines.offset, self._lines.line + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                yield None, place, line
                continue
            if any(cells):
                yield _usable(cells[column] if len(cells) > column else None), place, line

    def read(self, place: Place, number: int) -> Row:
        """Return the row that starts at byte `place`, which is line `number`."""
        assert isinstance(place, int)
        where = f"line {number}"
        self._lines.go_to(place, line=number - 1)
        try:
            cells = next(csv.reader(self._lines, delimiter=self.delimiter))
        except csv.Error as error:
            return Row(where, {}, broken=f"cannot be read as CSV: {error}; is a quote never closed?")
        named: dict[str, Json] = dict(zip(self.columns, cells, strict=False))
        if len(cells) != len(self.columns):
            return Row(where, named, broken=f"has {len(cells)} cells, and the header has {len(self.columns)}")
        if any(_is_not_utf8(cell) for cell in cells):
            return Row(where, named, broken="is not UTF-8: save the file as UTF-8")
        return Row(where, named)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class JsonlTable:
    """A file with one JSON object per line, in UTF-8; `image` may be a list of paths."""

    columns: tuple[str, ...] = ()
    delimiter = ""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")
        self._lines = _Lines(self._file)

    def scan(self) -> Iterator[tuple[str | None, Place, int]]:
        """Yield each row's product_id, place and line; blank lines are skipped."""
        self._lines.go_to(0, line=0)
        place = 0
        for text in self._lines:
            if text.strip():
                yield _usable(_object(text, "").cells.get("product_id")), place, self._lines.line
            place = self._lines.offset

    def read(self, place: Place, number: int) -> Row:
        """Return the row at byte `place`, which is line `number`."""
        assert isinstance(place, int)
        self._lines.go_to(place, line=number - 1)
        return _object(next(self._lines), f"line {number}")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class FolderTable:
    """A folder of product folders, SOURCE/product/picture, or of categories, SOURCE/category/product/picture.

    A folder that holds pictures is a product: its name is the product_id and, with spaces, the title; the folders
    above it are the category.
    """

    columns: tuple[str, ...] = ("product_id", "image", "title", "category")
    delimiter = ","

    def __init__(self, path: Path) -> None:
        self._path = path

    def scan(self) -> Iterator[tuple[str | None, Place, int]]:
        """Yield each picture's product_id, path and number, in the order of their names."""
        number = 0
        for folder, folders, files in os.walk(self._path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for file in sorted(files):
                if file.startswith(".") or Path(file).suffix.lower() not in PICTURES:
                    continue
                number += 1
                relative = Path(folder).relative_to(self._path)
                yield _usable(relative.name), os.fsencode(relative / file), number

    def read(self, place: Place, number: int) -> Row:
        """Return the picture at the path `place`."""
        assert isinstance(place, bytes)
        path = Path(os.fsdecode(place))
        if _is_not_utf8(str(path)):
            return Row(repr(place), {"image": str(path)}, broken="has a name that is not UTF-8: rename it")
        if not path.parent.name:
            return Row(str(path), {"image": str(path)}, broken="lies outside any product's folder: move it into one")
        category = "" if path.parent.parent == Path() else path.parent.parent.as_posix()
        title = path.parent.name.replace("_", " ").replace("-", " ")
        cells = {"product_id": path.parent.name, "image": path.as_posix(), "title": title, "category": category}
        return Row(str(path), cells)

    def close(self) -> None:
        """Do nothing: nothing stays open."""


class _Lines:
    """The lines of a file as text, with the byte offset and the number of the next one.

    Text that is no UTF-8 comes through marked, so that one bad row does not end the others.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.offset = 0
        self.line = 0

    def go_to(self, offset: int, line: int) -> None:
        """Continue at byte `offset`, before which are `line` lines."""
        if offset != self.offset:
            self._file.seek(offset)
        self.offset, self.line = offset, line

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline()
        if not line:
            raise StopIteration
        if self.offset == 0 and line.startswith(_UTF16):
            raise FeedError("the file is UTF-16: save it as UTF-8")
        self.offset += len(line)
        self.line += 1
        return line.decode("utf-8", "surrogateescape")


def _check_header(columns: tuple[str, ...], path: Path) -> None:
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        found = ", ".join(columns) or "no header"
        raise FeedError(f"{path} has no column {' and no column '.join(missing)}; its columns are: {found}")
    twice = next((name for name in columns if name and columns.count(name) > 1), None)
    if twice is not None:
        raise FeedError(f"{path} has two columns {twice!r}: rename one")


def _object(text: str, where: str) -> Row:
    """Return the row of a line of JSON, broken if it is none."""
    if _is_not_utf8(text):
        return Row(where, {}, broken="is not UTF-8: save the file as UTF-8")
    try:
        cells = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        return Row(where, {}, broken=f"is no JSON: {error}")
    if not isinstance(cells, dict):
        return Row(where, {}, broken="is no JSON object")
    if isinstance(cells.get("product_id"), int):
        cells["product_id"] = str(cells["product_id"])
    wrong = next((name for name in _TEXT if not isinstance(cells.get(name, ""), str | None)), None)
    return Row(where, cells, typed=True, broken=f"{wrong} is no text: {cells[wrong]!r}" if wrong else "")


_TEXT = ("product_id", "title", "category", "brand", "currency", "url", ERROR_COLUMN)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _usable(product_id: Json) -> str | None:
    """Return what rows can be grouped by; None leaves the row alone, and `read` says what is wrong with it."""
    return product_id if isinstance(product_id, str) and product_id and not _is_not_utf8(product_id) else None


def _is_not_utf8(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)
