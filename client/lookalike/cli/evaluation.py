"""Asks a shop about photos whose products are known, in every way a shopper could. Knows no figures."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lookalike.cli.scoring import DEPTH, Judged, Mode
from lookalike.cli.truth import AnyOfClass, OneProduct, Shown, TruthPhoto, class_of
from lookalike.client import Client
from lookalike.errors import InvalidArgument, NotFound
from lookalike.types import Point, Product, SearchResult


@dataclass(slots=True)
class Evaluation:
    """One run over a ground truth: what was answered, and what stood in the way."""

    client: Client
    model: str = ""
    unknown: set[str] = field(default_factory=set)
    """Products of the ground truth that the shop does not have."""
    failed: dict[str, str] = field(default_factory=dict)
    """Photos that the server refused, and why."""
    products: dict[str, Product] = field(default_factory=dict)
    """The right products that were looked up."""
    _of_class: dict[str, int] = field(default_factory=dict)

    def run(self, photos: Iterable[TruthPhoto]) -> Iterator[tuple[Judged, ...]]:
        """Ask about each photo; yield what was judged, nothing for a photo that is refused."""
        photos = tuple(photos)
        self._look_up(photos)
        for photo in photos:
            try:
                yield tuple(self._asked(photo))
            except InvalidArgument as error:
                self.failed[str(photo.path)] = str(error)
                yield ()

    def _look_up(self, photos: Iterable[TruthPhoto]) -> None:
        """Learn which right products there are: one by one, or all where classes are asked for."""
        wanted = {shown.wanted for photo in photos for shown in photo.shown}
        for one in wanted:
            if isinstance(one, OneProduct):
                try:
                    self.products[one.product_id] = self.client.get(one.product_id)
                except NotFound:
                    self.unknown.add(one.product_id)
        classes = {one.name for one in wanted if isinstance(one, AnyOfClass)}
        if classes:
            for product in self.client.list():
                name = class_of(product)
                if name in classes:
                    self._of_class[name] = self._of_class.get(name, 0) + 1
                    self.products.setdefault(name, product)
            self.unknown |= classes - self._of_class.keys()

    def _asked(self, photo: TruthPhoto) -> Iterator[Judged]:
        """Ask about one photo: once for all of it, and by tap and true box for each product with a box."""
        first = self.client.search(photo.path, limit=DEPTH)
        self.model = first.model
        token = first.image_token
        yield self._judged(Mode.DETECTED, photo, photo.shown, first)
        whole = self.client.search(image_token=token, whole_image=True, limit=DEPTH)
        yield self._judged(Mode.WHOLE, photo, photo.shown, whole)
        for shown in photo.shown:
            if shown.box is not None:
                middle = Point((shown.box.left + shown.box.right) / 2, (shown.box.top + shown.box.bottom) / 2)
                tapped = self.client.search(image_token=token, point=middle, limit=DEPTH)
                yield self._judged(Mode.TAPPED, photo, (shown,), tapped)
                boxed = self.client.search(image_token=token, box=shown.box, limit=DEPTH)
                yield self._judged(Mode.BOXED, photo, (shown,), boxed)

    def _judged(self, mode: Mode, photo: TruthPhoto, shown: tuple[Shown, ...], result: SearchResult) -> Judged:
        right = tuple(any(one.wanted.accepts(hit.product) for one in shown) for hit in result.hits)
        return Judged(
            mode=mode,
            photo=photo.path,
            wanted=", ".join(_name(one) for one in shown),
            category=self._category(shown),
            searched=result.searched.box if result.searched else None,
            hits=result.hits,
            right=right,
            # What the shop does not have could never be found, but was claimed to be there: a miss, not an absence.
            relevant=max(len(shown) and 1, sum(self._relevant(one) for one in shown)),
            nothing_alike=result.nothing_alike,
            timings=result.timings,
        )

    def _relevant(self, shown: Shown) -> int:
        match shown.wanted:
            case OneProduct(product_id):
                return int(product_id in self.products)
            case AnyOfClass(name):
                return self._of_class.get(name, 0)

    def _category(self, shown: tuple[Shown, ...]) -> str:
        """Return the category of what is shown; none where several differ."""
        names = {one.category or self._known_category(one) for one in shown}
        return names.pop() if len(names) == 1 else ""

    def _known_category(self, shown: Shown) -> str:
        product = self.products.get(_name(shown))
        return product.category if product else ""


def _name(shown: Shown) -> str:
    match shown.wanted:
        case OneProduct(product_id):
            return product_id
        case AnyOfClass(name):
            return name
