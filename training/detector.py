"""Trains the one-class product detector, a YOLO26n, from random initialisation on composites.

Most pictures are put together anew (composites.py) while the last ones are learnt from; the others are parts of photos
with boxes that people drew. The schedule runs over minutes of computing, not epochs, so that a run ends on any machine;
it can be stopped and taken up again with --resume, also with more minutes. --weights goes on from a bundled detector.
"""

import argparse
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from ultralytics.cfg import get_cfg
from ultralytics.nn.tasks import DetectionModel

from lookalike_server.train.composites import Boxes, Stock, as_photographed, letterboxed, photo, pick, studio_picture
from lookalike_server.train.learning import follow, optimizer_for, prefetched, set_rate
from lookalike_server.train.pictures import Picture
from training.arguments import existing_folder, existing_path
from training.bundle import LOG_ODDS_SHIFT
from training.pictures import PACK, backgrounds, clothes, groceries, iconic_cutouts, labelled, products
from training.serving import overlap
from training.thaw import thaw_detector

# Part of the run at each input size: small pictures teach most of it at half the price. The last is what is served:
# products larger than any that was learnt from are missed.
SIZES_PX = ((0.0, 192), (0.55, 256))
BATCH = 16
SCORE_MIN = 0.25
LR_MAX = 2e-3
WEIGHT_DECAY = 0.02
CLIP_NORM = 10.0
EMA_DECAY = 0.999
CLOTHES_MAX = 1200
ASPECTS = (1.0, 1.0, 4 / 3, 3 / 4, 3 / 4, 16 / 9, 9 / 16, 3 / 2)
COUNTS = (0, 1, 2, 3, 4)
COUNT_ODDS = (0.02, 0.48, 0.18, 0.16, 0.16)
# Of the pictures, so many are photos with boxes that people drew, and of the others so many catalogue pictures.
PHOTO_SHARE, STUDIO_SHARE = 0.35, 0.25
# A product that is cut by a crop is still one where this share of its box is left, and none below the lower share.
KEPT_SHARE, GONE_SHARE = 0.6, 0.15
# Of drawn packages, which are many and much alike, so few views for each view that was rendered.
PACKS_EACH = 1.0
# Pictures that batch norms are measured on.
THAWED_ON = 64
SAVE_S = 480.0


def stock_from(data: Path, renders: Path, clutter: list[Picture], validation: bool) -> Stock:
    """Read the cut-outs and backgrounds."""
    found = list(products(renders, validation))
    rendered = [view for product in found if not product.category.startswith(PACK) for view in product.views]
    drawn = [view for product in found if product.category.startswith(PACK) for view in product.views]
    rendered += drawn[:: max(1, round(len(drawn) / max(1.0, PACKS_EACH * len(rendered))))]
    iconic = list(iconic_cutouts(data).values()) if not validation or not rendered else []
    # Iconic pictures are flat and few: once there are renders they are a spice.
    return Stock(rendered + iconic, backgrounds(renders, validation), clutter)


def sample(stock: Stock, side_px: int, rng: np.random.Generator) -> tuple[Picture, Boxes]:
    """Return one letterboxed training picture and the boxes of its products."""
    aspect = ASPECTS[rng.integers(len(ASPECTS))]
    size = (round(side_px * min(1.0, aspect)), round(side_px / max(1.0, aspect)))
    if rng.random() < STUDIO_SHARE:
        picture, boxes = studio_picture(pick(stock.cutouts, rng), size, rng)
    else:
        picture, boxes = photo(stock, size, int(rng.choice(COUNTS, p=COUNT_ODDS)), rng)
    return letterboxed(picture, boxes, side_px)


def photo_sample(photo: Picture, boxes: Boxes, side_px: int, rng: np.random.Generator) -> tuple[Picture, Boxes]:
    """Return a letterboxed crop of a labelled photo in which no product is cut in a doubtful way, and its boxes."""
    height, width = photo.shape[:2]
    for share in [*rng.uniform(0.45, 1.0, 10).tolist(), 1.0]:
        shape = np.exp(rng.normal(0, 0.15)) if share < 1 else 1.0
        w, h = min(width, round(width * share * shape)), min(height, round(height * share / shape))
        x, y = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
        kept = np.clip(boxes - np.array([x, y, x, y]), 0, np.array([w, h, w, h])).astype(np.float32)
        left = (kept[:, 2:] - kept[:, :2]).prod(1) / (boxes[:, 2:] - boxes[:, :2]).prod(1)
        if ((left >= KEPT_SHARE) | (left <= GONE_SHARE)).all() and (left >= KEPT_SHARE).any():
            break
    part, kept = photo[y : y + h, x : x + w], kept[left >= KEPT_SHARE]
    if rng.random() < 0.5:
        part, kept = part[:, ::-1], np.array([w, 0, w, 0]) + kept[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1])
    zoom = min(1.0, side_px / max(w, h))
    size = (max(8, round(w * zoom)), max(8, round(h * zoom)))
    small = cv2.resize(np.ascontiguousarray(part), size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return letterboxed(as_photographed(small, rng), (kept * zoom).astype(np.float32), side_px)


def as_batch(samples: list[tuple[Picture, Boxes]]) -> dict[str, torch.Tensor]:
    """Return samples as the batch ultralytics' loss takes: boxes as centre and size, in fractions."""
    pixels = np.stack([picture for picture, _ in samples])
    index = np.concatenate([np.full(len(boxes), i, np.float32) for i, (_, boxes) in enumerate(samples)])
    boxes = np.concatenate([boxes for _, boxes in samples]) / pixels.shape[1]
    centred = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
    image = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)  # (n, 3, side, side), channels last
    return {
        "img": image,
        "batch_idx": torch.from_numpy(index),
        "cls": torch.zeros(len(index), 1),
        "bboxes": torch.from_numpy(centred.astype(np.float32)),
    }


class Loader:
    """Makes batches of the size asked for."""

    def __init__(self, data: Path, renders: Path, seed: int) -> None:
        clutter = [p for group in groceries(data, "train").values() for p in group]
        clutter += clothes(data, "train", CLOTHES_MAX)
        self._rng = np.random.default_rng(seed)
        self._photos = labelled(data, validation=False)
        self.side_px = SIZES_PX[0][1]
        self.stock = stock_from(data, renders, clutter, validation=False)

    def batch(self) -> dict[str, torch.Tensor]:
        """Return the next batch."""
        side_px = self.side_px  # the trainer may change it at any moment; a batch has one size
        return as_batch([self._sample(side_px) for _ in range(BATCH)])

    def _sample(self, side_px: int) -> tuple[Picture, Boxes]:
        if self._photos and self._rng.random() < PHOTO_SHARE:
            return photo_sample(*self._photos[self._rng.integers(len(self._photos))], side_px, self._rng)
        return sample(self.stock, side_px, self._rng)


def validation_set(data: Path, renders: Path, side_px: int, count: int) -> list[tuple[Picture, Boxes]]:
    """Return the same `count` composites of held-out products each time."""
    clutter = [p for group in groceries(data, "val").values() for p in group]
    stock = stock_from(data, renders, clutter, validation=True)
    rng = np.random.default_rng(7)
    return [sample(stock, side_px, rng) for _ in range(count)]


@torch.no_grad()
def photos_found(model: Any, data: Path, side_px: int) -> float:
    """Return the share of the labelled validation photos of packages in which a box covers one (IoU 0.5)."""
    model.eval()
    photos = [letterboxed(photo, boxes, side_px) for photo, boxes in labelled(data, validation=True)]
    found = []
    for start in range(0, len(photos), BATCH):
        some = photos[start : start + BATCH]
        rows = model(as_batch(some)["img"].contiguous(memory_format=torch.channels_last))[0].numpy()
        for (_, boxes), row in zip(some, rows, strict=True):
            sure = row[row[:, 4] >= SCORE_MIN][:, :4]
            found.append(len(sure) > 0 and float(overlap(sure, boxes).max()) >= 0.5)
    return float(np.mean(found)) if found else float("nan")


@torch.no_grad()
def evaluate(model: Any, pictures: list[tuple[Picture, Boxes]]) -> dict[str, float]:
    """Return recall at IoU 0.5 of boxes scoring 0.25, their precision, and the average precision."""
    model.eval()
    hits: list[tuple[float, bool]] = []
    wanted = 0
    for start in range(0, len(pictures), BATCH):
        samples = pictures[start : start + BATCH]
        rows = model(as_batch(samples)["img"].contiguous(memory_format=torch.channels_last))[0].numpy()
        for (_, boxes), found in zip(samples, rows, strict=True):
            wanted += len(boxes)
            free = np.ones(len(boxes), bool)
            for row in found[found[:, 4] > 0.01]:
                ious = overlap(row[None, :4], boxes)[0] * free if len(boxes) else np.zeros(1)
                best = int(ious.argmax())
                hits.append((float(row[4]), bool(ious[best] >= 0.5)))
                if ious[best] >= 0.5:
                    free[best] = False
    hits.sort(reverse=True)
    right = np.cumsum([hit for _, hit in hits]) if hits else np.zeros(1)
    precision = right / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    sure = sum(score >= SCORE_MIN for score, _ in hits)
    gains = np.diff(right, prepend=0) / max(1, wanted)
    found_share = float(right[sure - 1] / wanted) if sure else 0.0
    return {
        "ap50": float((envelope * gains).sum()),
        "recall": found_share,
        "precision": float(precision[sure - 1]) if sure else 0.0,
        "n": wanted,
    }


def new_model() -> Any:
    """Return an untrained one-class YOLO26n."""
    model: Any = DetectionModel("yolo26n.yaml", ch=3, nc=1, verbose=False)
    model.args = get_cfg()
    model.model[-1].end2end = True  # serve the branch that needs no suppression of doubles
    model.names = {0: "product"}
    return model.to(memory_format=torch.channels_last)


class Run:
    """One training run: model, average, optimiser, and how far it is."""

    def __init__(self, out: Path, minutes: float, rate: float, resume: bool) -> None:
        self.model, self.step, self.elapsed_s, self.budget_s = new_model(), 0, 0.0, minutes * 60
        self.rate = rate
        self.ema = deepcopy(self.model)
        self.optimizer = optimizer_for([self.model], rate, WEIGHT_DECAY)
        self.path = out / "detector.ckpt"
        if resume and self.path.exists():
            state = torch.load(self.path, weights_only=False)
            self.model.load_state_dict(state["model"])
            self.ema.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.elapsed_s = state["step"], state["elapsed_s"]

    def begin_from(self, archive: Path, pictures: torch.Tensor) -> None:
        """Take over the weights of a bundled detector."""
        thaw_detector(self.model, archive, pictures)
        with torch.no_grad():
            head = self.model.model[-1]
            for branch in (*head.one2one_cv3, *head.cv3):
                branch[-1].bias -= LOG_ODDS_SHIFT
        self.ema.load_state_dict(self.model.state_dict())

    @property
    def progress(self) -> float:
        """Return the share of the time budget that is used."""
        return min(1.0, self.elapsed_s / self.budget_s)

    @property
    def side_px(self) -> int:
        """Return the input size of this part of the run."""
        return [side for start, side in SIZES_PX if self.progress >= start][-1]

    def learn(self, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        """Take one step; return the parts of the loss."""
        started_s = time.thread_time()
        self.model.train()
        if getattr(self.model, "criterion", None) is None:
            self.model.criterion = self.model.init_criterion()
        share = 0.8 - 0.7 * self.progress  # many boxes per product teach first, one per product is what is served
        self.model.criterion.o2m, self.model.criterion.o2o = share, 1 - share
        set_rate(self.optimizer, self.rate, self.progress, self.step)
        batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
        loss, parts = self.model.loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.sum().div(BATCH).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self.optimizer.step()
        self.step += 1
        follow(self.ema, self.model, EMA_DECAY, self.step)
        self.elapsed_s += time.thread_time() - started_s
        return {name: float(value) for name, value in parts.items()}

    def save(self) -> None:
        """Write the state to go on from, and the averaged model as an ultralytics checkpoint."""
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "step": self.step,
            "optimizer": self.optimizer.state_dict(),
            "elapsed_s": self.elapsed_s,
        }
        torch.save(state, self.path.with_suffix(".tmp"))
        self.path.with_suffix(".tmp").replace(self.path)
        served = deepcopy(self.ema)
        served.criterion = None
        torch.save({"model": served, "train_args": {"task": "detect"}}, self.path.with_suffix(".pt"))


def main() -> None:
    """Train until the minutes are used up; print the loss and the validation figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=existing_folder, required=True, help="folder with grocery/ and clothing/")
    parser.add_argument("--renders", type=existing_folder, required=True, help="holds train/ and backgrounds_train/")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=LR_MAX)
    parser.add_argument("--weights", type=existing_path, help="a bundled detector.zip to begin with")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    run = Run(args.out, args.minutes, args.rate, args.resume)
    loader = Loader(args.data, args.renders, args.seed + run.step)
    if args.weights and not run.step:
        loader.side_px = SIZES_PX[-1][1]
        run.begin_from(args.weights, torch.cat([loader.batch()["img"] for _ in range(THAWED_ON // BATCH)]))
    train(args, run, loader)


def train(args: argparse.Namespace, run: Run, loader: Loader) -> None:
    """Take steps until the budget is used; save and measure on the way."""
    saved_s = started_s = time.monotonic()
    with prefetched(loader.batch) as queue:
        while run.progress < 1:
            loader.side_px = run.side_px
            parts = run.learn(queue.get())
            if run.step % 25 == 0:
                words = " ".join(f"{name} {value:.3f}" for name, value in parts.items())
                print(
                    f"step {run.step} {run.side_px} px {100 * run.progress:.1f} % {words} "
                    f"wall {time.monotonic() - started_s:.0f} s",
                    flush=True,
                )
            if run.progress >= 1 or time.monotonic() - saved_s > SAVE_S:
                run.save()
                held_out = validation_set(args.data, args.renders, run.side_px, 256 if run.progress >= 1 else 96)
                found = photos_found(run.ema, args.data, run.side_px)
                print(f"validation {evaluate(run.ema, held_out)} packages {found:.2f}", flush=True)
                saved_s = time.monotonic()


if __name__ == "__main__":
    main()
