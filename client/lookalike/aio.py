"""The client for asyncio, with the same calls as client.py; aio_transport.py carries them.

Photos are read in threads, so that a slow disk does not hold up the event loop.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import aclosing
from types import TracebackType
from typing import Self, cast

from lookalike import plans
from lookalike.aio_rebalancing import AsyncRebalancing
from lookalike.aio_transport import AioTransport
from lookalike.filters import Filter
from lookalike.limits import (
    CHANGE_TIMEOUT_S,
    IN_FLIGHT,
    PAGE_SIZE,
    READ_TIMEOUT_S,
    SEARCH_TIMEOUT_S,
    STREAM_SILENCE_S,
    WRITE_TIMEOUT_S,
)
from lookalike.photo import Photo
from lookalike.rebalance import RebalanceJob
from lookalike.retry import ONCE, RetryPolicy
from lookalike.shards import Health, Shard, ShardStatus, Topology, VerifyProgress
from lookalike.types import (
    Box,
    DetectResult,
    EmbedResult,
    Match,
    Outcome,
    Page,
    Point,
    Product,
    SearchResult,
    UpsertResult,
    Vector,
)
from lookalike.v1 import admin_pb2, admin_pb2_grpc, catalog_pb2_grpc, search_pb2_grpc
from lookalike.wire import admin, catalog, rebalance
from lookalike.wire import search as wire


class AsyncClient:
    """A shop, asked and filled over one channel in one event loop.

    Every call has a deadline and is tried again while that can help; what fails is a `LookalikeError`.
    Make clients after a fork, not before: a channel does not survive one.

    >>> async with AsyncClient("localhost:50051") as shop:  # doctest: +SKIP
    ...     for hit in (await shop.search("photo.jpg")).hits:
    ...         print(f"{hit.score:.2f}  {hit.product.title}")
    """

    def __init__(self, address: str = "localhost:50051", *, retry: RetryPolicy | None = None) -> None:
        self._transport = AioTransport(address, retry or RetryPolicy())
        channel = self._transport.channel
        self._search = cast("search_pb2_grpc.SearchServiceAsyncStub", search_pb2_grpc.SearchServiceStub(channel))
        self._catalog = cast("catalog_pb2_grpc.CatalogServiceAsyncStub", catalog_pb2_grpc.CatalogServiceStub(channel))
        self._search_stream = search_pb2_grpc.SearchServiceStub(self._transport.stream_channel).SearchStream
        self._import_stream = catalog_pb2_grpc.CatalogServiceStub(self._transport.stream_channel).ImportProducts
        self._admin = cast("admin_pb2_grpc.AdminServiceAsyncStub", admin_pb2_grpc.AdminServiceStub(channel))
        self._verify_stream = admin_pb2_grpc.AdminServiceStub(self._transport.stream_channel).Verify
        self._rebalance = AsyncRebalancing(self._transport)
        self._health = channel.unary_unary(admin.HEALTH_METHOD, admin.health_request, admin.health)

    @property
    def rebalance(self) -> AsyncRebalancing:
        """Return what plans, starts and steers rebalances."""
        return self._rebalance

    @property
    def address(self) -> str:
        """Return the server's address."""
        return self._transport.address

    async def close(self) -> None:
        """Close the channel; calls still running end with `ClientClosed`.

        >>> shop = AsyncClient("localhost:50051")  # doctest: +SKIP
        >>> await shop.close()  # doctest: +SKIP
        """
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def search(
        self,
        photo: Photo | None = None,
        *,
        image_token: str | None = None,
        product_id: str | None = None,
        vector: Vector | Iterable[float] | None = None,
        box: Box | None = None,
        point: Point | None = None,
        whole_image: bool = False,
        limit: int | None = None,
        offset: int = 0,
        filter: Filter | None = None,
        score_min: float | None = None,
        match_min: Match | None = None,
        coverage_min: float = 0.0,
        explain: bool = False,
        timeout_s: float = SEARCH_TIMEOUT_S,
    ) -> SearchResult:
        """Find the products most like a photo, or like an earlier photo, a product or a vector.

        Without `box`, `point` and `whole_image` the server detects products and takes the best match. `limit` is 10
        unless given. Look at `coverage` before you say that the shop does not have something. `match_min` leaves out
        what is less alike, under any model. `explain` asks how each shard came to its part of the answer.

        >>> result = await shop.search("photo.jpg", filter=equals("category", "mug"))  # doctest: +SKIP
        >>> result = await shop.search(image_token=result.image_token, box=result.detections[1].box)  # doctest: +SKIP
        """
        subject = wire.Subject(photo, image_token, product_id, vector)
        scope = wire.Scope(limit, offset, filter, score_min, match_min, coverage_min)
        part = wire.Part(box, point, whole_image)
        request = await asyncio.to_thread(wire.search_request, subject, part, scope, explain)
        return wire.search_result(await self._transport.call(self._search.Search, request, timeout_s))

    def search_many(
        self,
        photos: Iterable[Photo] | AsyncIterable[Photo],
        *,
        whole_image: bool = False,
        limit: int | None = None,
        filter: Filter | None = None,
        score_min: float | None = None,
        match_min: Match | None = None,
        coverage_min: float = 0.0,
        in_flight: int = IN_FLIGHT,
        silence_s: float = STREAM_SILENCE_S,
    ) -> AsyncGenerator[Outcome[Photo, SearchResult], None]:
        """Search many photos over one stream; yield `Done` or `Failed` for each, as each is answered.

        The order is that of the answers: `index` and `item` say which photo it was. A photo that fails does not end
        the others. At most `in_flight` photos are read ahead. The iteration itself raises only when the server is
        lost for good, after it has yielded every photo that it took as `Done` or `Failed`.

        >>> async for outcome in shop.search_many(["a.jpg", "b.jpg"]):  # doctest: +SKIP
        ...     match outcome:
        ...         case Done(item=photo, result=result):
        ...             print(photo, result.hits[0].product.title)
        ...         case Failed(item=photo, error=error):
        ...             print(photo, error)
        """
        scope = wire.Scope(limit, 0, filter, score_min, match_min, coverage_min)
        plan = plans.searches(wire.Part(whole_image=whole_image), scope, in_flight, silence_s)
        return self._transport.stream(self._search_stream, plan, photos)

    async def detect(
        self, photo: Photo | None = None, *, image_token: str | None = None, timeout_s: float = SEARCH_TIMEOUT_S
    ) -> DetectResult:
        """Find where products are in a photo.

        >>> boxes = [detection.box for detection in (await shop.detect("photo.jpg")).detections]  # doctest: +SKIP
        """
        request = await asyncio.to_thread(wire.detect_request, wire.Subject(photo, image_token))
        return wire.detect_result(await self._transport.call(self._search.Detect, request, timeout_s))

    async def embed(
        self,
        photo: Photo | None = None,
        *,
        image_token: str | None = None,
        box: Box | None = None,
        point: Point | None = None,
        whole_image: bool = False,
        timeout_s: float = SEARCH_TIMEOUT_S,
    ) -> EmbedResult:
        """Turn a photo, or a part of it, into a vector.

        >>> vector = (await shop.embed("photo.jpg")).vector  # doctest: +SKIP
        >>> result = await shop.search(vector=vector)  # doctest: +SKIP
        """
        subject = wire.Subject(photo, image_token)
        request = await asyncio.to_thread(wire.embed_request, subject, wire.Part(box, point, whole_image))
        return wire.embed_result(await self._transport.call(self._search.Embed, request, timeout_s))

    async def upsert(
        self, product: Product, *, request_id: str | None = None, timeout_s: float = WRITE_TIMEOUT_S
    ) -> UpsertResult:
        """Create `product` or replace it whole; pictures that the shop knows are not embedded again.

        `request_id` names this write, so that it takes effect once, however often it is sent. Without one, each call
        makes up its own, which its retries share. Give one to be safe over several calls too, within an hour.

        >>> product = Product("mug-1", title="Blue mug", images=(Image("mug.jpg"),))  # doctest: +SKIP
        >>> (await shop.upsert(product)).outcome  # doctest: +SKIP
        <UpsertOutcome.CREATED: 'created'>
        """
        request = await asyncio.to_thread(catalog.upsert_request, product, request_id)
        return catalog.upsert_result(await self._transport.call(self._catalog.UpsertProduct, request, timeout_s))

    def import_products(
        self,
        products: Iterable[Product] | AsyncIterable[Product],
        *,
        request_id: Callable[[Product], str] | None = None,
        in_flight: int = IN_FLIGHT,
        silence_s: float = STREAM_SILENCE_S,
    ) -> AsyncGenerator[Outcome[Product, UpsertResult], None]:
        """Upsert many products over one stream; yield `Done` or `Failed` for each, as each is stored or refused.

        `products` may be a generator of any length: it is asked for the next product only when fewer than `in_flight`
        wait for their outcome, in the task that iterates; give an async one if it may block. Photos given as paths
        are read one by one. A product that fails does not end the others. The iteration raises only when the server is
        lost for good; importing the same products again then changes nothing that was done. `request_id` names the
        write of each product, as with `upsert`.

        >>> failed = [o async for o in shop.import_products(products) if isinstance(o, Failed)]  # doctest: +SKIP
        """
        plan = plans.imports(request_id, in_flight, silence_s)
        return self._transport.stream(self._import_stream, plan, products)

    async def get(
        self, product_id: str, *, include_vectors: bool = False, timeout_s: float = READ_TIMEOUT_S
    ) -> Product:
        """Return one product; `NotFound` if there is none.

        >>> (await shop.get("mug-1")).title  # doctest: +SKIP
        'Blue mug'
        """
        request = catalog.get_request(product_id, include_vectors)
        return catalog.product((await self._transport.call(self._catalog.GetProduct, request, timeout_s)).product)

    async def list(
        self, *, filter: Filter | None = None, page_size: int = PAGE_SIZE, timeout_s: float = READ_TIMEOUT_S
    ) -> AsyncGenerator[Product, None]:
        """Iterate over the products, page by page as they are needed; `timeout_s` is for each page.

        >>> mugs = [mug.product_id async for mug in shop.list(filter=equals("category", "mug"))]  # doctest: +SKIP
        """
        token = ""
        while True:
            page = await self.list_page(filter=filter, page_size=page_size, page_token=token, timeout_s=timeout_s)
            for product in page.products:
                yield product
            token = page.next_page_token
            if not token:
                return

    async def list_page(
        self,
        *,
        filter: Filter | None = None,
        page_size: int = PAGE_SIZE,
        page_token: str = "",
        timeout_s: float = READ_TIMEOUT_S,
    ) -> Page:
        """Return one page of products, and the token of the next.

        >>> first = await shop.list_page(page_size=20)  # doctest: +SKIP
        >>> second = await shop.list_page(page_size=20, page_token=first.next_page_token)  # doctest: +SKIP
        """
        request = catalog.list_request(filter, page_size, page_token)
        return catalog.page(await self._transport.call(self._catalog.ListProducts, request, timeout_s))

    async def delete(self, product_id: str, *, request_id: str | None = None, timeout_s: float = READ_TIMEOUT_S) -> int:
        """Delete one product with its pictures; return how many pictures. `NotFound` if there is none.

        `request_id` names this write, as with `upsert`.

        >>> await shop.delete("mug-1")  # doctest: +SKIP
        2
        """
        request = catalog.delete_request(product_id, request_id)
        return (await self._transport.call(self._catalog.DeleteProduct, request, timeout_s)).images_deleted

    async def topology(self, *, timeout_s: float = READ_TIMEOUT_S) -> Topology:
        """Return which shard owns which slots, and the models in use; asks no shard.

        >>> [shard.name for shard in (await shop.topology()).shards]  # doctest: +SKIP
        ['a', 'b', 'c']
        """
        request = admin_pb2.GetTopologyRequest()
        return admin.topology(await self._transport.call(self._admin.GetTopology, request, timeout_s))

    async def shards(self, *, timeout_s: float = READ_TIMEOUT_S) -> tuple[ShardStatus, ...]:
        """Ask every shard how it is; one that does not answer is listed with its state.

        >>> [status.state.value for status in await shop.shards()]  # doctest: +SKIP
        ['healthy', 'healthy', 'unreachable']
        """
        request = admin_pb2.ListShardsRequest()
        return admin.shard_statuses(await self._transport.call(self._admin.ListShards, request, timeout_s))

    async def add_shard(
        self, name: str, uris: Iterable[str], *, weight: float = 1.0, timeout_s: float = CHANGE_TIMEOUT_S
    ) -> Shard:
        """Add a shard with a replica at each of `uris`, all empty; it owns no slots, and so no products, at first.

        Sent once: if the answer is lost, `shards` tells whether it was done.

        >>> (await shop.add_shard("d", ["http://10.0.0.7:19530", "http://10.0.0.8:19530"])).slots  # doctest: +SKIP
        0
        """
        request = admin.add_shard_request(name, uris, weight)
        return admin.shard((await self._transport.call(self._admin.AddShard, request, timeout_s, ONCE)).shard)

    async def add_replica(self, shard: str, uri: str, *, timeout_s: float = CHANGE_TIMEOUT_S) -> str:
        """Add an empty replica to a shard; return its name. It is filled while the shop serves: `shards` says how far.

        Sent once: if the answer is lost, `shards` tells whether it was done.

        >>> await shop.add_replica("a", "http://10.0.0.9:19530")  # doctest: +SKIP
        'a/2'
        """
        request = admin.add_replica_request(shard, uri)
        return (await self._transport.call(self._admin.AddReplica, request, timeout_s, ONCE)).replica

    async def remove_replica(self, name: str, *, timeout_s: float = CHANGE_TIMEOUT_S) -> None:
        """Take a replica out of its shard; `FailedPrecondition` if no other one of the shard is in sync.

        Sent once: if the answer is lost, `shards` tells whether it was done.

        >>> await shop.remove_replica("a/2")  # doctest: +SKIP
        """
        request = admin.remove_replica_request(name)
        await self._transport.call(self._admin.RemoveReplica, request, timeout_s, ONCE)

    async def drain_shard(
        self,
        name: str,
        *,
        undo: bool = False,
        batch_slots: int = 0,
        rows_per_s: float = 0.0,
        timeout_s: float = CHANGE_TIMEOUT_S,
    ) -> RebalanceJob | None:
        """Start a job that empties a shard; return None where it is empty already.

        With `undo` it may own slots again instead, in rebalances to come. Sent once: if the answer is lost,
        `rebalance.job` tells whether it was done.

        >>> job = await shop.drain_shard("a", rows_per_s=1000)  # doctest: +SKIP
        """
        request = rebalance.drain_request(name, undo, batch_slots, rows_per_s)
        answer = await self._transport.call(self._admin.DrainShard, request, timeout_s, ONCE)
        return rebalance.job_of(answer)

    async def remove_shard(self, name: str, *, force: bool = False, timeout_s: float = CHANGE_TIMEOUT_S) -> None:
        """Take out a shard that owns no slots and holds no rows; `FailedPrecondition` while it does.

        With `force` its replicas are not asked for rows: they are gone for good. Sent once: if the answer is lost,
        `shards` tells whether it was done.

        >>> await shop.remove_shard("a")  # doctest: +SKIP
        """
        request = rebalance.remove_shard_request(name, force)
        await self._transport.call(self._admin.RemoveShard, request, timeout_s, ONCE)

    async def verify(
        self, shard: str | None = None, *, repair: bool = False, from_slot: int = 0, silence_s: float = STREAM_SILENCE_S
    ) -> AsyncGenerator[VerifyProgress, None]:
        """Compare the replicas of one shard, or of all, slot by slot; yield how far it is, about once a second.

        With `repair`, what differs is mended: the newest version of a product wins, and a deleted one stays deleted.
        Leaving the loop ends it; `next_slot` of the last report is the `from_slot` to go on with.

        >>> async for progress in shop.verify(repair=True):  # doctest: +SKIP
        ...     print(progress.slots_done, progress.slots, progress.differing_product_ids)
        """
        request = admin.verify_request(shard, repair, from_slot)
        async with aclosing(self._transport.listen(self._verify_stream, request, silence_s)) as messages:
            async for message in messages:
                yield admin.verify_progress(message)

    async def health(self, *, timeout_s: float = READ_TIMEOUT_S) -> Health:
        """Ask the server whether it serves.

        >>> await shop.health()  # doctest: +SKIP
        <Health.SERVING: 'serving'>
        """
        return await self._transport.call(self._health, None, timeout_s)
