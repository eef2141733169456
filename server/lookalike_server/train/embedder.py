"""Trains an embedder on what a shop has, saves it on the way, and says how it goes. Knows no data format."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lookalike_server.image import Picture as ServedPicture
from lookalike_server.models.load import load_embedder
from lookalike_server.models.session import Runtime
from lookalike_server.regions import WHOLE_BOX
from lookalike_server.train.composites import letterboxed
from lookalike_server.train.crops import NO_BOXES
from lookalike_server.train.pictures import Picture
from lookalike_server.train.run import Run, Teacher, embedded

SAID_EVERY_S = 5.0
# Pictures that are not asked for, mixed into the gallery of the validation.
OTHERS_MAX = 2000
NO_RECALL = float("nan")


@dataclass
class Progress:
    """What the progress line says."""

    steps_at_start: int
    elapsed_at_start_s: float = 0.0
    """What the run had computed when it began or went on."""
    began_s: float = field(default_factory=time.monotonic)
    pictures: int = 0
    learning_s: float = 0.0
    recall: float = NO_RECALL
    """recall@1 of held-out products; not a number before the first validation."""

    def line(self, run: Run, losses: Mapping[str, float]) -> str:
        """Return the line: how far, how fast, how long still, and how good."""
        wall_s = max(1e-9, time.monotonic() - self.began_s)
        told = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
        recall = "" if np.isnan(self.recall) else f", held-out recall@1 {self.recall:.3f}"
        return (
            f"step {run.step} ({run.progress:.1%}), {run.plan.side_px(run.progress)} px: {told}{recall}; "
            f"{self.pictures / wall_s:.0f} pictures/s, learning {self.learning_s / wall_s:.0%} of the time, "
            f"{spoken(self.left_s(run, wall_s))} left"
        )

    def left_s(self, run: Run, wall_s: float) -> float:
        """Return how long it still takes at this rate."""
        done = run.step - self.steps_at_start
        if run.plan.steps:
            return (run.plan.steps - run.step) * wall_s / max(1, done)
        return (run.plan.minutes * 60 - run.elapsed_s) * wall_s / max(1e-9, run.elapsed_s - self.elapsed_at_start_s)


def train(
    run: Run,
    *,
    validate: Callable[[Any], float],
    teacher: Teacher | None = None,
    save_every_s: float = 300.0,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> float:
    """Take the steps that are left; return the held-out recall@1 of the averaged network. Ctrl-C loses no step."""
    progress = Progress(run.step, run.elapsed_s)
    said_s = saved_s = time.monotonic()
    losses: dict[str, float] = {}
    try:
        with closing(run.batches()) as batches:
            for batch in batches:
                began_s = time.monotonic()
                losses = run.learn(batch, teacher)
                now_s = time.monotonic()
                progress.learning_s += now_s - began_s
                progress.pictures += len(batch.pictures)
                if run.rank == 0 and now_s - said_s >= SAID_EVERY_S:
                    say(progress.line(run, losses))
                    said_s = now_s
                if run.rank == 0 and now_s - saved_s >= save_every_s and run.progress < 1:
                    run.save()
                    progress.recall = validate(run.ema)
                    saved_s = time.monotonic()
    except KeyboardInterrupt:
        run.save()
        raise
    run.save()
    if run.rank:
        return NO_RECALL
    progress.recall = validate(run.ema)
    say(progress.line(run, losses))
    return progress.recall


def recall_at_1(
    model: Any, asked: Mapping[str, Sequence[Picture]], others: Sequence[Picture], side_px: int, device: str = "cpu"
) -> float:
    """Return how often a picture of a held-out product finds that product's first picture before all others.

    Not a number where no product that is held out has two pictures.
    """

    def vectors(pictures: Sequence[Picture]) -> Any:
        return embedded(model, [letterboxed(one, NO_BOXES, side_px)[0] for one in pictures], device)

    several = {name: pictures for name, pictures in asked.items() if len(pictures) > 1}
    if not several:
        return NO_RECALL
    gallery = vectors([*(pictures[0] for pictures in asked.values()), *others[:OTHERS_MAX]])
    names = list(asked)
    queries = [(names.index(name), one) for name, pictures in several.items() for one in pictures[1:]]
    found = (vectors([one for _, one in queries]) @ gallery.T).argmax(1).tolist()
    return float(np.mean([at == wanted for at, (wanted, _) in zip(found, queries, strict=True)]))


def teacher_of(archive: Path) -> Teacher:
    """Return an embedder's archive as a teacher: pictures to unit vectors, by the server's own path."""
    embedder = load_embedder(archive, Runtime())

    def vectors(pictures: list[Picture]) -> np.ndarray[Any, np.dtype[np.float32]]:
        inputs = [embedder.prepare(ServedPicture.of(picture), [WHOLE_BOX])[0] for picture in pictures]
        return np.stack(embedder.run(inputs))

    return vectors


def spoken(seconds: float) -> str:
    """Write a time as people say it.

    >>> spoken(42), spoken(90), spoken(7500)
    ('42 s', '2 min', '2 h 5 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
