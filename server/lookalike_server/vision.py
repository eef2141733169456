"""Turns photos into detections and vectors: decode ▸ detect ▸ crop ▸ embed. Knows no router, no wire and no shop."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from lookalike_server.deadline import Clock, Deadline
from lookalike_server.image import Picture
from lookalike_server.models.detector import Detector
from lookalike_server.models.embedder import Embedder
from lookalike_server.regions import Box, Detection
from lookalike_server.timings import Timings


@dataclass(frozen=True)
class Upload:
    """A photo as its encoded bytes."""

    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Token:
    """A photo that an earlier answer named."""

    value: str = field(repr=False)


Photo: TypeAlias = Upload | Token


@dataclass(frozen=True, eq=False)
class Seen:
    """A decoded photo, what was detected in it, and where the time went so far."""

    picture: Picture = field(repr=False)
    detections: tuple[Detection, ...]
    """Best first; empty where detection was not asked for or saw nothing."""
    token: str = field(repr=False)
    timings: Timings = field(default_factory=Timings)

    @property
    def width_px(self) -> int:
        """The upright photo's width as it was sent."""
        return self.picture.width_px

    @property
    def height_px(self) -> int:
        """The upright photo's height as it was sent."""
        return self.picture.height_px


@dataclass(frozen=True)
class VisionLimits:
    """How much may run, wait and stay in memory."""

    decode_threads: int = 2
    decodes_waiting_max: int = 64
    detect_batch_max: int = 8
    detects_waiting_max: int = 64
    embed_batch_max: int = 16
    embeds_waiting_max: int = 512
    token_bytes_max: int = 192 * 2**20
    token_ttl_s: float = 600.0


class Vision:
    """Sees and embeds photos on a few threads of its own; every call may raise BadImage, Overloaded or TooLate."""

    def __init__(
        self,
        detector: Detector,
        embedder: Embedder,
        limits: VisionLimits | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        raise NotImplementedError

    @property
    def detector_id(self) -> str:
        """The detector as "name@version"."""
        raise NotImplementedError

    @property
    def embedder_id(self) -> str:
        """The embedder as "name@version"; vectors of two of them never meet."""
        raise NotImplementedError

    async def see(self, photo: Photo, deadline: Deadline, *, detect: bool) -> Seen:
        """Decode `photo`, or find it by its token or raise TokenExpired; with `detect`, find the products in it."""
        raise NotImplementedError

    async def embed(self, seen: Seen, boxes: Sequence[Box], deadline: Deadline) -> npt.NDArray[np.float32]:
        """Return one unit vector for each of `boxes`, (n, 256); adds to `seen.timings`."""
        raise NotImplementedError

    async def close(self) -> None:
        """Finish what was accepted, refuse the rest with ShuttingDown, and let the threads go."""
        raise NotImplementedError
