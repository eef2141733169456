"""Turns the rows of one product into a product, or says what is wrong with each row. Pure: asks a function for files.

The columns: product_id and image are needed; title, category, brand, price, currency, url, in_stock and tags (joined
by bars) are known; `error` is ignored, as a file of failed rows has it; every other column is an attribute. The rows of
one product are its pictures: what they say of the product must agree, or stand in one of them.

A product with a wrong row is not imported at all. An upsert replaces a product whole: without that row the shop would
lose a picture because its file is missing today. Only a row that repeats another one does no harm.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TypeVar

from lookalike.cli.values import guess
from lookalike.errors import InvalidArgument, LookalikeError
from lookalike.money import Money
from lookalike.types import Image, Json, Product

NEEDED = ("product_id", "image")
KNOWN = (*NEEDED, "title", "category", "brand", "price", "currency", "url", "in_stock", "tags")
ERROR_COLUMN = "error"

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_Value = TypeVar("_Value")
_PICTURE = re.compile(r"product\.images\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it was written.

    `where` names its place for people; `typed` says that its values have their types already, as JSON has;
    `broken` says why it could not be read.
    """

    where: str
    cells: Mapping[str, Json]
    typed: bool = False
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that goes to the file of failed rows, and why."""

    row: Row
    message: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A product to import; `picture_rows` has the row of each picture, `repeats` what rows that repeat one are told."""

    product: Product
    rows: tuple[Row, ...]
    picture_rows: tuple[int, ...]
    repeats: Mapping[int, str] = field(default_factory=dict)

    @property
    def repeated(self) -> tuple[Problem, ...]:
        """Return every row of a product with repeats: imported alone, a repeat would replace the whole product."""
        return _all_rows(self.rows, self.repeats) if self.repeats else ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """A product that is not imported, with all of its rows."""

    product_id: str
    problems: tuple[Problem, ...]


class _BadCell(Exception):
    """A value of one column cannot be used."""


@dataclass(slots=True)
class _Draft:
    """A product while its rows are read; all numbers are those of its rows, from 0."""

    rows: Sequence[Row]
    facts: dict[str, Json] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)  # by column: the first row that says it
    pictures: dict[str, int] = field(default_factory=dict)  # by path
    wrong: dict[int, str] = field(default_factory=dict)
    repeats: dict[int, str] = field(default_factory=dict)


def assemble(rows: Sequence[Row], root: Path, is_file: Callable[[Path], bool]) -> Entry | Rejected:
    """Return the product that `rows` describe; pictures lie relative to `root`."""
    draft = _Draft(rows)
    for number in range(len(rows)):
        try:
            _add_row(draft, number, root, is_file)
        except _BadCell as error:
            draft.wrong[number] = str(error)
    product = _product(draft, root)
    if draft.wrong:
        return Rejected(product.product_id, _all_rows(rows, draft.repeats | draft.wrong))
    return Entry(product, tuple(rows), tuple(draft.pictures.values()), draft.repeats)


def blame(entry: Entry, error: LookalikeError) -> tuple[Problem, ...]:
    """Return the rows of a product that failed, with the error at the picture that it names, else at the first."""
    violations = error.field_violations if isinstance(error, InvalidArgument) else ()
    places = [violation.field for violation in violations] + [str(error)]
    found = next((match for place in places if (match := _PICTURE.search(place))), None)
    picture = int(found[1]) if found else 0
    row = entry.picture_rows[picture] if picture < len(entry.picture_rows) else 0
    return _all_rows(entry.rows, {**entry.repeats, row: str(error)})


def _all_rows(rows: Sequence[Row], messages: Mapping[int, str]) -> tuple[Problem, ...]:
    others = f"not wrong itself; {rows[min(messages)].where} of the same product is"
    return tuple(Problem(row, messages.get(number, others)) for number, row in enumerate(rows))


def _add_row(draft: _Draft, number: int, root: Path, is_file: Callable[[Path], bool]) -> None:
    row = draft.rows[number]
    if row.broken:
        raise _BadCell(row.broken)
    for column, value in row.cells.items():
        if column not in {"image", ERROR_COLUMN, ""} and not _is_empty(value):
            _add_fact(draft, number, column, value)
    if "product_id" not in draft.facts:
        raise _BadCell("product_id is empty")
    for text in _pictures(row.cells.get("image")):
        if text in draft.pictures:
            before = draft.rows[draft.pictures[text]].where
            draft.repeats[number] = f"repeats {before}: same product_id and image"
        elif is_file(root / text):
            draft.pictures[text] = number
        else:
            raise _BadCell(f"no such picture: {root / text}")


def _add_fact(draft: _Draft, number: int, column: str, value: Json) -> None:
    known = draft.facts.setdefault(column, value)
    source = draft.rows[draft.sources.setdefault(column, number)]
    if known != value:
        raise _BadCell(f"{column} is {value!r} here and {known!r} in {source.where}, for the same product_id")


def _product(draft: _Draft, root: Path) -> Product:
    """Build the product; what is wrong is noted at the row that says it."""
    text = {column: str(draft.facts.get(column, "")) for column in ("product_id", "title", "category", "brand", "url")}
    return Product(
        **text,
        price=_read(draft, "price", _price),
        in_stock=_read(draft, "in_stock", _in_stock),
        tags=_read(draft, "tags", _tags) or (),
        attributes={column: _attribute(draft, column) for column in draft.facts if column not in KNOWN},
        images=tuple(Image(root / picture, uri=PurePath(picture).as_posix()) for picture in draft.pictures),
    )


def _read(draft: _Draft, column: str, reader: Callable[[_Draft, Json], _Value]) -> _Value | None:
    if column not in draft.facts:
        return None
    try:
        return reader(draft, draft.facts[column])
    except (_BadCell, InvalidArgument) as error:
        draft.wrong.setdefault(draft.sources[column], f"{column}: {error}")
        return None


def _is_empty(value: Json) -> bool:
    return value is None or value == "" or value == []


def _pictures(value: Json) -> Iterator[str]:
    paths = value if isinstance(value, list) else [value]
    if not paths or any(_is_empty(path) for path in paths):
        raise _BadCell("image is empty: give the path of a picture")
    for path in paths:
        if not isinstance(path, str) or "\0" in path:
            raise _BadCell(f"image is no path: {path!r}")
        if path.startswith(("http://", "https://")):
            raise _BadCell(f"image is a web address: download the picture and give its path: {path}")
        yield path


def _price(draft: _Draft, amount: Json) -> Money:
    currency = draft.facts.get("currency")
    if isinstance(amount, bool) or not isinstance(amount, str | int | float):
        raise _BadCell(f"{amount!r} is no amount")
    if not isinstance(currency, str):
        raise _BadCell("there is no currency to it: fill that column, for example with EUR")
    return Money.parse(str(amount), currency)


def _in_stock(_: _Draft, value: Json) -> bool:
    text = str(value).lower()
    if text not in _TRUTH:
        raise _BadCell(f"write true or false, not {value!r}")
    return _TRUTH[text]


def _tags(_: _Draft, value: Json) -> tuple[str, ...]:
    tags = value.split("|") if isinstance(value, str) else value
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise _BadCell(f"write labels joined by bars, not {value!r}")
    return tuple(tag.strip() for tag in tags if tag.strip())


def _attribute(draft: _Draft, column: str) -> Json:
    value = draft.facts[column]
    return guess(value) if isinstance(value, str) and not draft.rows[draft.sources[column]].typed else value
