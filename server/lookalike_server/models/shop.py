"""Reads what a shop has: the pictures of its feed, and photos whose products are known.

A user of the SDK's readers, so that the files of `lookalike import` and `lookalike eval` serve here as they are. Knows
no models.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lookalike.cli.feed import open_feed
from lookalike.cli.rows import Entry
from lookalike.cli.tables import FeedError
from lookalike.cli.truth import OneProduct, read_truth
from lookalike_server.errors import BadImage, ServerError
from lookalike_server.image import Limits, Picture, decode
from lookalike_server.regions import WHOLE_BOX, Box


class BadShop(ServerError):
    """A feed or a ground truth cannot be read."""


@dataclass(frozen=True, eq=False)
class Known:
    """A part of a picture and the product that it shows."""

    product_id: str
    picture: Picture
    box: Box = WHOLE_BOX


def catalogue(source: Path) -> Iterator[Known]:
    """Yield each picture of a feed that `lookalike import` would take; raise BadShop where there is a wrong one."""
    try:
        with open_feed(source) as feed:
            for entry in feed:
                if not isinstance(entry, Entry):
                    raise BadShop(f"{source}: {entry.product_id}: {entry.problems[0].message}")
                for image in entry.product.images:
                    assert isinstance(image.photo, Path)
                    yield Known(entry.product.product_id, picture_of(image.photo))
    except FeedError as error:
        raise BadShop(str(error)) from error


def known_photos(source: Path) -> Iterator[Known]:
    """Yield each product of a ground truth with a product_id: its box where it has one, else the whole photo."""
    try:
        photos = read_truth(source)
    except FeedError as error:
        raise BadShop(str(error)) from error
    for photo in photos:
        picture = picture_of(photo.path)
        for shown in photo.shown:
            if isinstance(shown.wanted, OneProduct):
                box = shown.box
                part = Box(box.left, box.top, box.right, box.bottom) if box else WHOLE_BOX
                yield Known(shown.wanted.product_id, picture, part)


def picture_of(path: Path) -> Picture:
    """Decode one file."""
    try:
        return decode(path.read_bytes(), Limits())
    except (OSError, BadImage) as error:
        raise BadShop(f"{path} cannot be read: {error}") from error
