"""Trains the bundled embedder, a half-width ResNet-18 with a 256-d head, from random initialisation.

The recipe alone: what a batch holds, and how unseen goods are asked about; its steps are those of `train embedder`.
Views of one product belong together: rendered products (also with their hues turned, as further products), grocery
classes, and clothing photos, each an instance of its own. The schedule runs over minutes of computing;
--resume goes on.
"""

import argparse
from collections.abc import Callable, Iterator, Set
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from lookalike_server.models.resnet import DIM
from lookalike_server.train.batch import UNCLASSED, Batch, Rng, Vectors
from lookalike_server.train.composites import MIRRORED, Stock
from lookalike_server.train.crops import (
    WHOLE_SHARE,
    hue_turned,
    photo_crop,
    scene_crop,
    studio_crop,
)
from lookalike_server.train.embedder import NO_RECALL, train
from lookalike_server.train.learning import keep_memory
from lookalike_server.train.pictures import Picture, cut_from_white
from lookalike_server.train.run import Plan, Run, as_input, embedded
from training.arguments import existing_folder, existing_path
from training.pictures import (
    PACK,
    Find,
    Product,
    backgrounds,
    clothes,
    garments,
    groceries,
    held,
    packages,
    products,
    turns_of,
    unseen_groceries,
)
from training.serving import Model, alone
from training.teaching import PARTS, lessons, parts_of
from training.thaw import thaw_embedder

# A batch: categories and families of packages, times products each, times two crops; grocery classes, packaged or
# loose, with two or three; clothing photos, each with two crops that belong together, and others that do by their kind.
CATEGORIES = 4
FAMILIES = 2
PRODUCTS_EACH = 4
PACKAGES, LOOSE = 8, 4
CLOTHES, CLOTHES_OF_A_KIND = 5, 18
CLOTHES_MAX = 5000
# Of crops of clothing and of groceries so many are about the parts that the teacher has seen; at least so much of each.
CLOTHES_TAUGHT, GROCERIES_TAUGHT = 0.6, 0.3
TAUGHT_SHARE_MIN = 0.75
# Of photos of a package in a drawn box so many show it in another place: what is around it must tell nothing.
ELSEWHERE = 0.45
# A smaller part of such a photo mostly misses the package.
HELD_SHARE_MIN = 0.5
# Small at first: shapes and colours are learned three times as fast as at the size that is served.
SIZES_PX = ((0.0, 64), (0.3, 96), (0.65, 128), (0.85, 160))
# A run that begins with weights has learned those.
LATER_SIZES_PX = ((0.0, 128), (0.45, 160), (0.75, 192))
# Of grocery classes in a batch so many also bring their catalogue picture, and so many of those as a shop shows it.
WITH_ICONIC, AS_SHOWN = 0.8, 0.45
# Of colourful products so many have their hues turned, or stay as they are by chance.
TURNED = 0.6
CLOTHES_SPACE = 2
SAVE_EVERY_S = 600.0
# A class of clothing begins as the mean of its photos among the first so many.
EXAMPLES_OF_CLOTHES = 1000
EXAMPLES_AT_ONCE = 512
# Goods that were learnt, mixed into the gallery of the validation.
OTHERS_MAX = 60


class Photo(NamedTuple):
    """A photo or a catalogue picture, its parts that the teacher saw, first the whole, and what it said of each."""

    picture: Picture
    parts: tuple[Picture, ...]
    taught: Vectors
    """(parts, 256) unit vectors; zeros where there is no teacher."""
    held: Picture | None = None
    """The product alone, an opaque cut-out, where its box is known."""


class Shown(NamedTuple):
    """One picture of a batch, the name of what it shows, and what the teacher said of it."""

    picture: Picture
    name: str
    taught: Vectors


SILENT: Vectors = np.zeros(DIM, np.float32)


class Goods:
    """Everything there is to learn from, and how a batch is drawn from it."""

    def __init__(
        self,
        data: Path,
        renders: Path,
        *,
        without: Set[str] = frozenset(),
        teach: Callable[[list[Picture]], Vectors] | None = None,
        find: Find | None = None,
    ) -> None:
        """Read it all; `without` are grocery classes to leave out, `teach` tells a teacher's vectors of pictures.

        `find` tells the boxes in photos of packages that nobody has drawn in.
        """
        photos = {name: few for name, few in groceries(data, "train").items() if name not in without}
        self.garments = garments(data, "train", CLOTHES_MAX)
        worn = clothes(data, "train", CLOTHES_MAX)
        clutter = [photo for few in photos.values() for photo in few] + worn
        catalogue = {name: few[0] for name, few in groceries(data, "iconic").items() if name not in without}
        seen = with_lessons([*clutter, *catalogue.values()], teach)
        cut = held(data, "train", photos, find)
        packed = packages(data)
        self._packages = [name for name in photos if name in packed]
        self._loose = [name for name in photos if name not in packed]
        self.groceries = {name: [next(seen)._replace(held=one) for one in cut[name]] for name in photos}
        self.clothes = [next(seen) for _ in worn]
        self.iconic = {name: next(seen)._replace(picture=cut_from_white(one)) for name, one in catalogue.items()}
        self._teaches = teach is not None
        self.by_category: dict[str, list[tuple[Product, tuple[float, ...]]]] = {}
        found = list(products(renders, validation=False))
        for product in found:
            self.by_category.setdefault(product.category, []).append((product, turns_of(product)))
        self.categories = [name for name in self.by_category if not name.startswith(PACK)]
        self.families = [name for name in self.by_category if name.startswith(PACK)]
        cutouts = [view for product in found for view in product.views]
        cutouts = cutouts or [one.picture for one in self.iconic.values()]
        self.stock = Stock(cutouts, backgrounds(renders, validation=False), clutter)
        self._kinds = sorted({kind for kind in self.garments if kind})
        names = [name for name, _, _ in self._rendered()]
        # What is told apart by a softmax of its own: rendered goods, groceries, and kinds of garments.
        spaces = (names, [f"grocery:{name}" for name in self.groceries], [f"clothes:{kind}" for kind in self._kinds])
        self._labels = {name: (space, at) for space, few in enumerate(spaces) for at, name in enumerate(few)}
        self._classes = tuple(len(few) for few in spaces)

    @property
    def classes(self) -> tuple[int, ...]:
        """How many rendered products, grocery classes, and kinds of garments."""
        return self._classes

    def batch(self, side_px: int, rng: Rng) -> Batch:
        """Draw one batch; a clothing photo is an instance of its own, or of the class that is its kind of garment."""
        drawn = self._drawn(side_px, rng)
        instances = {name: number for number, name in enumerate(dict.fromkeys(shown.name for shown in drawn))}
        labels = [self._label(shown.name) for shown in drawn]
        return Batch(
            [shown.picture for shown in drawn],
            [instances[shown.name] for shown in drawn],
            [space for space, _ in labels],
            [at for _, at in labels],
            np.stack([shown.taught for shown in drawn]) if self._teaches else None,
        )

    def examples(self, side_px: int, rng: Rng) -> Iterator[tuple[int, int, Picture]]:
        """Yield space, class and a crop, at least one for each class."""
        for name, product, turn in self._rendered():
            yield *self._label(name), studio_crop(hue_turned(product.views[0], turn), side_px, rng)
        for name, iconic in self.iconic.items():
            yield *self._label(f"grocery:{name}"), studio_crop(iconic.picture, side_px, rng)
        for index, kind in enumerate(self.garments[:EXAMPLES_OF_CLOTHES]):
            if kind:
                yield *self._label(f"clothes:{index}"), scene_crop(self.clothes[index].picture, side_px, rng, share=1.0)

    def _rendered(self) -> Iterator[tuple[str, Product, float]]:
        """Yield name, product and turn in hue of every rendered class."""
        for group in self.by_category.values():
            for product, turns in group:
                yield from ((_named(product, turn), product, turn) for turn in turns)

    def _label(self, name: str) -> tuple[int, int]:
        """Return space and class of what is shown; a clothing photo is classed by its garment, or is itself alone."""
        kind, _, which = name.partition(":")
        if kind == "cloth":
            return CLOTHES_SPACE, UNCLASSED
        if kind == "clothes":
            return self._labels.get(f"clothes:{self.garments[int(which)]}", (CLOTHES_SPACE, UNCLASSED))
        return self._labels[name]

    def _drawn(self, side_px: int, rng: Rng) -> list[Shown]:
        """Return what a batch shows: two or three pictures of each thing."""
        drawn: list[Shown] = []
        groups = _some(self.categories, CATEGORIES, rng) + _some(self.families, FAMILIES, rng)
        for group in groups:
            drawn += self._products(self.by_category[group], side_px, rng)
        more = CATEGORIES + FAMILIES - len(groups)
        for names, count in ((self._packages, PACKAGES), (self._loose, LOOSE)):
            for name in _some(names, count + more, rng):
                drawn += self._grocery(name, side_px, rng)
        worn = rng.permutation(len(self.clothes))[: CLOTHES + CLOTHES_OF_A_KIND].tolist()
        names = [f"cloth:{at}" for at in worn[:CLOTHES] for _ in range(2)] + [f"clothes:{at}" for at in worn[CLOTHES:]]
        for name in names:
            photo = self.clothes[int(name.partition(":")[2])]
            drawn.append(_crop(photo, name, side_px, rng, CLOTHES_TAUGHT))
        return drawn

    def _products(self, group: list[tuple[Product, tuple[float, ...]]], side_px: int, rng: Rng) -> list[Shown]:
        """Return products of one category, alike but not the same: the hard part of the batch."""
        drawn: dict[str, list[Picture]] = {}
        for _ in range(PRODUCTS_EACH):
            product, turns = group[rng.integers(len(group))]
            turn = turns[rng.integers(len(turns))] if rng.random() < TURNED else turns[0]
            name = _named(product, turn)
            if name in drawn:
                continue
            few = rng.choice(len(product.views), 2, replace=False)
            first, second = (hue_turned(product.views[index], turn) for index in few)
            in_studio = rng.random() < 0.7
            drawn[name] = [
                studio_crop(first, side_px, rng) if in_studio else photo_crop(first, self.stock, side_px, rng),
                photo_crop(second, self.stock, side_px, rng),
            ]
        return [Shown(picture, name, SILENT) for name, pictures in drawn.items() for picture in pictures]

    def _grocery(self, name: str, side_px: int, rng: Rng) -> list[Shown]:
        """Return two photos of a grocery class, and most times its catalogue picture, as it is or put elsewhere."""
        photos, named = self.groceries[name], f"grocery:{name}"
        chosen = rng.choice(len(photos), min(2, len(photos)), replace=False)
        drawn = [self._grocery_crop(photos[at], named, side_px, rng) for at in chosen]
        if rng.random() < WITH_ICONIC:
            iconic = self.iconic[name]
            crop = studio_crop if rng.random() < AS_SHOWN else partial(photo_crop, stock=self.stock)
            drawn.append(Shown(crop(iconic.picture, side_px=side_px, rng=rng), named, iconic.taught[0]))
        return drawn

    def _grocery_crop(self, photo: Photo, name: str, side_px: int, rng: Rng) -> Shown:
        """Return a crop of a photo, or what is held there put into another place."""
        if photo.held is not None and rng.random() < ELSEWHERE:
            return Shown(photo_crop(photo.held, self.stock, side_px, rng), name, SILENT)
        # What is on a package can be read, and no camera mirrors it.
        mirrored = 0.0 if name.partition(":")[2] in self._packages else MIRRORED
        return _crop(photo, name, side_px, rng, GROCERIES_TAUGHT, mirrored)


def _crop(photo: Photo, name: str, side_px: int, rng: Rng, taught: float, mirrored: float = MIRRORED) -> Shown:
    """Return a crop of a photo: where there is a teacher, so many are about a part that it saw, with what it said."""
    if not photo.taught.any() or rng.random() >= taught:
        part = 1.0 if rng.random() < WHOLE_SHARE else rng.uniform(HELD_SHARE_MIN, 1.0)
        share = None if photo.held is None else part
        return Shown(scene_crop(photo.picture, side_px, rng, share, mirrored), name, SILENT)
    at = rng.integers(len(photo.parts))
    share = rng.uniform(TAUGHT_SHARE_MIN, 1.0)
    return Shown(scene_crop(photo.parts[at], side_px, rng, share, mirrored), name, photo.taught[at])


def with_lessons(pictures: list[Picture], teach: Callable[[list[Picture]], Vectors] | None) -> Iterator[Photo]:
    """Yield each picture with its parts, and what is taught of them."""
    parts = [parts_of(number, picture) for number, picture in enumerate(pictures)]
    taught = teach([part for few in parts for part in few]) if teach else np.tile(SILENT, (PARTS * len(parts), 1))
    yield from map(Photo, pictures, parts, taught.reshape(len(parts), PARTS, -1))


def _named(product: Product, turn_deg: float) -> str:
    """Return what a rendered product with its hues turned is called."""
    return f"render:{product.name}:{turn_deg:.0f}"


def _some(names: list[str], count: int, rng: Rng) -> list[str]:
    """Return up to `count` of the names, none twice."""
    return [names[at] for at in rng.choice(len(names), min(count, len(names)), replace=False)] if names else []


def unseen_recall(model: Any, data: Path, renders: Path, side_px: int) -> float:
    """Return recall@1 of held-out rendered products: photo crops against two studio views each."""
    rng = np.random.default_rng(11)
    clutter = [photo for photos in groceries(data, "val").values() for photo in photos]
    asked = [one for one in products(renders, validation=True) if not one.category.startswith(PACK)]
    stock = Stock([view for product in asked for view in product.views], backgrounds(renders, True), clutter)
    gallery, owners, queries, wanted = [], [], [], []
    for product in [*asked, *islice(products(renders, validation=False), OTHERS_MAX)]:
        for turn in turns_of(product):
            name = f"{product.name}:{turn:.0f}"
            views = [hue_turned(view, turn) for view in product.views]
            gallery += [studio_crop(view, side_px, rng) for view in views[:2]]
            owners += [name] * 2
            if product in asked:
                queries += [photo_crop(view, stock, side_px, rng) for view in views[2:] for _ in range(2)]
                wanted += [name] * 2 * len(views[2:])
    if not queries:
        return NO_RECALL
    nearest = (embedded(model, queries) @ embedded(model, gallery).T).argmax(1).tolist()
    return float(np.mean([owners[at] == name for at, name in zip(nearest, wanted, strict=True)]))


def begin(run: Run, goods: Goods, weights: Path) -> None:
    """Take over an earlier run's weights, or those of its archive, and point the classes to where it sees them."""
    rng = np.random.default_rng(run.plan.seed)
    if weights.suffix == ".zip":
        crops = goods.batch(run.plan.sizes_px[-1][1], rng).pictures
        thaw_embedder(run.model, weights, as_input(list(crops)))
        run.ema.load_state_dict(run.model.state_dict())
    else:
        run.start_from(weights)
    imprint(run, goods, rng)


@torch.no_grad()
def imprint(run: Run, goods: Goods, rng: Rng) -> None:
    """Let each class's direction be the mean of what the network says of its examples: none is learned from nothing.

    Qi, Brown and Lowe, Low-Shot Learning with Imprinted Weights, CVPR 2018.
    """
    sums = [torch.zeros_like(loss.W.T) for loss in run.losses.by_space]
    examples = goods.examples(run.plan.side_px(0), rng)
    while few := list(islice(examples, EXAMPLES_AT_ONCE)):
        for (space, at, _), vector in zip(few, embedded(run.model, [crop for *_, crop in few]), strict=True):
            sums[space][at] += vector
    for loss, total in zip(run.losses.by_space, sums, strict=True):
        known = total.any(1)
        # As long as the random ones are, so that the rate turns them as fast.
        loss.W.T[known] = functional.normalize(total[known]) * DIM**0.5


def finder(detector: Path | None, threads: int) -> Find | None:
    """Return what finds the one thing in a photo, by the detector of an archive."""
    if detector is None:
        return None
    model = Model(detector, threads)
    return lambda photo: alone(model, Image.fromarray(photo))


def main() -> None:
    """Train until the minutes are used up; print the losses and the validation figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=existing_folder, required=True, help="folder with grocery/ and clothing/")
    parser.add_argument("--renders", type=existing_folder, required=True, help="holds train/ and backgrounds_train/")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--weights", type=existing_path, help="an earlier run's .pt, or its archive, to begin with")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--teacher", type=existing_path, help="a TensorFlow Lite classifier to follow")
    parser.add_argument("--detector", type=existing_path, help="an archive, to find packages that nobody drew a box of")
    parser.add_argument("--hold-out", action="store_true", help="leave 16 grocery classes out, to measure unseen goods")
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    keep_memory()
    args.out.mkdir(parents=True, exist_ok=True)
    without = unseen_groceries(args.data) if args.hold_out else frozenset[str]()
    teach = (
        partial(lessons, args.teacher, kept=args.out / "lessons.npy", threads=args.threads) if args.teacher else None
    )
    goods = Goods(args.data, args.renders, without=without, teach=teach, find=finder(args.detector, args.threads))
    sizes_px = LATER_SIZES_PX if args.weights else SIZES_PX
    plan = Plan(minutes=args.minutes, rate=args.rate, seed=args.seed, sizes_px=sizes_px)
    run = Run(plan, goods, args.out, resume=args.resume)
    if args.weights and not run.step:
        begin(run, goods, args.weights)
    train(
        run,
        validate=lambda model: unseen_recall(model, args.data, args.renders, plan.side_px(run.progress)),
        save_every_s=SAVE_EVERY_S,
    )


if __name__ == "__main__":
    main()
