"""What one step learns from. Knows no files and no networks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lookalike_server.train.pictures import Picture

Rng = np.random.Generator
Vectors = npt.NDArray[np.float32]
# A picture of no class: it is told apart from the others of its batch alone.
UNCLASSED = -1


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures (side, side, 3) and what each shows."""

    pictures: Sequence[Picture]
    instances: Sequence[int]
    """Equal where two pictures show the same product, within this batch."""
    spaces: Sequence[int]
    """Which data set's classes `labels` are of."""
    labels: Sequence[int]
    """The class in its space, or UNCLASSED."""
    taught: Vectors | None = None
    """A teacher's unit vectors (n, any), zero where it was not asked; None where no teacher was."""


class Goods(Protocol):
    """Everything that there is to learn from."""

    @property
    def classes(self) -> Sequence[int]:
        """How many classes each space has."""
        ...

    def batch(self, side_px: int, rng: Rng) -> Batch:
        """Draw one batch; the same generator draws the same batch."""
        ...
