"""The values that go into searches and writes and come out of them. All are frozen; none knows the wire."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from lookalike.errors import LookalikeError
from lookalike.money import Money
from lookalike.photo import Photo

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in fractions of the upright picture: 0 is left or top, 1 is right or bottom."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Point:
    """A point in fractions of the upright picture."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Vector:
    """An embedding and the model that made it; an empty `model` means the server's own."""

    values: tuple[float, ...] = field(repr=False)
    model: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """One picture of a product.

    To upsert, give a photo; to keep a picture that the shop has, its `content_sha256` is enough. A picture that comes
    from the server has no photo: `uri` says where it is.

    >>> Image("mug.jpg", uri="https://shop.example/mug.jpg").uri
    'https://shop.example/mug.jpg'
    """

    photo: Photo | None = field(default=None, repr=False)
    uri: str = ""
    image_id: str = ""
    content_sha256: str = ""
    box: Box | None = None
    vector: Vector | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """One product of the shop; an upsert replaces it whole.

    >>> product = Product("mug-1", title="Blue mug", price=Money(2490, "EUR"), images=(Image("mug.jpg"),))
    """

    product_id: str
    title: str = ""
    category: str = ""
    brand: str = ""
    price: Money | None = None
    url: str = ""
    in_stock: bool | None = None
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, Json] = field(default_factory=dict, hash=False)
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, slots=True)
class Detection:
    """One product seen in a picture; `score` says how sure the detector is, 0 to 1."""

    box: Box
    score: float
    label: str


class RegionSource(StrEnum):
    """Why a part of a picture was used."""

    UNKNOWN = "unknown"
    BOX = "box"
    POINT = "point"
    WHOLE_IMAGE = "whole_image"
    DETECTION = "detection"
    WHOLE_IMAGE_MATCHED_BETTER = "whole_image_matched_better"
    NOTHING_DETECTED = "nothing_detected"


@dataclass(frozen=True, slots=True)
class Region:
    """The part of a picture that was used, and why."""

    box: Box
    source: RegionSource


class Match(StrEnum):
    """What a score means, as it was measured for the embedding model; UNKNOWN where it does not say."""

    UNKNOWN = "unknown"
    SAME = "same"
    SIMILAR = "similar"
    WEAK = "weak"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Hit:
    """One product found; `score` is the cosine, -1 to 1, of its best picture `image_id`.

    `match` says what that means, and `same_probability` how likely it is the very product: 0 where `match` is UNKNOWN.
    """

    product: Product
    image_id: str
    score: float
    images_matched: int
    match: Match = Match.UNKNOWN
    same_probability: float = 0.0


class MissingKind(StrEnum):
    """Why a shard gave no answer."""

    UNKNOWN = "unknown"
    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class MissingShard:
    """A shard that gave no answer, and why."""

    shard: str
    kind: MissingKind
    message: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the shop an answer covers; `slots_fraction` is 1.0 when every shard answered.

    `behind` names shards that answered, but may lack acknowledged writes. `map_may_be_stale` says that the server could
    not learn of late whether products were moved or deleted elsewhere.
    """

    shards_asked: int
    shards_answered: int
    slots_fraction: float
    missing: tuple[MissingShard, ...]
    behind: tuple[str, ...] = ()
    map_may_be_stale: bool = False

    @property
    def complete(self) -> bool:
        """Return whether every shard has answered with all that was ever acknowledged."""
        return self.shards_answered == self.shards_asked and not self.behind and not self.map_may_be_stale


@dataclass(frozen=True, slots=True)
class Drops:
    """Rows of a shard's answer that did not count.

    Their slot belongs to another shard; a newer version of the product was there, or it is deleted; a better picture
    of the same product was there.
    """

    not_owner: int
    older_version: int
    same_product: int


@dataclass(frozen=True, slots=True)
class ShardExplanation:
    """How one shard came to its part of an answer.

    `replica` answered; `hedge` was asked as well because the first was slow, `retry` because the first failed. The
    shard was asked `rounds` times. Names are empty where there is none, as is `message` where there is an answer.
    """

    shard: str
    replica: str
    ms: float
    rows: int
    drops: Drops
    hedge: str
    retry: str
    rounds: int
    message: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """How an answer came about: every shard that was asked, by name."""

    shards: tuple[ShardExplanation, ...]


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one answer went on the server, in milliseconds."""

    queue_ms: float
    decode_ms: float
    detect_ms: float
    embed_ms: float
    search_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What one search found.

    `searched` is None when the query was a product or a vector. `image_token` stands for the photo in later calls,
    for some minutes. `explanation` is there where it was asked for. `nothing_alike` says that even the best hit is no
    match: the shop has nothing like it.
    """

    search_id: str
    hits: tuple[Hit, ...]
    detections: tuple[Detection, ...]
    searched: Region | None
    coverage: Coverage
    timings: Timings
    image_token: str
    model: str
    explanation: Explanation | None = None
    nothing_alike: bool = False


@dataclass(frozen=True, slots=True)
class DetectResult:
    """The products seen in a picture, best first, and the upright picture's size."""

    detections: tuple[Detection, ...]
    width_px: int
    height_px: int
    image_token: str
    model: str
    timings: Timings


@dataclass(frozen=True, slots=True)
class EmbedResult:
    """The embedding of a picture or of a part of it; the vector has unit length."""

    vector: Vector
    embedded: Region
    image_token: str
    timings: Timings


class UpsertOutcome(StrEnum):
    """What an upsert did to a product."""

    UNKNOWN = "unknown"
    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class UpsertResult:
    """The product as it is stored now, and what the upsert did."""

    product: Product
    outcome: UpsertOutcome
    images_embedded: int
    images_reused: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some products; an empty `next_page_token` means that these were the last."""

    products: tuple[Product, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Done(Generic[Item, Result]):
    """The item at `index` of the input succeeded."""

    index: int
    item: Item
    result: Result


@dataclass(frozen=True, slots=True)
class Failed(Generic[Item]):
    """The item at `index` of the input failed; the others go on."""

    index: int
    item: Item
    error: LookalikeError


Outcome = Done[Item, Result] | Failed[Item]
"""What became of one item of a stream: tell the two apart with `match` or `isinstance`."""
