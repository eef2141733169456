"""Keeps the shop's products: embeds what is new, reuses what is known, writes only what has changed.

Knows no wire: it takes what was checked and returns values.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from lookalike_router.answer import Picture, ProductWrite, Request
from lookalike_router.errors import Repeated
from lookalike_router.filter import Json
from lookalike_router.router import Router
from lookalike_router.shard import Row, Stored
from lookalike_server.deadline import Deadline
from lookalike_server.errors import BadField, BadImage, NotThere
from lookalike_server.first_answer import delete_digest, given_again, upsert_digest, written
from lookalike_server.page_token import write_page_token
from lookalike_server.product import NewPicture, NewProduct, Outcome, StoredPicture, StoredProduct, Upserted
from lookalike_server.query import Listing
from lookalike_server.regions import WHOLE_BOX, Box, Detection
from lookalike_server.turns import Turns
from lookalike_server.vision import Upload, Vision

# Of a catalogue picture the product is embedded without its background, where the detector is sure of it and it is
# no mere detail; else the whole picture, which catalogue pictures mostly fill. Very sure: a wrong box hides the product
# for good, and the first bundled detector boxes one studio picture in five wrong (training/CARD.md).
SURE_SCORE_MIN = 0.9
DETAIL_AREA_MAX = 0.05
# Pictures of the catalogue that are with the models at once. Less than their queue holds: an import waits here rather
# than be refused there, and searches find room beside it.
PICTURES_AT_ONCE = 24
# A client that nobody told otherwise takes messages of 4 MiB.
PAGE_BYTES_MAX = 2 * 2**20
# 128 bits of the content's hash name a picture within its product.
IMAGE_ID_HEX = 32


@dataclass(frozen=True)
class Listed:
    """One page of products; `next_page_token` is empty after the last."""

    products: tuple[StoredProduct, ...]
    next_page_token: str


@dataclass(frozen=True, eq=False)
class Ready:
    """One picture with its vector, ready to be written."""

    picture: StoredPicture
    vector: npt.NDArray[np.float32] = field(repr=False)  # (256,), unit length
    embedded: bool
    """Whether it went through the model now."""


class Catalog:
    """Upserts, gets, lists and deletes the products of one shop."""

    def __init__(self, vision: Vision, router: Router) -> None:
        self._vision = vision
        self._router = router
        self._products = Turns()
        self._requests = Turns()
        self._places = asyncio.Semaphore(PICTURES_AT_ONCE)

    async def upsert(self, product: NewProduct, deadline: Deadline, request_id: str = "") -> Upserted:
        """Store a product whole, or find that it is stored so already.

        Whoever gives a `request_id` may ask again: then the first answer comes again, and nothing happens twice.
        """
        # An upsert reads before it writes: two of one product at once would each miss the other's pictures.
        async with self._turn(request_id, product.product_id):
            hashed = await asyncio.to_thread(identified, product)
            deadline.check("read the product")
            if not request_id:
                return await self._upsert(hashed, None, deadline)
            request = Request(request_id, upsert_digest(hashed), "")
            first = await self._router.replay(request.request_id, request.digest)
            if first is not None:
                return given_again(hashed, first)
            return await self._upsert(hashed, request, deadline)

    async def get(self, product_id: str, deadline: Deadline) -> StoredProduct:
        """Return one product or raise NotThere."""
        rows = (await self._router.get([product_id], deadline.remaining_s())).get(product_id)
        if not rows:
            raise NotThere(product_id)
        return StoredProduct.of(rows)

    async def page(self, listing: Listing, deadline: Deadline) -> Listed:
        """Return one page of products."""
        page = await self._router.scan(
            listing.after, listing.limit, where=listing.where, deadline_s=deadline.remaining_s()
        )
        kept = fitting(page.products)
        last = page.products[kept - 1][0] if kept else None
        after = (last.slot, last.product_id) if last and kept < len(page.products) else page.next
        token = write_page_token(after, listing.where) if after else ""
        return Listed(tuple(StoredProduct.of(rows) for rows in page.products[:kept]), token)

    async def delete(self, product_id: str, deadline: Deadline, request_id: str = "") -> int:
        """Delete one product, return how many pictures went with it, or raise NotThere.

        Whoever gives a `request_id` may ask again, and hears then what went the first time.
        """
        async with self._turn(request_id, product_id):
            deadline.check("delete the product")
            request = Request(request_id, delete_digest(product_id), "") if request_id else None
            first = await self._router.replay(request.request_id, request.digest) if request else None
            if first is not None:
                deleted = int(first)
            else:
                deleted = await self._router.delete(product_id, deadline.remaining_s(), request)
        if not deleted:
            raise NotThere(product_id)
        return deleted

    @asynccontextmanager
    async def _turn(self, request_id: str, product_id: str) -> AsyncIterator[None]:
        """Wait until no other writer has this product, and nobody sends the same request."""
        async with AsyncExitStack() as turns:
            # Always in this order: two that wait for each other would wait for ever.
            if request_id:
                await turns.enter_async_context(self._requests.turn(request_id))
            await turns.enter_async_context(self._products.turn(product_id))
            yield

    async def _upsert(self, product: NewProduct, request: Request | None, deadline: Deadline) -> Upserted:
        rows = (await self._router.get([product.product_id], deadline.remaining_s())).get(product.product_id, [])
        reusable = [row for row in rows if row.model == self._vision.embedder_id]
        ready = await self._ready(product, reusable, deadline)
        stored = StoredProduct(product.product_id, product.attributes, tuple(one.picture for one in ready))
        embedded = sum(one.embedded for one in ready)
        unchanged = len(reusable) == len(rows) and bool(rows) and same(StoredProduct.of(rows), stored)
        # What was read may be of a write that nobody acknowledged; only a write of one's own makes it stay.
        unchanged = unchanged and await self._router.settled(product.product_id)
        outcome = Outcome.UNCHANGED if unchanged else Outcome.UPDATED if rows else Outcome.CREATED
        done = Upserted(stored, outcome, embedded, len(ready) - embedded)
        answer = replace(request, answer=written(done)) if request else None
        if not unchanged:
            try:
                await self._write(stored, ready, answer, deadline)
            except Repeated as first:
                return given_again(product, first.text)
        elif answer:
            await self._router.record(answer)
        return done

    async def _ready(self, product: NewProduct, rows: Sequence[Row], deadline: Deadline) -> list[Ready]:
        """Return every picture with its vector: known, or made now, all new ones at once."""
        known = {reuse_key(stored): (stored, row.vector) for row in rows if (stored := stored_picture(row)).sha256}
        tasks = [
            asyncio.create_task(self._ready_picture(picture, known.get(wanted_key(picture)), deadline))
            for picture in product.pictures
        ]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            # One bad picture refuses the product: the others need not be seen any more.
            for task in tasks:
                task.cancel()

    async def _ready_picture(
        self, new: NewPicture, known: tuple[StoredPicture, npt.NDArray[np.float32]] | None, deadline: Deadline
    ) -> Ready:
        path = f"product.images[{new.position}]"
        if known:
            stored, vector = known
            renamed = replace(stored, image_id=new.image_id, uri=new.uri, position=new.position)
            return Ready(renamed, vector, embedded=False)
        if new.content is None:
            described = "the product has no picture of this content_sha256 and box: send its content"
            raise BadField(f"{path}.content", described)
        async with self._places:
            try:
                box, vector = await self._embedded(new.content, new.box, deadline)
            except BadImage as error:
                raise BadImage(error.trouble, f"{path}: {error}") from error
        picture = StoredPicture(new.image_id, new.uri, new.sha256, box, new.box is not None, new.position)
        return Ready(picture, vector, embedded=True)

    async def _embedded(
        self, content: bytes, asked: Box | None, deadline: Deadline
    ) -> tuple[Box, npt.NDArray[np.float32]]:
        """Choose the part of a picture to embed and embed it."""
        seen = await self._vision.see(Upload(content), deadline, detect=asked is None, keep=False)
        box = asked or chosen_box(seen.detections)
        return box, (await self._vision.embed(seen, [box], deadline))[0]

    async def _write(
        self, product: StoredProduct, ready: Sequence[Ready], request: Request | None, deadline: Deadline
    ) -> None:
        deadline.check("store the product")
        pictures = tuple(Picture(one.picture.image_id, one.vector, one.picture.facts()) for one in ready)
        write = ProductWrite(product.product_id, self._vision.embedder_id, product.attributes, pictures, request)
        for error in await self._router.upsert([write], deadline.remaining_s()):
            if error is not None:
                raise error


def identified(product: NewProduct) -> NewProduct:
    """Return the product with every picture's hash and id; the same picture twice becomes one."""
    pictures: dict[str, NewPicture] = {}
    for picture in product.pictures:
        sha256 = hashlib.sha256(picture.content).hexdigest() if picture.content is not None else picture.sha256
        if picture.sha256 and picture.sha256 != sha256:
            raise BadField(f"product.images[{picture.position}].content_sha256", "is not the SHA-256 of the content")
        image_id = picture.image_id or derived_id(sha256, picture.box)
        pictures.setdefault(image_id, replace(picture, image_id=image_id, sha256=sha256))
    return replace(product, pictures=tuple(pictures.values()))


def derived_id(sha256: str, box: Box | None) -> str:
    """Name a picture by its content, and by its part where the caller chose one: two parts are two pictures."""
    part = "" if box is None else "-" + hashlib.blake2b(repr(box).encode(), digest_size=4).hexdigest()
    return sha256[:IMAGE_ID_HEX] + part


def chosen_box(detections: Sequence[Detection]) -> Box:
    """Return the part of a catalogue picture that is the product."""
    if not detections or detections[0].score < SURE_SCORE_MIN or detections[0].box.area <= DETAIL_AREA_MAX:
        return WHOLE_BOX
    return detections[0].box


def fitting(products: Sequence[Sequence[Stored]]) -> int:
    """Return how many of the first products fit into one page; at least one, if there is any."""
    size = 0
    for count, rows in enumerate(products):
        size += sum(len(json.dumps(dict(row.picture))) for row in rows) + len(json.dumps(dict(rows[0].attributes)))
        if count and size > PAGE_BYTES_MAX:
            return count
    return len(products)


def stored_picture(row: Row) -> StoredPicture:
    """Read a row's picture."""
    return StoredPicture.of(row.image_id, row.picture)


def reuse_key(stored: StoredPicture) -> tuple[str, Box | None]:
    """Say which request a stored vector answers: the same bytes, and the same box or the same freedom to choose."""
    return stored.sha256, stored.box if stored.box_asked else None


def wanted_key(new: NewPicture) -> tuple[str, Box | None]:
    """Say which stored vector would do for a picture."""
    return new.sha256, new.box


def same(old: StoredProduct, new: StoredProduct) -> bool:
    """Say whether a write would change nothing."""
    facts = [[(one.image_id, one.facts()) for one in product.pictures] for product in (old, new)]
    return facts[0] == facts[1] and told(old.attributes) == told(new.attributes)


def told(attributes: Mapping[str, Json]) -> dict[str, Json]:
    """Leave out what a shard adds or fills in: a key of its own, an attribute that was never said."""
    return {
        name: value for name, value in attributes.items() if name != "product_id" and value not in (None, "", [], {})
    }
