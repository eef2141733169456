"""One training run of an embedder: its steps, its checkpoints, its progress line. Knows no pictures' meaning.

A run by steps draws batch k from (seed, k) and has a schedule by steps, so that a run that is killed and resumed goes
the way of one that never was. A run by minutes of computing ends at about the same time on any machine.

Started by torchrun as several processes, they share one run: each learns from batches of its own, and all take the mean
of their gradients. On a CPU, two processes of one thread learn from more pictures than one process of two threads.
"""

import os
import time
from collections.abc import Callable, Generator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as peers

from lookalike_server.errors import ServerError
from lookalike_server.models.resnet import DIM, build
from lookalike_server.train.batch import Batch, Goods, Vectors
from lookalike_server.train.crops import MARGIN
from lookalike_server.train.learning import (
    follow,
    multiplies_halves,
    optimizer_for,
    prefetched,
    set_rate,
)
from lookalike_server.train.losses import Losses
from lookalike_server.train.pictures import Picture

CLIP_NORM = 5.0
MEAN, STD = 127.5, 64.0

Teacher = Callable[[list[Picture]], Vectors]


class TrainError(ServerError):
    """A run cannot begin or go on; the message says what to do."""


@dataclass(frozen=True)
class Plan:
    """How a run goes; exactly one of `steps` and `minutes` is above 0."""

    backbone: str = "resnet18-half"
    steps: int = 0
    minutes: float = 0.0
    """Of computing, so that a busy machine does not cut a run short."""
    sizes_px: tuple[tuple[float, int], ...] = ((0.0, 96), (0.55, 128))
    """From which part of the run on each input size holds; the last is what is served."""
    rate: float = 2e-3
    weight_decay: float = 0.05
    ema_decay: float = 0.998
    seed: int = 0

    def side_px(self, progress: float) -> int:
        """Return the input size at a part of the run."""
        return [side for start, side in self.sizes_px if progress >= start][-1]


class Run:
    """Network, average, losses, optimiser, and how far they are."""

    def __init__(self, plan: Plan, goods: Goods, out: Path, *, resume: bool, device: str = "cpu") -> None:
        torch.manual_seed(plan.seed)
        if "WORLD_SIZE" in os.environ and not peers.is_initialized():
            peers.init_process_group("gloo")
        together = peers.is_initialized()
        self.rank: int = peers.get_rank() if together else 0
        self.processes: int = peers.get_world_size() if together else 1
        try:
            self.model: Any = build(plan.backbone).to(device, memory_format=torch.channels_last)
        except ValueError as error:
            raise TrainError(str(error)) from error
        self.losses = Losses(goods.classes, DIM).to(device)
        self.ema = deepcopy(self.model)
        self.optimizer = optimizer_for([self.model, self.losses], plan.rate, plan.weight_decay)
        self.plan, self.goods, self.device = plan, goods, device
        self.halves = multiplies_halves(device)
        self.step, self.elapsed_s, self._rest_s = 0, 0.0, 0.0
        self.path = out / "embedder.ckpt"
        out.mkdir(parents=True, exist_ok=True)
        if resume and self.path.exists():
            self._load()

    @property
    def progress(self) -> float:
        """Return the share of the run that is done."""
        plan = self.plan
        return min(1.0, self.step / plan.steps if plan.steps else self.elapsed_s / (plan.minutes * 60))

    def start_from(self, weights: Path) -> None:
        """Take over what fits of a file of weights: a torchvision state dict, or a checkpoint of a run."""
        try:
            state = torch.load(weights, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever unpickling a stranger's file may raise
            raise TrainError(f"{weights} holds no weights that torch reads: {error}") from error
        if "embedder" in state:
            state = state["embedder"]
        elif hasattr(self.model, "stages") and "conv1.weight" in state:
            # torchvision names its stages, ours numbers them.
            order = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
            parts = ((key.partition("."), value) for key, value in state.items())
            state = {f"stages.{order[head]}.{rest}": value for (head, _, rest), value in parts if head in order}
        own = self.model.state_dict()
        fitting = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
        if not any(key.startswith("stages.") for key in fitting):
            raise TrainError(f"{weights} are weights of another network than {self.plan.backbone}")
        self.model.load_state_dict(fitting, strict=False)
        self.ema.load_state_dict(self.model.state_dict())

    def batches(self) -> Generator[Batch, None, None]:
        """Yield batches from the present step on, made ahead in a thread of their own."""
        made = self.step

        def make() -> Batch:
            nonlocal made
            # The part of the run as it will be at that step, however far ahead this thread is.
            progress = made / self.plan.steps if self.plan.steps else self.progress
            rng = np.random.default_rng((self.plan.seed, made * self.processes + self.rank))
            made += 1
            return self.goods.batch(self.plan.side_px(min(1.0, progress)), rng)

        with prefetched(make) as queue:
            while self.progress < 1:
                yield queue.get()

    def learn(self, batch: Batch, teacher: Teacher | None = None) -> dict[str, float]:
        """Take one step; return the losses and the share of pictures that found their class."""
        started_s = self._clock()
        self.model.train()
        set_rate(self.optimizer, self.plan.rate, self.progress, self.step)
        inputs = as_input(list(batch.pictures)).to(self.device)
        told = teacher(list(batch.pictures)) if teacher else batch.taught
        taught = None if told is None else torch.from_numpy(told).to(self.device)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.halves):
            features = self.model.features(inputs)
        vectors = self.model.vectors(features.float())
        parts = self.losses(vectors, batch, taught)
        self.optimizer.zero_grad(set_to_none=True)
        sum(parts.values()).backward()
        self.elapsed_s += self._averaged(self._clock() - started_s + self._rest_s)
        started_s = self._clock()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self.optimizer.step()
        self.step += 1
        follow(self.ema, self.model, self.plan.ema_decay, self.step)
        self._rest_s = self._clock() - started_s
        figures = {name: float(value.detach()) for name, value in parts.items()}
        return figures | {"right": self.losses.right(vectors, batch)}

    def _averaged(self, spent_s: float) -> float:
        """Give every process the mean of all gradients; return the mean of what they spent, the same for each."""
        if self.processes == 1:
            return spent_s
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
        flat = torch.cat([torch.tensor([spent_s]), *(gradient.flatten().cpu() for gradient in gradients)])
        peers.all_reduce(flat)
        flat /= self.processes
        at = 1
        for weight in weights:
            weight.grad = flat[at : at + weight.numel()].view_as(weight).to(weight.device)
            at += weight.numel()
        return float(flat[0])

    def _clock(self) -> float:
        """Return seconds of this thread's computing; of a GPU's, those of the wall."""
        return time.thread_time() if self.device == "cpu" else time.monotonic()

    def save(self) -> None:
        """Write the state to go on from, and the averaged network to export; of several processes one does."""
        if self.rank:
            return
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "losses": self.losses.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "seed": self.plan.seed,
            "backbone": self.plan.backbone,
        }
        served = {
            "embedder": {name: value.cpu() for name, value in self.ema.state_dict().items()},
            "backbone": self.plan.backbone,
            "side_px": self.plan.sizes_px[-1][1],
            "margin": MARGIN,
            "mean": MEAN,
            "std": STD,
        }
        for path, what in ((self.path, state), (self.path.with_suffix(".pt"), served)):
            torch.save(what, path.with_suffix(".part"))
            path.with_suffix(".part").replace(path)

    def _load(self) -> None:
        """Take up a saved state; refuse one that this run would not go on from."""
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        if (state["seed"], state["backbone"]) != (self.plan.seed, self.plan.backbone):
            raise TrainError(
                f"{self.path} is of seed {state['seed']} and network {state['backbone']}: give the same, or another "
                "--out"
            )
        try:
            self.losses.load_state_dict(state["losses"])
        except RuntimeError as error:
            raise TrainError(f"{self.path} was learned from other data; give the same, or another --out") from error
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]


def as_input(pictures: list[Picture]) -> torch.Tensor:
    """Return pictures as the network's input (n, 3, side, side), channels last in memory."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().sub_(MEAN).div_(STD)


@torch.no_grad()
def embedded(model: Any, pictures: list[Picture], device: str = "cpu") -> torch.Tensor:
    """Return the unit vectors of pictures, (n, 256)."""
    model.eval()
    parts = [
        model(as_input(pictures[i : i + 64]).contiguous(memory_format=torch.channels_last).to(device)).cpu()
        for i in range(0, len(pictures), 64)
    ]
    return torch.cat(parts) if parts else torch.zeros(0, DIM)
