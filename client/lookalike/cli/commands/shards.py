"""`lookalike shards`: how the shards and their replicas are; and `shards add`."""

from typing import Annotated

import typer

from lookalike.cli import shard_table
from lookalike.cli.desk import (
    ADDING,
    DEFAULT_SERVER,
    JsonOption,
    Misuse,
    ServerOption,
    UriArgument,
    complain,
    opened,
)

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
        desk.show(shard, f"added shard {shard.name} with {count}; it owns {shard.slots:,} slots")


def _refuse_lost_options(context: typer.Context, server: str, json: bool) -> None:
    """Refuse options that stand before the subcommand: they would be dropped without a word."""
    for option in ("server", "json"):
        source = context.get_parameter_source(option)
        if source is not None and source.name == "COMMANDLINE":
            command = context.invoked_subcommand
            raise complain(Misuse(f"write --{option} behind `{command}`, not before it"), server, json)
