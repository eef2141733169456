"""One place that stores vectors and searches them: the seam between the router and Milvus. Knows no placement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lookalike_router.filter import Filter, Json

DIM = 256


@dataclass(frozen=True, eq=False)
class Row:
    """One picture of one product, as a shard keeps it."""

    product_id: str
    image_id: str
    slot: int
    """0 to 16,383, from the product's id alone."""
    version: int
    """Hybrid logical clock of the write; the newest wins."""
    model: str
    """"name@version" of the embedder that made `vector`."""
    vector: npt.NDArray[np.float32]
    """(256,), unit length."""
    attributes: Mapping[str, Json]
    """The product's: the keys of filter.COLUMNS, "url", "tags", and the shop's own under "attributes"."""
    picture: Mapping[str, Json]
    """The picture's own facts, for example its uri and content hash."""


@dataclass(frozen=True)
class Candidate:
    """One picture that a shard found near a query; `score` is a cosine in [-1, 1]."""

    product_id: str
    image_id: str
    slot: int
    version: int
    score: float
    attributes: Mapping[str, Json]
    picture: Mapping[str, Json]


@dataclass(frozen=True)
class Probe:
    """What a shard says of itself."""

    server_version: str
    rows: int
    groups: bool
    """Whether a search can be told to return one row per product."""


class Shard(Protocol):
    """One place that stores rows and searches them. Raises only ShardError."""

    @property
    def name(self) -> str:
        """The shard's name in the placement map."""
        ...

    async def join(self, deadline_s: float) -> Probe:
        """Make ready for use, or raise ShardRefused: identity, metric, direction, normalisation, dimension, schema."""
        ...

    async def probe(self, deadline_s: float) -> Probe:
        """Say how the shard is now."""
        ...

    async def search(
        self, queries: npt.NDArray[np.float32], limit: int, where: Filter | None, deadline_s: float
    ) -> list[list[Candidate]]:
        """Return for each of `queries` (n, 256) the `limit` rows nearest to it, best first."""
        ...

    async def upsert(self, rows: Sequence[Row], deadline_s: float) -> None:
        """Store rows whole, in place of those of the same product and picture."""
        ...

    async def read(self, product_ids: Sequence[str], deadline_s: float) -> list[Row]:
        """Return every row of these products, with its vector, as of every write acknowledged before."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
