"""Shows everything at once: three shards, a server, a sample shop, and what its photos find.

A user of the service like any other: it fills and asks the shop through the SDK.
"""

import asyncio
import contextlib
import fcntl
import json
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

import lookalike
from lookalike.cli.feed import Feed, open_feed
from lookalike.cli.progress import counted
from lookalike.cli.rows import Entry
from lookalike.cli.tables import FeedError
from lookalike_server.app import running
from lookalike_server.config import Config, ShardAddress
from lookalike_server.errors import ServerError
from lookalike_server.lite import LiteProcess
from lookalike_server.regions import Box
from lookalike_server.signals import stop_signals
from lookalike_server.trial import BadTruth, KnownPhoto, Tapped, Tried, Verdict, is_found, judged, read_truth

SAMPLE = Path(__file__).parent / "sample"
SHARDS = ("a", "b", "c")
# A tap is judged by its first five products; ten would say nothing more.
TAP_LIMIT = 5
# Where nobody looks, lines may be as long as they need to be.
PIPE_COLUMNS = 120
INTERRUPTED = 130


class DemoFailed(ServerError):
    """The demo cannot go on; the message says what to do."""


@dataclass(frozen=True)
class Filled:
    """What the shop holds."""

    products: int
    images: int


@dataclass(frozen=True)
class Page:
    """Where the demo shows the page; port 0: nowhere."""

    host: str = "127.0.0.1"
    port: int = 0


async def run_demo(data_dir: Path, port: int, *, once: bool, sample: Path = SAMPLE, page: Page = Page()) -> int:
    """Run the demo until it is done or told to stop; stop whatever it started, and nothing else."""
    stop = asyncio.ensure_future(stop_signals().wait())
    show = asyncio.ensure_future(demo(data_dir, port, page, once=once, sample=sample))
    await asyncio.wait([stop, show], return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if show.done():
        return show.result()
    show.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await show
    return INTERRUPTED if once else 0


async def demo(data_dir: Path, port: int, page: Page, *, once: bool, sample: Path) -> int:
    """Start everything, fill the shop, search it, report; then keep serving unless `once`."""
    out = Console() if sys.stdout.isatty() else Console(width=PIPE_COLUMNS)
    photos = known_photos(sample)
    config = demo_config(data_dir, port, page, sample)
    with locked(data_dir):
        async with lite_shards(data_dir, out) as shards, running(replace(config, shards=shards)) as service:
            address = f"127.0.0.1:{service.serving.port}"
            out.print(f"[bold]server[/]   {address}: {service.vision.detector_id}, {service.vision.embedder_id}")
            async with lookalike.AsyncClient(address) as shop:
                filled = await fill(shop, sample / "catalog.csv", out)
                verdict = await search_all(shop, sample / "photos", photos, out)
                out.print(report(filled, verdict))
            if once:
                print(json.dumps(summary(filled, verdict)), flush=True)
                return 0
            out.print(
                *what_next(address, sample),
                *page_address(page, service.http_port),
                sep="\n",
                highlight=False,
                soft_wrap=True,
            )
            await asyncio.Event().wait()
    return 0


def demo_config(data_dir: Path, port: int, page: Page, sample: Path) -> Config:
    """Return the settings of the demo's server."""
    told = ["--host", "127.0.0.1", "--port", str(port), "--store", str(data_dir / "store.db")]
    told += ["--http-host", page.host, "--http-port", str(page.port)]
    told += ["--images", str(sample), "--samples", str(sample / "photos")]
    if (sample / "rates.json").is_file():
        told += ["--rates", str(sample / "rates.json")]
    return Config.read(told)


def known_photos(sample: Path) -> tuple[KnownPhoto, ...]:
    """Read what the sample's photos show."""
    if not (sample / "catalog.csv").is_file():
        raise DemoFailed(f"the sample shop is not in {sample}: install the package again")
    try:
        return read_truth(sample / "truth.jsonl")
    except BadTruth as error:
        raise DemoFailed(str(error)) from error


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Keep two demos from sharing one folder: their shards would overwrite each other's rows."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DemoFailed(f"another demo uses {data_dir}: stop it, or give --data-dir another folder") from error
        yield


@asynccontextmanager
async def lite_shards(data_dir: Path, out: Console) -> AsyncIterator[tuple[ShardAddress, ...]]:
    """Run three Milvus Lite processes."""
    shards = [LiteProcess(name, data_dir / f"shard-{name}") for name in SHARDS]
    try:
        for shard in shards:
            shard.start()
        for shard in shards:
            await asyncio.to_thread(shard.wait_ready)
        out.print(f"[bold]shards[/]   {', '.join(f'{shard.name} {shard.uri}' for shard in shards)}", highlight=False)
        yield tuple(ShardAddress(shard.name, (shard.uri,)) for shard in shards)
    finally:
        # In threads, for each may take seconds; shielded, for a second Ctrl-C must not leave one behind.
        await asyncio.shield(asyncio.gather(*(asyncio.to_thread(shard.stop) for shard in shards)))


async def fill(shop: lookalike.AsyncClient, catalog: Path, out: Console) -> Filled:
    """Import what the shop does not have yet."""
    try:
        feed = open_feed(catalog)
    except FeedError as error:
        raise DemoFailed(str(error)) from error
    with feed:
        wanted = {entry.product.product_id for entry in feed if isinstance(entry, Entry)}
        had = await stock(shop)
        if wanted <= had.keys():
            out.print(f"[bold]shop[/]     {len(had)} products are there already: nothing to import")
        else:
            await import_feed(shop, feed, out)
            had = await stock(shop)
    return Filled(len(had), sum(had.values()))


async def stock(shop: lookalike.AsyncClient) -> dict[str, int]:
    """Return each product's number of pictures."""
    return {product.product_id: len(product.images) async for product in shop.list()}


async def import_feed(shop: lookalike.AsyncClient, feed: Feed, out: Console) -> None:
    """Import a feed with a progress bar; raise DemoFailed if a product is refused."""
    begun_s = time.perf_counter()
    products = (entry.product for entry in feed if isinstance(entry, Entry))
    with counted(out) as bar:
        task = bar.add_task("importing", total=feed.products)
        async for outcome in shop.import_products(products):
            if isinstance(outcome, lookalike.Failed):
                raise DemoFailed(f"product {outcome.item.product_id} was refused: {outcome.error}")
            bar.advance(task)
    out.print(f"[bold]shop[/]     {feed.products} products imported in {time.perf_counter() - begun_s:.1f} s")


async def search_all(
    shop: lookalike.AsyncClient, folder: Path, photos: tuple[KnownPhoto, ...], out: Console
) -> Verdict:
    """Search every photo and show what each finds."""
    table = Table(
        "photo", "boxes seen", "tapped product", "searched box", "found, best first", title="Shoppers' photos"
    )
    tried = []
    with counted(out) as bar:
        for known in bar.track(photos, description="searching"):
            one, rows = await search_photo(shop, folder, known)
            tried.append(one)
            for row in rows:
                table.add_row(*row)
            table.add_section()
    out.print(table)
    return judged(tried)


async def search_photo(
    shop: lookalike.AsyncClient, folder: Path, known: KnownPhoto
) -> tuple[Tried, list[tuple[str, ...]]]:
    """Search one photo as a shopper would: send it, then tap on each product; and its whole, for comparison."""
    begun_s = time.perf_counter()
    first = await shop.search(folder / Path(known.photo).name, limit=TAP_LIMIT)
    search_ms = (time.perf_counter() - begun_s) * 1000
    whole = await shop.search(image_token=first.image_token, whole_image=True, limit=TAP_LIMIT)
    detections = tuple(box_of(one.box) for one in first.detections)
    answers, taps = [first, whole], []
    rows: list[tuple[str, ...]] = []
    for product in known.products:
        point = lookalike.Point(product.middle.x, product.middle.y)
        answer = await shop.search(image_token=first.image_token, point=point, limit=TAP_LIMIT)
        answers.append(answer)
        searched = box_of(answer.searched.box) if answer.searched else product.box
        taps.append(Tapped(product, searched, found_ids(answer), found_ids(whole)))
        shown = (Path(known.photo).name, str(len(detections))) if not rows else ("", "")
        right = " [green]✓[/]" if is_found(product.box, [searched]) else ""
        rows.append((*shown, product.product_id, percent(searched) + right, names(answer, product.product_id)))
    coverage = min(answer.coverage.slots_fraction for answer in answers)
    return Tried(known.photo, detections, tuple(taps), search_ms, coverage), rows


def box_of(box: lookalike.Box) -> Box:
    """Return the SDK's box as ours."""
    return Box(box.left, box.top, box.right, box.bottom)


def found_ids(answer: lookalike.SearchResult) -> tuple[str, ...]:
    """Return the products answered, best first."""
    return tuple(hit.product.product_id for hit in answer.hits)


def percent(box: Box) -> str:
    """Write a box in percent of the photo."""
    return " ".join(f"{side * 100:.0f}" for side in (box.left, box.top, box.right, box.bottom))


def names(answer: lookalike.SearchResult, right: str) -> str:
    """Write the first three products, the right one green."""
    shown = []
    for hit in answer.hits[:3]:
        name = f"{hit.product.title or hit.product.product_id} {hit.score:.2f}"
        shown.append(f"[green]{name} ✓[/]" if hit.product.product_id == right else name)
    return ", ".join(shown)


def report(filled: Filled, verdict: Verdict) -> Table:
    """Write what all photos together say."""
    table = Table("", "tapped on", "whole photo", title=f"{filled.products} products, {verdict.photos} photos")
    rows = (
        ("right product first", verdict.recall_at_1, verdict.whole_recall_at_1),
        ("right product among five", verdict.recall_at_5, verdict.whole_recall_at_5),
    )
    for said, tapped, whole in rows:
        table.add_row(said, f"{tapped:.0%}", f"{whole:.0%}")
    table.add_row("boxes found on photos of several", f"{verdict.boxes_found:.0%}", "")
    table.add_section()
    table.add_row("one search, p50", f"{verdict.search_p50_ms:.0f} ms", "")
    table.add_row("one search, p95", f"{verdict.search_p95_ms:.0f} ms", "")
    table.add_row("shop that answered", f"{verdict.coverage:.0%}", "")
    return table


def summary(filled: Filled, verdict: Verdict) -> dict[str, float]:
    """Return the report for programs."""
    return {
        "products": filled.products,
        "images": filled.images,
        "photos": verdict.photos,
        "recall_at_1": round(verdict.recall_at_1, 4),
        "recall_at_5": round(verdict.recall_at_5, 4),
        "whole_recall_at_1": round(verdict.whole_recall_at_1, 4),
        "whole_recall_at_5": round(verdict.whole_recall_at_5, 4),
        "boxes_found": round(verdict.boxes_found, 4),
        "search_p50_ms": round(verdict.search_p50_ms, 1),
        "search_p95_ms": round(verdict.search_p95_ms, 1),
        "shards": len(SHARDS),
        "coverage": verdict.coverage,
    }


def what_next(address: str, sample: Path) -> list[str]:
    """Return commands to copy."""
    beside = Path(sys.executable).parent / "lookalike"
    program = "lookalike" if shutil.which("lookalike") or not beside.exists() else short(beside)
    photo = next(iter(sorted((sample / "photos").iterdir())), sample)
    at = "" if address.endswith(":50051") else f" --server {address}"  # where the CLI looks by itself
    return [
        "",
        f"The shop keeps serving on {address}; Ctrl-C stops it and its shards. In another terminal, try:",
        "",
        f"  {program} search {short(photo)}{at}",
        f"  {program} search {short(photo)} --whole --limit 3 --json{at}",
        f"  {program} product list{at}",
        f"  {program} shards{at}",
        f"  {program} doctor{at}",
        "",
    ]


def page_address(page: Page, port: int) -> list[str]:
    """Return where the page is, as the last thing that is read."""
    if not port:
        return []
    lines = [f"[bold]The page[/]: http://127.0.0.1:{port}/ and for operators http://127.0.0.1:{port}/ops"]
    if page.host not in ("127.0.0.1", "localhost"):
        lines.append(f"On a phone in the same network: http://{own_address()}:{port}/")
    return [*lines, ""]


def own_address() -> str:
    """Return the address that the local network knows this machine by; sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address of documentation: choosing a route sends no packet
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])


def short(path: Path) -> str:
    """Write a path as from here, where that is shorter."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
