"""Turns photos into detections and vectors: decode ▸ detect ▸ crop ▸ embed. Knows no router, no wire and no shop."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar

import numpy as np

from lookalike_server import image
from lookalike_server.batch import Batcher, Worker
from lookalike_server.deadline import Clock, Deadline
from lookalike_server.errors import TokenExpired
from lookalike_server.image import Picture
from lookalike_server.models.detector import DETECTIONS_MAX, Detector, DetectorInput
from lookalike_server.models.embedder import Embedder
from lookalike_server.models.match import Calibration
from lookalike_server.models.session import RUNS_MAX, FloatArray
from lookalike_server.regions import Box, Detection
from lookalike_server.timings import Timings
from lookalike_server.tokens import Held, Tokens

T = TypeVar("T")

MS = 1000.0
# Parts of one photo that are embedded at most: all that is detected in it, and the whole.
PARTS_MAX = DETECTIONS_MAX + 1
# A photo that nobody asks for any more stays at most a tenth longer than promised.
SWEEPS_PER_TTL = 10


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

    photo: image.Limits = field(default_factory=image.Limits)
    pixel_threads: int = 0
    """Threads that decode and scale; 0: one for each core."""
    batch_max: int = 16
    """Photos or parts of them that join one run of a network."""
    photos_waiting_max: int = 64
    """Photos that may wait to be decoded, and as many again to be searched for products."""
    token_bytes_max: int = 256 * 2**20
    token_ttl_s: float = 600.0


class Vision:
    """Sees and embeds photos on threads of its own; make it in a running event loop.

    Every call may raise Overloaded, TooLate or ShuttingDown.
    """

    def __init__(
        self,
        detector: Detector,
        embedder: Embedder,
        limits: VisionLimits | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._limits = limits = limits or VisionLimits()
        self._detector, self._embedder = detector, embedder
        self._tokens = Tokens(limits.token_bytes_max, limits.token_ttl_s, clock)
        self._sweeping: asyncio.TimerHandle | None = None
        self._pixels = Worker(limits.pixel_threads or os.cpu_count() or 1, "pixels")
        self._networks = Worker(RUNS_MAX, "networks")
        photos = limits.photos_waiting_max
        # A network that takes one picture at a time would only keep its thread from the other runs.
        detects = limits.batch_max if detector.batches else 1
        self._preparing: Batcher[Callable[[], Any], Any] = Batcher(
            "read the picture", call_each, self._pixels, batch_max=1, waiting_max=photos, clock=clock
        )
        self._detecting = Batcher(
            "detect", detector.run, self._networks, batch_max=detects, waiting_max=photos, clock=clock
        )
        self._embedding = Batcher(
            "embed",
            embedder.run,
            self._networks,
            batch_max=limits.batch_max,
            waiting_max=photos * PARTS_MAX,
            clock=clock,
        )

    @property
    def detector_id(self) -> str:
        """The detector as "name@version+digest"."""
        return self._detector.id

    @property
    def embedder_id(self) -> str:
        """The embedder as "name@version+digest"; vectors of two of them never meet."""
        return self._embedder.id

    @property
    def calibration(self) -> Calibration | None:
        """What the embedder's cosines mean; None where it does not say."""
        return self._embedder.calibration

    async def see(self, photo: Photo, deadline: Deadline, *, detect: bool, keep: bool = True) -> Seen:
        """Decode `photo`, or find it by its token; with `detect`, look for products; with `keep`, give it a token.

        Raises BadImage or TokenExpired. Pictures of the catalogue are not kept: they would push the shoppers' out.
        """
        if isinstance(photo, Token):
            held, token = self._tokens.find(photo.value), photo.value
            if held is None:
                raise TokenExpired
        else:
            held, token = Held(photo.content), ""
        timings = Timings()
        read = partial(self._read, held.content, detect and held.detections is None)
        (picture, scaled), took_ms = await self._prepare(read, deadline, timings)
        timings.decode_ms += took_ms
        if scaled is not None:
            held.detections = await self._detect(scaled, deadline, timings)
        if keep and not token:
            token = self._keep(held)
        return Seen(picture, held.detections or (), token, timings)

    async def embed(self, seen: Seen, boxes: Sequence[Box], deadline: Deadline) -> FloatArray:
        """Return one unit vector for each of `boxes`, (n, 256); adds to `seen.timings`."""
        cut = partial(self._embedder.prepare, seen.picture, boxes)
        inputs, took_ms = await self._prepare(cut, deadline, seen.timings)
        answer = await self._embedding.call(inputs, deadline)
        seen.timings.queue_ms += answer.queue_s * MS
        seen.timings.embed_ms += took_ms + answer.run_s * MS
        return np.stack(answer.results) if answer.results else np.empty((0, self._embedder.dim), np.float32)

    async def close(self) -> None:
        """Finish what was accepted, refuse the rest with ShuttingDown, and let threads and photos go."""
        for batcher in (self._preparing, self._detecting, self._embedding):
            await batcher.close()
        for worker in (self._pixels, self._networks):
            worker.close()
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._tokens.clear()

    def _read(self, content: bytes, detect: bool) -> tuple[Picture, DetectorInput | None]:
        """Decode, and scale for the detector in the same turn of the thread."""
        picture = image.decode(content, self._limits.photo)
        return picture, self._detector.prepare(picture) if detect else None

    async def _detect(self, scaled: DetectorInput, deadline: Deadline, timings: Timings) -> tuple[Detection, ...]:
        answer = await self._detecting.call([scaled], deadline)
        timings.queue_ms += answer.queue_s * MS
        timings.detect_ms += answer.run_s * MS
        return answer.results[0]

    async def _prepare(self, work: Callable[[], T], deadline: Deadline, timings: Timings) -> tuple[T, float]:
        """Run `work` on a thread for pixels; return what it does and the milliseconds it took."""
        answer = await self._preparing.call([work], deadline)
        timings.queue_ms += answer.queue_s * MS
        return answer.results[0], answer.run_s * MS

    def _keep(self, held: Held) -> str:
        """Keep a photo, and see that it goes in time even if no call comes after this one."""
        if self._sweeping is None:
            self._sweep()
        return self._tokens.keep(held)

    def _sweep(self) -> None:
        self._tokens.sweep()
        pause_s = self._limits.token_ttl_s / SWEEPS_PER_TTL
        self._sweeping = asyncio.get_running_loop().call_later(pause_s, self._sweep)


def call_each(works: Sequence[Callable[[], T]]) -> list[T]:
    """Call each of `works`."""
    return [work() for work in works]
