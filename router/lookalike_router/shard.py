"""One place that stores vectors and searches them: the seam between the router and Milvus. Knows no placement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lookalike_router.filter import Filter, Json
from lookalike_router.slots import SlotRange

DIM = 256
# Milvus refuses to return more rows of one search or query.
ROWS_MAX = 16_384


@dataclass(frozen=True, eq=False)
class Stored:
    """One picture of one product, as a shard keeps it, without its vector."""

    product_id: str
    image_id: str
    slot: int
    """0 to 16,383, from the product's id alone."""
    version: int
    """Hybrid logical clock of the write; the newest wins."""
    model: str
    """"name@version+digest" of the embedder that made the vector."""
    attributes: Mapping[str, Json]
    """The product's: the keys of filter.COLUMNS, "url", "tags", and the shop's own under "attributes"."""
    picture: Mapping[str, Json]
    """The picture's own facts, for example its uri and content hash."""


@dataclass(frozen=True, eq=False)
class Row(Stored):
    """One picture of one product with its vector."""

    vector: npt.NDArray[np.float32] = field(repr=False)
    """(256,), unit length."""


@dataclass(frozen=True, slots=True)
class Head:
    """What names a row: a picture of a product in one version."""

    product_id: str
    image_id: str
    version: int


@dataclass(slots=True)
class Candidate:
    """One picture that a shard found near a query; `score` is a cosine in [-1, 1].

    Not frozen: a search makes hundreds, and a frozen one takes three times as long to make.
    """

    product_id: str
    image_id: str
    version: int
    score: float
    document: str
    """Attributes and picture as columns.document writes them; opened only for those that are returned."""


@dataclass(frozen=True)
class Digest:
    """What rows there are, whatever their order: equal digests mean equal sets of (product, picture, version)."""

    rows: int
    hash: int
    """The sum of the rows' 128-bit keys modulo 2**128."""


@dataclass(frozen=True)
class Probe:
    """What a shard says of itself."""

    server_version: str
    groups: bool
    """Whether a search can be told to return one row per product."""


class Shard(Protocol):
    """One endpoint that stores the rows of a shard and searches them: the shard's only one, or one of its replicas.

    A row is named by product, picture *and version*, and never changes: a late or repeated write can add what is dead
    already, but can overwrite nothing. Raises only ShardError, within the deadline and a moment.
    """

    @property
    def name(self) -> str:
        """The replica's name in the map, "shard/number"."""
        ...

    @property
    def uri(self) -> str:
        """Where it is, without credentials."""
        ...

    async def join(self, shop: str, founding: bool, deadline_s: float) -> Probe:
        """Make ready for use, or raise ShardRefused: identity, metric, direction, normalisation, dimension, schema.

        Only while its shop, its shard or itself is being added may the endpoint be empty; it then gets its identity.
        """
        ...

    async def search(
        self, queries: npt.NDArray[np.float32], limit: int, where: Filter | None, deadline_s: float
    ) -> list[list[Candidate]]:
        """Return for each of `queries` (n, 256) the `limit` rows nearest to it, best first."""
        ...

    async def write(self, rows: Sequence[Row], gone: Sequence[Head], deadline_s: float) -> None:
        """Store `rows` and delete the rows `gone`; return once reads see both. Repeating it changes nothing."""
        ...

    async def heads(self, product_ids: Sequence[str], deadline_s: float) -> list[Head]:
        """Return which rows of these products there are, as of every write acknowledged before."""
        ...

    async def read(self, product_ids: Sequence[str], deadline_s: float) -> list[Row]:
        """Return every row of these products, with its vector, as of every write acknowledged before."""
        ...

    async def scan(
        self, slots: Sequence[SlotRange], where: Filter | None, limit: int, deadline_s: float
    ) -> list[Stored]:
        """Return rows in these slots in no order; `limit` of them means that there may be more."""
        ...

    async def count(self, slots: Sequence[SlotRange], where: Filter | None, deadline_s: float) -> int:
        """Return how many rows there are in these slots."""
        ...

    async def digests(self, slots: SlotRange, deadline_s: float) -> dict[int, Digest]:
        """Return for each slot that holds rows how many and their order-free hash, as of every write acknowledged.

        Raises ShardFailed if the range holds ROWS_MAX rows or more: ask for a smaller one.
        """
        ...

    async def heads_in(self, slots: Sequence[SlotRange], deadline_s: float) -> list[Head]:
        """Return which rows there are in these slots, as of every write acknowledged before."""
        ...

    async def rows_in(self, slots: Sequence[SlotRange], deadline_s: float) -> list[Row]:
        """Return the rows in these slots with vectors, as of every write acknowledged before; raises as `digests`."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
