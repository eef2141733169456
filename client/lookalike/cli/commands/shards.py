"""`lookalike shards`: how the shards and their replicas are; and `shards add|drain|remove`."""

from typing import Annotated

import typer

from lookalike.cli import following, shard_table
from lookalike.cli.desk import (
    ADDING,
    CHANGING,
    DEFAULT_SERVER,
    STEERING,
    BatchOption,
    JsonOption,
    Misuse,
    RateOption,
    ServerOption,
    UriArgument,
    WatchOption,
    complain,
    opened,
)

ShardArgument = Annotated[str, typer.Argument(metavar="NAME", help="The shard's name.")]

app = typer.Typer(invoke_without_command=True)


@app.callback()
def shards(context: typer.Context, server: ServerOption = DEFAULT_SERVER, json: JsonOption = False) -> None:
    """Show every shard and its replicas: do they answer, what do they lack, what do they hold, how fast are they."""
    if context.invoked_subcommand is not None:
        _refuse_lost_options(context, server, json)
        return
    with opened(server, json) as desk:
        statuses = desk.client.shards()
        desk.show(statuses, shard_table.drawn(statuses))
        for trouble in shard_table.troubles(statuses):
            desk.warn(trouble)


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new shard's name.")],
    uri: UriArgument,
    replica: Annotated[
        list[str] | None, typer.Option(metavar="URI", help="Another replica's address; may be given several times.")
    ] = None,
    weight: Annotated[float, typer.Option(help="Its share of the slots, relative to the other shards.")] = 1.0,
    server: ServerOption = DEFAULT_SERVER,
    json: JsonOption = False,
) -> None:
    """Add a shard of empty Milvus endpoints. It owns no slots, and so no products, until some are moved to it."""
    with opened(server, json, ADDING) as desk:
        shard = desk.client.add_shard(name, [uri, *(replica or [])], weight=weight)
        count = f"{len(shard.replicas)} replica{'s' if len(shard.replicas) > 1 else ''}"
        desk.show(shard, f"added shard {shard.name} with {count}; it joins empty and owns {shard.slots:,} slots")
        desk.hint("`lookalike rebalance plan` shows what would move to it, `lookalike rebalance start` moves it")


@app.command()
def drain(
    name: ShardArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Let it own slots again, in rebalances to come.")] = False,
    batch_slots: BatchOption = 0,
    rows_per_s: RateOption = 0.0,
    watch: WatchOption = False,
    server: ServerOption = DEFAULT_SERVER,
    json: JsonOption = False,
) -> None:
    """Empty a shard: its products move to the others while the shop is open, and no rebalance gives it any.

    With --watch, exits with 1 unless all of it was done.
    """
    with opened(server, json, STEERING) as desk:
        job = desk.client.drain_shard(name, undo=undo, batch_slots=batch_slots, rows_per_s=rows_per_s)
        if undo:
            desk.show({"shard": name, "draining": False}, f"{name} may own slots again")
            desk.hint("`lookalike rebalance plan` shows what would move to it")
        elif job is None:
            desk.show(None, f"{name} owns no slots, and gets none from now on")
            desk.hint(f"`lookalike shards remove {name}` takes it out of the map")
        elif watch:
            following.follow(desk)
        else:
            following.show(desk, job)


@app.command()
def remove(
    name: ShardArgument,
    force: Annotated[
        bool, typer.Option("--force", help="Do not ask its servers whether they hold rows: they are gone for good.")
    ] = False,
    server: ServerOption = DEFAULT_SERVER,
    json: JsonOption = False,
) -> None:
    """Take a shard out of the map. Refused while it owns slots or holds rows; drain it first."""
    with opened(server, json, CHANGING) as desk:
        desk.client.remove_shard(name, force=force)
        desk.show({"removed": name}, f"removed shard {name}; its servers may be stopped")


def _refuse_lost_options(context: typer.Context, server: str, json: bool) -> None:
    """Refuse options that stand before the subcommand: they would be dropped without a word."""
    for option in ("server", "json"):
        source = context.get_parameter_source(option)
        if source is not None and source.name == "COMMANDLINE":
            command = context.invoked_subcommand
            raise complain(Misuse(f"write --{option} behind `{command}`, not before it"), server, json)
