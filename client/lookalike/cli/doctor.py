"""Looks at a shop from the outside, check by check, and says what to do about what is wrong. Knows no terminal."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from lookalike.cli import shard_table
from lookalike.client import Client
from lookalike.errors import LookalikeError
from lookalike.rebalance import RebalanceState
from lookalike.shards import Health, ReplicaStatus, ShardState, ShardStatus, Sync, Topology
from lookalike.types import Image, SearchResult

# A stored vector is compared with itself: only rounding keeps the cosine from being 1.
_SELF_SCORE_MIN = 0.999


class State(StrEnum):
    """How a check went: a warning costs no answer yet, a skipped one had nothing to look at."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what was seen, and what to do about it."""

    name: str
    state: State
    seen: str
    advice: str = ""


def examine(client: Client) -> Iterator[Check]:
    """Yield one check after the other; none after one without which the others make no sense."""
    try:
        health = client.health()
        topology = client.topology()
    except LookalikeError as error:
        advice = "start the server with `lookalike-server serve`, or name it with --server"
        yield Check("server", State.FAILED, str(error), advice)
        return
    version = topology.server_version or "unknown"
    yield Check("server", State.OK, f"answers at {client.address}, version {version}, map epoch {topology.epoch}")
    yield _serving(health)
    yield _models(topology)
    yield from _shards(client)
    yield _rebalance(client)
    yield from _pictures(client, topology)


def _serving(health: Health) -> Check:
    if health is Health.SERVING:
        return Check("health", State.OK, "serving")
    return Check("health", State.FAILED, health.value, "it starts or stops; see the server's log if it stays so")


def _models(topology: Topology) -> Check:
    seen = f"embedder {topology.embedder or 'none'}, detector {topology.detector or 'none'}, {topology.dim} numbers"
    if topology.embedder and topology.detector and topology.dim > 0:
        return Check("models", State.OK, seen)
    return Check("models", State.FAILED, seen, "start the server with --detector and --embedder")


def _shards(client: Client) -> Iterator[Check]:
    try:
        statuses = client.shards()
    except LookalikeError as error:
        yield Check("shards", State.FAILED, str(error), "see the server's log")
        return
    for status in statuses:
        yield _shard(status)
        yield from (_replica(status, replica) for replica in status.replicas)


def _shard(status: ShardStatus) -> Check:
    """Check that a shard's products are found: whatever its replicas are like, one of them must be good to read."""
    name = f"shard {status.shard.name}"
    match status.state:
        case ShardState.HEALTHY:
            return Check(name, State.OK, f"{status.rows:,} pictures, {status.shard.slots:,} slots")
        case ShardState.BEHIND:
            seen = "no replica is in sync: searches may miss its newest changes"
            return Check(name, State.WARNING, seen, "bring back one that is in sync")
        case _:
            seen = f"{status.state.value}: no replica to read from, searches miss its products"
            return Check(name, State.FAILED, seen, "see its replicas, which follow")


def _replica(shard: ShardStatus, status: ReplicaStatus) -> Check:
    name, seen = f"replica {status.replica.name}", shard_table.state(status)
    if (status.state, status.replica.sync) == (ShardState.HEALTHY, Sync.IN_SYNC):
        times = f", {status.p50_ms:.1f} ms" if status.p50_ms else ""
        return Check(name, State.OK, f"{seen}, {status.rows:,} pictures{times}")
    state = State.WARNING if status.state is ShardState.HEALTHY else State.FAILED
    return Check(name, state, f"{seen}: {status.message}" if status.message else seen, _advice(shard, status))


def _advice(shard: ShardStatus, status: ReplicaStatus) -> str:
    match status.state, status.replica.sync:
        case ShardState.HEALTHY, _ if shard.state is not ShardState.HEALTHY:
            return "it takes what it lacks from a replica in sync: bring one back"
        case ShardState.HEALTHY, Sync.FILLING:
            return "wait: it is read from once it is in sync"
        case ShardState.HEALTHY, _ if status.hints_pending:
            return "wait: it is catching up; if the time only grows, see the server's log"
        case ShardState.HEALTHY, _:
            return f"run `lookalike verify --shard {shard.shard.name} --repair`"
        case ShardState.REFUSED, _:
            return f"or take it out with `lookalike replicas remove {status.replica.name}`, and add an empty one"
    return f"start the Milvus at {status.replica.uri}, or see why it does not answer"


def _rebalance(client: Client) -> Check:
    name = "rebalance"
    try:
        job = client.rebalance.job()
    except LookalikeError as error:
        return Check(name, State.FAILED, str(error), "see the server's log")
    if job is None or not job.active:
        return Check(name, State.OK, "none is active")
    seen = f"job {job.number} is {job.state.value}, {job.slots_moved:,} of {job.slots:,} slots have moved"
    match job.state:
        case RebalanceState.STOPPED:
            return Check(name, State.FAILED, seen, job.message)
        case RebalanceState.PAUSED:
            return Check(name, State.WARNING, seen, "`lookalike rebalance resume` has it go on")
    return Check(name, State.OK, seen)


def _pictures(client: Client, topology: Topology) -> Iterator[Check]:
    """Check that a stored vector is of the server's model, and that its search ends at its own product."""
    name = "a stored picture"
    try:
        products = client.list_page(page_size=1).products
        if not products:
            yield Check(name, State.SKIPPED, "the shop is empty; fill it with `lookalike import`")
            return
        product_id = products[0].product_id
        image = client.get(product_id, include_vectors=True).images[0]
        yield _stored(topology, product_id, image)
        if image.vector is not None:
            yield _found_itself(client.search(vector=image.vector, limit=10), product_id)
    except LookalikeError as error:
        yield Check(name, State.FAILED, str(error), "if a shard is away, mend that first")


def _stored(topology: Topology, product_id: str, image: Image) -> Check:
    name = "stored vectors"
    if image.vector is None:
        return Check(name, State.FAILED, f"{product_id} has no vector", "import the product again")
    seen = f"{product_id} has {len(image.vector.values)} numbers by {image.vector.model}"
    if (len(image.vector.values), image.vector.model) == (topology.dim, topology.embedder):
        return Check(name, State.OK, seen)
    advice = f"start the server with the model that made them, or import all again with {topology.embedder}"
    return Check(name, State.FAILED, seen, advice)


def _found_itself(result: SearchResult, product_id: str) -> Check:
    name = "search"
    best = result.hits[0].score if result.hits else 0.0
    # Another product with the very same picture may stand before it.
    equals = {hit.product.product_id for hit in result.hits if best - hit.score <= 1 - _SELF_SCORE_MIN}
    if product_id in equals and best >= _SELF_SCORE_MIN:
        return Check(name, State.OK, f"{product_id} finds itself with a score of {best:.4f}")
    first = result.hits[0].product.product_id if result.hits else "nothing"
    advice = "mend the shards that failed above; if none did, the index is damaged: import the product again"
    return Check(name, State.FAILED, f"{product_id} found {first} first, with {best:.4f}", advice)
