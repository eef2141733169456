"""What both training runs share: the optimiser, the rate over time, averaged weights, prefetching.

Knows nothing of pictures or losses.
"""

import ctypes
import math
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, Queue
from threading import Event, Thread
from typing import TypeVar

import torch

Batch = TypeVar("Batch")

LR_MIN_SHARE = 0.02
WARM_UP_STEPS = 200
# What mallopt(3) calls them, in malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
# Batches made ahead: enough to ride out a pause, little memory.
AHEAD = 4
# How often a thread that is to end is looked after.
LOOK_S = 0.05


def multiplies_halves(device: str) -> bool:
    """Return whether bfloat16 is faster than float32 there: where a processor only imitates it, it is far slower."""
    if device != "cpu":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Older torch cannot tell, and goes without.
    known = getattr(torch.cpu, "get_capabilities", dict[str, bool])()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def keep_memory() -> None:
    """Have the C library keep what is freed: a step's arrays are the last one's size, and fresh pages are zeroed first.

    Only glibc is told; another library does as it likes.
    """
    with suppress(AttributeError, OSError):
        tell = ctypes.CDLL(None).mallopt
        tell(M_MMAP_MAX, 0)
        tell(M_TRIM_THRESHOLD, -1)


def optimizer_for(modules: list[torch.nn.Module], rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """Return AdamW that lets only weights of two and more dimensions decay."""
    parameters = [p for module in modules for p in module.parameters()]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99))


def set_rate(optimizer: torch.optim.Optimizer, rate: float, progress: float, step: int) -> None:
    """Set the learning rate: a short warm-up, then a cosine over `progress` from 0 to 1."""
    share = LR_MIN_SHARE + (1 - LR_MIN_SHARE) * 0.5 * (1 + math.cos(math.pi * progress))
    for group in optimizer.param_groups:
        group["lr"] = rate * share * min(1.0, (step + 1) / WARM_UP_STEPS)


@torch.no_grad()
def follow(mean: torch.nn.Module, model: torch.nn.Module, decay_max: float, step: int) -> None:
    """Move the averaged weights towards the model's; faster in the first steps."""
    decay = decay_max * (1 - math.exp(-step / 500))
    for average, value in zip(mean.state_dict().values(), model.state_dict().values(), strict=True):
        if average.dtype.is_floating_point:
            average.lerp_(value, 1 - decay)
        else:
            average.copy_(value)


@contextmanager
def prefetched(make: Callable[[], Batch]) -> Iterator["Queue[Batch]"]:
    """Keep a queue filled with what `make` returns, in a thread of its own that ends with the block."""
    queue: Queue[Batch] = Queue(maxsize=AHEAD)
    ended = Event()

    def work() -> None:
        try:
            while not ended.is_set():
                queue.put(make())
        except BaseException:
            traceback.print_exc()
            os._exit(1)  # a trainer that waits for batches that never come would look alive

    thread = Thread(target=work)
    thread.start()
    try:
        yield queue
    finally:
        ended.set()
        while thread.is_alive():  # it may wait for a place
            with suppress(Empty):
                queue.get(timeout=LOOK_S)
        thread.join()
