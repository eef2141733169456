"""Measures a step of `lookalike-server train embedder`: in 16 bits beside 32, with memory kept beside handed back.

    python bench/training.py [--json]

Needs the extra `models`. Pictures are random and made beforehand: what is measured is the learning, by one thread as in
a run of several processes. Rounds are interleaved, the ratio is the median of the rounds' ratios.
"""

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from lookalike_server.train.batch import Batch, Rng
from lookalike_server.train.learning import keep_memory, multiplies_halves
from lookalike_server.train.run import Plan, Run

ROUNDS, STEPS = 5, 4
PICTURES, EACH, SIDE_PX = 100, 2, 160


class Noise:
    """A shop of random pictures."""

    classes = (PICTURES // EACH,)

    def batch(self, side_px: int, rng: Rng) -> Batch:
        """Return two pictures of each product."""
        pictures = list(rng.integers(0, 256, (PICTURES, side_px, side_px, 3), np.uint8))
        products = [at // EACH for at in range(PICTURES)]
        return Batch(pictures, products, [0] * PICTURES, products, None)


def step_s(kept: bool, halves: bool) -> float:
    """Return the seconds of a step in 16 bits or in 32, in a process that keeps its memory or does not."""
    if kept:
        keep_memory()
    torch.set_num_threads(1)
    shop = Noise()
    batch = shop.batch(SIDE_PX, np.random.default_rng(0))
    took_s = []
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Plan(steps=1, sizes_px=((0.0, SIDE_PX),)), shop, Path(folder), resume=False)
        run.halves = halves
        for _ in range(STEPS + 1):
            began_s = time.perf_counter()
            run.learn(batch)
            took_s.append(time.perf_counter() - began_s)
    return median(took_s[1:])


def measured() -> dict[str, float | bool]:
    """Return pictures a second, and how much faster 16 bits and kept memory are."""
    halves = multiplies_halves("cpu")
    # What a process keeps it keeps for good, and what is large in one kind of step is small in the other.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        kinds = [(True, False), (True, True), (False, halves), (True, halves)]
        rounds = [[pool.submit(step_s, *kind).result() for kind in kinds] for _ in range(ROUNDS)]
    return {
        "multiplies_halves": halves,
        "float32_pictures_per_s": PICTURES / median(full_s for full_s, *_ in rounds),
        "bfloat16_pictures_per_s": PICTURES / median(half_s for _, half_s, *_ in rounds),
        "bfloat16_speedup": median(full_s / half_s for full_s, half_s, *_ in rounds),
        "kept_memory_speedup": median(returned_s / kept_s for *_, returned_s, kept_s in rounds),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    figures = measured()
    if parser.parse_args().json:
        print(json.dumps(figures))
        return
    full, half = (figures[f"{kind}_pictures_per_s"] for kind in ("float32", "bfloat16"))
    used = "uses" if figures["multiplies_halves"] else "does without"
    print(
        f"a half-width ResNet-18 at {SIDE_PX} px, one thread: {full:.0f} pictures/s in 32 bits, {half:.0f} in 16 bits"
    )
    print(f"({figures['bfloat16_speedup']:.2f} times); training {used} them")
    print(f"memory that is kept and not handed back: {figures['kept_memory_speedup']:.2f} times")


if __name__ == "__main__":
    main()
