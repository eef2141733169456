"""Reads ground truth: what each photo shows, and where. Knows no server.

A CSV or JSONL file with the column photo, a path relative to the file, and product_id, or class: the products whose
attribute `class`, else whose category, is that. Neither means that the shop has nothing that the photo shows. Optional
are box (left, top, right, bottom in fractions of the upright photo) and category, by which figures are split. Rows of
one photo are the products that it shows.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lookalike.cli.tables import FeedError
from lookalike.types import Box, Json, Product

_TABLES = (".csv", ".tsv")
_LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class OneProduct:
    """This very product is right."""

    product_id: str

    def accepts(self, product: Product) -> bool:
        """Say whether a product found is right."""
        return product.product_id == self.product_id


@dataclass(frozen=True, slots=True)
class AnyOfClass:
    """Every product of this class is right."""

    name: str

    def accepts(self, product: Product) -> bool:
        """Say whether a product found is right."""
        return class_of(product) == self.name


Wanted = OneProduct | AnyOfClass


@dataclass(frozen=True, slots=True)
class Shown:
    """One product that a photo shows; `box` is None where nobody said where."""

    wanted: Wanted
    box: Box | None
    category: str


@dataclass(frozen=True, slots=True)
class TruthPhoto:
    """A photo and what of the shop it shows: nothing where `shown` is empty."""

    path: Path
    shown: tuple[Shown, ...]


def class_of(product: Product) -> str:
    """Return a product's class: its attribute of that name, else its category."""
    named = product.attributes.get("class")
    return named if isinstance(named, str) else product.category


def read_truth(source: Path) -> tuple[TruthPhoto, ...]:
    """Return the photos of a ground truth in the order of their first rows; raise FeedError where it is wrong."""
    photos: dict[Path, list[Shown]] = {}
    for where, row in _rows(source):
        photo = row.get("photo")
        if not isinstance(photo, str) or not photo:
            raise FeedError(f"{source}, {where}: photo is empty: give the path of a picture")
        shown = photos.setdefault(source.parent / photo, [])
        if (one := _shown(row, f"{source}, {where}")) is not None:
            shown.append(one)
    if not photos:
        raise FeedError(f"{source} names no photos")
    if (gone := next((path for path in photos if not path.is_file()), None)) is not None:
        raise FeedError(f"{source}: no such photo: {gone}")
    return tuple(TruthPhoto(path, tuple(shown)) for path, shown in photos.items())


def _rows(source: Path) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """Yield where each row is, and its cells."""
    kind = source.suffix.lower()
    if kind not in (*_TABLES, *_LINES):
        raise FeedError(f"{source}: give a ground truth as .csv or .jsonl")
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            if kind in _TABLES:
                rows = csv.DictReader(file, delimiter="\t" if kind == ".tsv" else ",")
                yield from ((f"line {rows.line_num}", row) for row in rows)
            else:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        yield f"line {number}", _object(line, f"{source}, line {number}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FeedError(f"cannot read {source}: {error}") from error


def _object(line: str, where: str) -> Mapping[str, Json]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise FeedError(f"{where} is no JSON: {error}") from error
    if not isinstance(row, dict):
        raise FeedError(f"{where} is no JSON object")
    return row


def _shown(row: Mapping[str, Json], where: str) -> Shown | None:
    """Return what a row says that its photo shows, None where that is nothing of the shop."""
    product_id, name = (str(row.get(column) or "") for column in ("product_id", "class"))
    if not product_id and not name:
        return None
    if product_id and name:
        raise FeedError(f"{where}: give product_id or class, not both")
    wanted = OneProduct(product_id) if product_id else AnyOfClass(name)
    return Shown(wanted, _box(row.get("box"), where), str(row.get("category") or ""))


def _box(value: Json, where: str) -> Box | None:
    """Return a box from a list of four fractions, or from text with commas or spaces between them."""
    if value is None or value == "":
        return None
    parts = value.replace(",", " ").split() if isinstance(value, str) else value
    try:
        left, top, right, bottom = (float(part) for part in parts)  # type: ignore[union-attr, arg-type]
    except (TypeError, ValueError):
        raise FeedError(f"{where}: box is {value!r}, not left, top, right and bottom") from None
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise FeedError(f"{where}: box is {value!r}; its sides are fractions of the photo, 0 to 1, left before right")
    return Box(left, top, right, bottom)
