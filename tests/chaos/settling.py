"""Waits until a shop has healed, and looks at what every replica holds then. Breaks nothing and judges nothing."""

import time
from collections.abc import Sequence

from lookalike import LookalikeError, VerifyProgress
from tests.chaos.backdoor import Backdoor
from tests.chaos.cast import Cast
from tests.chaos.history import Recorder, ReplicaRead, Settled, Shown
from tests.chaos.surgery import Surgeon

# From the end of the last fault until hints are gone and replicas are equal.
HEAL_S = 60.0
POLL_S = 0.5


def settle(cast: Cast, surgeon: Surgeon, recorder: Recorder) -> float:
    """Wait until the shop says that all is well, or for HEAL_S; record what it says, and return how long it took."""
    begun_s = time.monotonic()
    uris = [replica.uri for replica in cast.replicas.values()]
    while True:
        whole = surgeon.whole(uris)
        differing = compared(cast) if whole else ("not all replicas are in sync",)
        took_s = time.monotonic() - begun_s
        if not differing or took_s > HEAL_S:
            break
        time.sleep(POLL_S)
    hints = sum(one.hints_pending for shard in surgeon.statuses() for one in shard.replicas)
    recorder.add(Settled(recorder.now_s(), hints, differing))
    return took_s


def compared(cast: Cast) -> tuple[str, ...]:
    """Return where `verify` finds the replicas to differ, or what it could not compare."""
    found: set[str] = set()
    last: VerifyProgress | None = None
    try:
        with cast.operator(next(iter(cast.routers))) as shop:
            for last in shop.verify():
                found.update(last.differing_product_ids, last.skipped_replicas)
    except LookalikeError as error:
        return (f"verify failed: {error}",)
    return tuple(sorted(found)) if last is not None and last.done else ("verify came to no end",)


def look(cast: Cast, surgeon: Surgeon, backdoor: Backdoor, products: Sequence[str], recorder: Recorder) -> None:
    """Record every row of every replica."""
    names = surgeon.names()
    for replica in cast.replicas.values():
        name = names[replica.uri]
        begun_s = recorder.now_s()
        rows = cast.background.run(backdoor.rows(name, replica.uri, products))
        shown = tuple(Shown(row.product_id, str(row.attributes.get("title", "")), row.version) for row in rows)
        recorder.add(ReplicaRead(name, name.rpartition("/")[0], begun_s, recorder.now_s(), shown))
