"""Draws shards and their replicas, and says what is the matter with them. Knows no server."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from lookalike.cli.render import columns
from lookalike.shards import ReplicaStatus, ShardState, ShardStatus, Sync

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


def drawn(found: Sequence[ShardStatus]) -> Table:
    """Draw every replica of every shard, one a line."""
    weighted = len({status.shard.weight for status in found}) > 1
    titles = ["shard", *(["weight"] if weighted else []), "slots", "replica", "state", "pictures", "p50/p95 ms"]
    table = columns(*titles, "version", "at", right=("weight", "slots", "pictures", "p50/p95 ms"))
    for status in found:
        weight = [f"{status.shard.weight:g}"] if weighted else []
        draining = ", draining" if status.shard.draining else ""
        shard = [status.shard.name, *weight, f"{status.shard.slots:,}{draining}"]
        for replica in status.replicas:
            table.add_row(*map(Text, shard), *_cells(replica))
            shard = [""] * len(shard)
    return table


def state(replica: ReplicaStatus) -> str:
    """Say in a few words how a replica is: whether it answers, and what it lacks.

    >>> from lookalike import Replica
    >>> at = Replica("a/2", "http://127.0.0.1:19530", Sync.BEHIND)
    >>> state(ReplicaStatus(at, ShardState.HEALTHY, "", 12, 90.0, 1.0, 700, 3.5, 6.1, "2.3.5"))
    'behind by 12 for 1.5 min'
    """
    words = [] if replica.state is ShardState.HEALTHY else [replica.state.value]
    match replica.replica.sync:
        case Sync.FILLING:
            words.append(f"filling, {replica.filled:.0%}")
        case Sync.BEHIND if replica.hints_pending:
            words.append(f"behind by {replica.hints_pending:,} for {age(replica.oldest_hint_s)}")
        case Sync.IN_SYNC if words:  # that it was in sync says little while it does not answer
            pass
        case sync:
            words.append(sync.value.replace("_", " "))
    return ", ".join(words)


def age(seconds: float) -> str:
    """Write a time in the unit that suits it.

    >>> age(3.44), age(90), age(7200), age(200000)
    ('3.4 s', '1.5 min', '2.0 h', '2.3 d')
    """
    for unit_s, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= unit_s:
            return f"{seconds / unit_s:.1f} {unit}"
    return f"{seconds:.1f} s"


def troubles(found: Sequence[ShardStatus]) -> Iterator[str]:
    """Say what is wrong with which replica, and what that means for searches."""
    for status in found:
        for replica in status.replicas:
            if replica.message:
                yield f"{replica.replica.name}: {replica.message}"
        match status.state:
            case ShardState.BEHIND:
                yield f"{status.shard.name} has no replica in sync: searches may miss its newest changes"
            case ShardState.UNREACHABLE | ShardState.REFUSED:
                yield f"{status.shard.name} has no replica to read from: searches miss its products"


def _cells(replica: ReplicaStatus) -> list[Text]:
    answers = replica.state is ShardState.HEALTHY
    times = f"{replica.p50_ms:.1f}/{replica.p95_ms:.1f}" if replica.p50_ms else "-"
    return [
        Text(replica.replica.name),
        Text(state(replica), style=_style(replica)),
        Text(f"{replica.rows:,}" if answers else "-"),
        Text(times),
        Text(replica.server_version or "-"),
        Text(replica.replica.uri),
    ]


def _style(replica: ReplicaStatus) -> str:
    if replica.state is not ShardState.HEALTHY:
        return "red"
    return "green" if replica.replica.sync is Sync.IN_SYNC else "yellow"
