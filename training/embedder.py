"""Trains the embedder, a half-width ResNet-18 with a 256-d head, from random initialisation.

Learns that views of one product belong together: rendered products (also with their hues turned,
as further products), grocery classes, and clothing photos, each an instance of its own. The
schedule runs over minutes of computing; --resume goes on, also with more products than before.
"""

import argparse
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn import functional

from lookalike_server.models.resnet import DIM, Embedder
from training.composites import Rng, Stock
from training.crops import HUE_TURNS_DEG, hue_turned, is_colourful, photo_crop, scene_crop, studio_crop
from training.learning import follow, optimizer_for, prefetched, set_rate
from training.pictures import Picture, Product, backgrounds, clothes, groceries, iconic_cutouts, products

# Part of the run at each input size; the last is what is served.
SIZES_PX = ((0.0, 96), (0.55, 128))
# A batch: categories x products each x two crops, grocery classes x two, clothing photos x two.
CATEGORIES = 7
PRODUCTS_EACH = 3
GROCERIES = 5
CLOTHES = 3
CLOTHES_MAX = 2000
LR_MAX = 2e-3
WEIGHT_DECAY = 0.05
CLIP_NORM = 5.0
EMA_DECAY = 0.998
SCALE, MARGIN, SMOOTHING = 16.0, 0.1, 0.1
CONTRAST_WEIGHT, TEMPERATURE = 0.5, 0.1
# Rows for classes to come: products times hue turns, and the groceries.
CLASSES_MAX = 8192
MEAN, STD = 127.5, 64.0
RESCAN_S = 600.0
# Goods that were learnt, mixed into the gallery of the validation.
OTHERS_MAX = 60

Labelled = tuple[list[Picture], list[str]]


class Goods:
    """Everything there is to learn from by now, and how a batch is drawn from it."""

    def __init__(self, data: Path, renders: Path) -> None:
        self.groceries = groceries(data, "train")
        self.iconic = iconic_cutouts(data)
        self.clothes = clothes(data, "train", CLOTHES_MAX)
        self._clutter = [photo for photos in self.groceries.values() for photo in photos] + self.clothes
        self.rescan(renders)

    def rescan(self, renders: Path) -> None:
        """Read the rendered products that are there by now."""
        self.by_category: dict[str, list[tuple[Product, bool]]] = {}
        found = products(renders, validation=False)
        for product in found:
            entry = (product, is_colourful(product.views[0]))
            self.by_category.setdefault(product.category, []).append(entry)
        self.count = len(found)
        cutouts = [view for product in found for view in product.views] or list(self.iconic.values())
        self.stock = Stock(cutouts, backgrounds(renders, validation=False), self._clutter)

    def batch(self, side_px: int, rng: Rng) -> Labelled:
        """Return pictures and the names of what they show, two pictures a name."""
        pictures: list[Picture] = []
        names: list[str] = []
        categories = list(self.by_category)
        few = min(CATEGORIES, len(categories))
        for index in rng.choice(len(categories), few, replace=False) if few else []:
            self._add_products(self.by_category[categories[index]], side_px, rng, pictures, names)
        classes = list(self.groceries)
        for index in rng.choice(len(classes), GROCERIES + 2 * (CATEGORIES - few), replace=False):
            for _ in range(2):
                pictures.append(self._grocery(classes[index], side_px, rng))
                names.append(f"grocery:{classes[index]}")
        for index in rng.choice(len(self.clothes), CLOTHES, replace=False):
            pictures += [scene_crop(self.clothes[index], side_px, rng) for _ in range(2)]
            names += [f"clothes:{index}"] * 2
        return pictures, names

    def _add_products(
        self, group: list[tuple[Product, bool]], side_px: int, rng: Rng, pictures: list[Picture], names: list[str]
    ) -> None:
        """Add products of one category, alike but not the same: the hard part of the batch."""
        seen = set()
        for _ in range(PRODUCTS_EACH):
            product, colourful = group[rng.integers(len(group))]
            turn = HUE_TURNS_DEG[rng.integers(len(HUE_TURNS_DEG))] if colourful and rng.random() < 0.6 else 0.0
            name = f"render:{product.name}:{turn:.0f}"
            if name in seen:
                continue
            seen.add(name)
            first, second = rng.choice(len(product.views), 2, replace=False)
            shown = [hue_turned(product.views[index], turn) for index in (first, second)]
            in_studio = rng.random() < 0.7
            pictures.append(
                studio_crop(shown[0], side_px, rng) if in_studio else photo_crop(shown[0], self.stock, side_px, rng)
            )
            pictures.append(photo_crop(shown[1], self.stock, side_px, rng))
            names += [name] * 2

    def _grocery(self, name: str, side_px: int, rng: Rng) -> Picture:
        """Return a crop of a grocery photo, or of its catalogue picture put elsewhere."""
        if rng.random() < 0.25:
            rgba = self.iconic[name]
            return studio_crop(rgba, side_px, rng) if rng.random() < 0.4 else photo_crop(rgba, self.stock, side_px, rng)
        photos = self.groceries[name]
        return scene_crop(photos[rng.integers(len(photos))], side_px, rng)


def as_input(pictures: list[Picture]) -> torch.Tensor:
    """Return pictures as the model's input (n, 3, side, side), channels last in memory."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().sub_(MEAN).div_(STD)


def margin_loss(vectors: torch.Tensor, prototypes: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cosine softmax with margin of (n, 256) vectors against (classes, 256)."""
    cosines = vectors @ functional.normalize(prototypes).T
    cosines = cosines - MARGIN * functional.one_hot(labels, prototypes.shape[0])
    return functional.cross_entropy(SCALE * cosines, labels, label_smoothing=SMOOTHING)


def contrast_loss(vectors: torch.Tensor, instances: torch.Tensor) -> torch.Tensor:
    """Return the supervised contrastive loss: each vector finds its like among the batch."""
    near = vectors @ vectors.T / TEMPERATURE
    near.fill_diagonal_(-1e9)
    like = (instances[:, None] == instances[None, :]).float().fill_diagonal_(0)
    logs = near - near.logsumexp(1, keepdim=True)
    return -((logs * like).sum(1) / like.sum(1).clamp(min=1)).mean()


class Prototypes(torch.nn.Module):
    """One direction per class; classes get their rows as they are first seen."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = torch.nn.Parameter(torch.randn(CLASSES_MAX, DIM) * 0.05)
        self.names: dict[str, int] = {}

    def labels(self, names: list[str]) -> torch.Tensor:
        """Return the class of each name, -1 for clothing, whose photos are no classes."""
        return torch.tensor(
            [-1 if name.startswith("clothes:") else self.names.setdefault(name, len(self.names)) for name in names]
        )


class Run:
    """One training run: model, average, prototypes, optimiser, and how far it is."""

    def __init__(self, out: Path, minutes: float, resume: bool) -> None:
        self.model: Any = Embedder().to(memory_format=torch.channels_last)
        self.prototypes = Prototypes()
        self.ema = deepcopy(self.model)
        self.optimizer = optimizer_for([self.model, self.prototypes], LR_MAX, WEIGHT_DECAY)
        self.step, self.elapsed_s, self.budget_s = 0, 0.0, minutes * 60
        self.path = out / "embedder.ckpt"
        if resume and self.path.exists():
            self._load(torch.load(self.path, weights_only=True))

    def _load(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.prototypes.load_state_dict(state["prototypes"])
        self.prototypes.names = state["names"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]

    @property
    def progress(self) -> float:
        """Return the share of the time budget that is used."""
        return min(1.0, self.elapsed_s / self.budget_s)

    @property
    def side_px(self) -> int:
        """Return the input size of this part of the run."""
        return [side for start, side in SIZES_PX if self.progress >= start][-1]

    def learn(self, pictures: torch.Tensor, names: list[str]) -> dict[str, float]:
        """Take one step; return the losses and the share of crops that found their class."""
        started_s = time.thread_time()
        set_rate(self.optimizer, LR_MAX, self.progress, self.step)
        labels = self.prototypes.labels(names)
        order = {name: index for index, name in enumerate(dict.fromkeys(names))}
        vectors = self.model(pictures.contiguous(memory_format=torch.channels_last))
        known = labels >= 0
        rows = self.prototypes.rows[: len(self.prototypes.names)]
        by_class = margin_loss(vectors[known], rows, labels[known])
        contrast = contrast_loss(vectors, torch.tensor([order[name] for name in names]))
        self.optimizer.zero_grad(set_to_none=True)
        (by_class + CONTRAST_WEIGHT * contrast).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self.optimizer.step()
        self.step += 1
        follow(self.ema, self.model, EMA_DECAY, self.step)
        right = (vectors[known] @ functional.normalize(rows).T).argmax(1) == labels[known]
        self.elapsed_s += time.thread_time() - started_s
        return {"class_loss": float(by_class), "contrast": float(contrast), "right": float(right.float().mean())}

    def save(self) -> None:
        """Write the state to go on from, and the averaged model to export."""
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "step": self.step,
            "prototypes": self.prototypes.state_dict(),
            "names": self.prototypes.names,
            "optimizer": self.optimizer.state_dict(),
            "elapsed_s": self.elapsed_s,
        }
        torch.save(state, self.path.with_suffix(".tmp"))
        self.path.with_suffix(".tmp").replace(self.path)
        torch.save(
            {"embedder": self.ema.state_dict(), "side_px": SIZES_PX[-1][1], "mean": MEAN, "std": STD},
            self.path.with_suffix(".pt"),
        )


@torch.no_grad()
def embedded(model: Any, pictures: list[Picture]) -> torch.Tensor:
    """Return the unit vectors of pictures, (n, 256)."""
    model.eval()
    parts = [
        model(as_input(pictures[i : i + 64]).contiguous(memory_format=torch.channels_last))
        for i in range(0, len(pictures), 64)
    ]
    return torch.cat(parts)


def evaluate(model: Any, data: Path, renders: Path, side_px: int) -> dict[str, float]:
    """Return recall of held-out rendered products: photo crops against two studio views each."""
    rng = np.random.default_rng(11)
    clutter = [photo for photos in groceries(data, "val").values() for photo in photos]
    asked = products(renders, validation=True)
    stock = Stock([view for product in asked for view in product.views], backgrounds(renders, True), clutter)
    gallery, owners, queries, wanted = [], [], [], []
    for product in [*asked, *products(renders, validation=False)[:OTHERS_MAX]]:
        for turn in HUE_TURNS_DEG if is_colourful(product.views[0]) else HUE_TURNS_DEG[:1]:
            name = f"{product.name}:{turn:.0f}"
            views = [hue_turned(view, turn) for view in product.views]
            gallery += [studio_crop(view, side_px, rng) for view in views[:2]]
            owners += [name] * 2
            if product in asked:
                queries += [photo_crop(view, stock, side_px, rng) for view in views[2:] for _ in range(2)]
                wanted += [name] * 2 * len(views[2:])
    if not queries:
        return {}
    order = (embedded(model, queries) @ embedded(model, gallery).T).argsort(1, descending=True)[:, :10].tolist()
    ranked = [list(dict.fromkeys(owners[i] for i in row)) for row in order]
    at = {k: float(np.mean([name in row[:k] for name, row in zip(wanted, ranked, strict=True)])) for k in (1, 5)}
    return {"recall_at_1": at[1], "recall_at_5": at[5], "queries": len(queries), "gallery": len(set(owners))}


def main() -> None:
    """Train until the minutes are used up; print the losses and the validation figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with grocery/ and clothing/")
    parser.add_argument("--renders", type=Path, required=True, help="folder with train/ and backgrounds_train/")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    train(args, Run(args.out, args.minutes, args.resume))


def train(args: argparse.Namespace, run: Run) -> None:
    """Take steps until the budget is used; save, measure and look for new renders on the way."""
    goods = Goods(args.data, args.renders)
    rng = np.random.default_rng(args.seed + run.step)

    def made() -> tuple[torch.Tensor, list[str]]:
        pictures, names = goods.batch(run.side_px, rng)
        return as_input(pictures), names

    queue = prefetched(made)
    started_s = checked_s = time.monotonic()
    run.model.train()
    while run.progress < 1:
        losses = run.learn(*queue.get())
        if run.step % 25 == 0:
            words = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
            print(
                f"step {run.step} {run.side_px} px {100 * run.progress:.1f} % {words} products {goods.count} "
                f"classes {len(run.prototypes.names)} wall {time.monotonic() - started_s:.0f} s",
                flush=True,
            )
        if time.monotonic() - checked_s > RESCAN_S or run.progress >= 1:
            run.save()
            print(f"validation {evaluate(run.ema, args.data, args.renders, run.side_px)}", flush=True)
            goods.rescan(args.renders)
            checked_s = time.monotonic()


if __name__ == "__main__":
    main()
