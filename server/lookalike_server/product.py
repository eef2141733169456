"""Says what a product is on its way into the shop and out of it. Knows no wire, no models and no shards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from lookalike_router.filter import Json
from lookalike_router.shard import Row, Stored
from lookalike_server.regions import WHOLE_BOX, Box


@dataclass(frozen=True)
class NewPicture:
    """One picture to store: its bytes, or the hash of bytes that the product already has."""

    image_id: str
    """Empty: to be derived from the content."""
    content: bytes | None = field(repr=False)
    sha256: str
    """Of `content`, 64 hex digits; empty where the caller did not say."""
    uri: str
    box: Box | None
    """The part to embed; None: the service chooses."""
    position: int
    """Its place among the product's pictures, from 0."""


@dataclass(frozen=True)
class NewProduct:
    """One product to store whole; `attributes` are as lookalike_router.shard.Row keeps them."""

    product_id: str
    attributes: Mapping[str, Json]
    pictures: tuple[NewPicture, ...]


@dataclass(frozen=True, eq=False)
class StoredPicture:
    """One picture as the shop keeps it."""

    image_id: str
    uri: str
    sha256: str
    box: Box
    """The part that was embedded."""
    box_asked: bool
    """Whether the caller chose `box`."""
    position: int
    """Its place among the product's pictures, from 0."""
    vector: npt.NDArray[np.float32] | None = field(default=None, repr=False)  # (256,), unit length

    def facts(self) -> dict[str, Json]:
        """Return what the shard keeps beside the vector."""
        box: list[Json] = [self.box.left, self.box.top, self.box.right, self.box.bottom]
        return {
            "uri": self.uri,
            "sha256": self.sha256,
            "box": box,
            "box_asked": self.box_asked,
            "position": self.position,
        }

    @classmethod
    def of(
        cls, image_id: str, facts: Mapping[str, Json], vector: npt.NDArray[np.float32] | None = None
    ) -> "StoredPicture":
        """Read what `facts` wrote; a row that another program wrote may lack any of it."""
        position = facts.get("position")
        return cls(
            image_id=image_id,
            uri=text(facts.get("uri")),
            sha256=text(facts.get("sha256")),
            box=stored_box(facts.get("box")),
            box_asked=facts.get("box_asked") is True,
            position=int(position) if isinstance(position, int | float) else 0,
            vector=vector,
        )


@dataclass(frozen=True)
class StoredProduct:
    """One product as the shop keeps it, its pictures in the order in which they were given."""

    product_id: str
    attributes: Mapping[str, Json]
    pictures: tuple[StoredPicture, ...]

    @classmethod
    def of(cls, rows: Sequence[Stored]) -> "StoredProduct":
        """Put the rows of one product together, with the vectors of those that have them."""
        pictures = [
            StoredPicture.of(row.image_id, row.picture, row.vector if isinstance(row, Row) else None) for row in rows
        ]
        ordered = tuple(sorted(pictures, key=lambda one: (one.position, one.image_id)))
        return cls(rows[0].product_id, rows[0].attributes, ordered)


class Outcome(Enum):
    """What an upsert can do to a product."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Upserted:
    """What one upsert did."""

    product: StoredProduct
    outcome: Outcome
    images_embedded: int
    images_reused: int


def text(value: Json) -> str:
    """Return `value` if it is text, else nothing."""
    return value if isinstance(value, str) else ""


def stored_box(value: Json) -> Box:
    """Read a box, the whole picture where there is none."""
    if not isinstance(value, list) or len(value) != 4:
        return WHOLE_BOX
    left, top, right, bottom = (float(side) if isinstance(side, int | float) else 0.0 for side in value)
    try:
        return Box(left, top, right, bottom)
    except ValueError:
        return WHOLE_BOX
