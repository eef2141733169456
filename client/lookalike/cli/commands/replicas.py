"""`lookalike replicas add|remove`: more copies of a shard, or fewer."""

import time
from typing import Annotated

import typer

from lookalike.cli import progress, shard_table
from lookalike.cli.desk import (
    ADDING,
    CHANGING,
    DEFAULT_SERVER,
    FAILED,
    INTERRUPTED,
    Desk,
    JsonOption,
    ServerOption,
    UriArgument,
    opened,
)
from lookalike.shards import ReplicaStatus, ShardState, Sync

# Often enough for a bar to move, seldom enough to cost the shop nothing: it asks every replica.
POLL_S = 0.5

app = typer.Typer(no_args_is_help=True, help="Give a shard more replicas, or fewer.")


@app.command()
def add(
    shard: Annotated[str, typer.Argument(metavar="SHARD", help="The shard's name.")],
    uri: UriArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is filled and in sync.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    json: JsonOption = False,
) -> None:
    """Add an empty Milvus endpoint to a shard. It is filled from its siblings while the shop serves."""
    with opened(server, json, ADDING) as desk:
        name = desk.client.add_replica(shard, uri)
        if not wait:
            desk.show({"replica": name}, f"added {name}, which is being filled; `lookalike shards` shows how far it is")
            return
        try:
            status = _filled(desk, name)
        except KeyboardInterrupt:
            desk.warn(f"stopped waiting; {name} is still being filled, and `lookalike shards` shows how far it is")
            raise typer.Exit(INTERRUPTED) from None
        if status is None:
            desk.show({"replica": name}, f"{name} was removed before it was in sync")
            raise typer.Exit(FAILED)
        desk.show(status, f"{name} is {shard_table.state(status)}, with {status.rows:,} pictures")
        if status.state is ShardState.REFUSED:
            desk.warn(f"{name} is not filled: {status.message}")
            raise typer.Exit(FAILED)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The replica's name, for example a/2.")],
    server: ServerOption = DEFAULT_SERVER,
    json: JsonOption = False,
) -> None:
    """Take a replica out of its shard; its rows stay where they are. The last one in sync cannot be removed."""
    with opened(server, json, CHANGING) as desk:
        desk.client.remove_replica(name)
        desk.show({"removed": name}, f"removed {name}; stop its server, or empty it before you add it again")


def _filled(desk: Desk, name: str) -> ReplicaStatus | None:
    """Show how a replica is filled; return how it is once that has ended, None if it was taken out."""
    with progress.fraction(desk.err, hidden=desk.as_json) as bar:
        task = bar.add_task(f"filling {name}", total=1.0)
        while True:
            status = _status(desk, name)
            if status is None:
                return None
            away = "" if status.state is ShardState.HEALTHY else f", which is {status.state.value}"
            bar.update(task, completed=status.filled, description=f"filling {name}{away}")
            ended = status.replica.sync is Sync.IN_SYNC and not away
            if ended or status.state is ShardState.REFUSED:
                return status
            time.sleep(POLL_S)


def _status(desk: Desk, name: str) -> ReplicaStatus | None:
    replicas = (replica for status in desk.client.shards() for replica in status.replicas)
    return next((replica for replica in replicas if replica.replica.name == name), None)
