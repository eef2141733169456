"""`lookalike rebalance`: products move between shards while the shop is open."""

from typing import Annotated

import typer

from lookalike.cli import following, rebalance_table
from lookalike.cli.desk import (
    DEFAULT_SERVER,
    FAILED,
    PARTIAL,
    STEERING,
    BatchOption,
    JsonOption,
    RateOption,
    ServerOption,
    WatchOption,
    opened,
)
from lookalike.cli.pins import pin
from lookalike.rebalance import RebalanceJob, StrayRows

PinOption = Annotated[
    list[str] | None,
    typer.Option(
        "--pin",
        metavar="SHARD=FIRST-LAST",
        help="Slots that are to be on a shard, whatever its share; may be given several times, and holds this once.",
    ),
]
NOTHING = "nothing has to move: every shard has its share"

app = typer.Typer(no_args_is_help=True, help="Move products between shards while the shop is open.")


@app.command()
def plan(
    pins: PinOption = None,
    batch_slots: BatchOption = 0,
    rows_per_s: RateOption = 0.0,
    drain: Annotated[str, typer.Option(metavar="SHARD", help="Plan how to empty this shard.")] = "",
    server: ServerOption = DEFAULT_SERVER,
    json: JsonOption = False,
) -> None:
    """Show what a rebalance would do: which slots, how many rows and bytes, how long. Changes nothing."""
    with opened(server, json) as desk:
        wanted = [pin(one) for one in pins or ()]
        found = desk.client.rebalance.plan(pins=wanted, batch_slots=batch_slots, rows_per_s=rows_per_s, drain=drain)
        desk.show(found, *rebalance_table.plan(found))
        if found.routes:
            command = f"shards drain {drain}" if drain else "rebalance start"
            with_pins = " with the same --pin" if wanted else ""
            desk.hint(f"nothing has changed; `lookalike {command} --watch`{with_pins} does it")


@app.command()
def start(
    pins: PinOption = None,
    batch_slots: BatchOption = 0,
    rows_per_s: RateOption = 0.0,
    watch: WatchOption = False,
    server: ServerOption = DEFAULT_SERVER,
    json: JsonOption = False,
) -> None:
    """Start to give every shard its share. The servers do it in the background; the shop stays open.

    Exits with 0 if nothing has to move. With --watch, exits with 1 unless all of it was done.
    """
    with opened(server, json, STEERING) as desk:
        wanted = [pin(one) for one in pins or ()]
        job = desk.client.rebalance.start(pins=wanted, batch_slots=batch_slots, rows_per_s=rows_per_s)
        if job is None:
            desk.show(None, NOTHING)
        elif watch:
            following.follow(desk)
        else:
            following.show(desk, job)


@app.command()
def status(watch: WatchOption = False, server: ServerOption = DEFAULT_SERVER, json: JsonOption = False) -> None:
    """Show how far the newest rebalance is. With --watch until it ends; exits with 1 then unless all of it was done."""
    with opened(server, json) as desk:
        if watch:
            following.follow(desk)
        else:
            following.show(desk, desk.client.rebalance.job())


@app.command()
def pause(server: ServerOption = DEFAULT_SERVER, json: JsonOption = False) -> None:
    """Halt the active rebalance where it is; the shop goes on."""
    with opened(server, json, STEERING) as desk:
        following.show(desk, desk.client.rebalance.pause())


@app.command()
def resume(watch: WatchOption = False, server: ServerOption = DEFAULT_SERVER, json: JsonOption = False) -> None:
    """Let a rebalance that was paused, or that stopped by itself, go on."""
    with opened(server, json, STEERING) as desk:
        job = desk.client.rebalance.resume()
        if watch:
            following.follow(desk)
        else:
            following.show(desk, job)


@app.command()
def throttle(
    rows_per_s: Annotated[float, typer.Argument(metavar="N", min=0, help="Rows a second at most; 0: no limit.")],
    server: ServerOption = DEFAULT_SERVER,
    json: JsonOption = False,
) -> None:
    """Have the active rebalance copy N rows a second at most."""
    with opened(server, json, STEERING) as desk:
        following.show(desk, desk.client.rebalance.throttle(rows_per_s))


@app.command()
def cancel(watch: WatchOption = False, server: ServerOption = DEFAULT_SERVER, json: JsonOption = False) -> None:
    """End the active rebalance: what is under way is finished or undone, and what has moved stays where it is.

    With --watch, exits with 0 once that has happened.
    """
    with opened(server, json, STEERING) as desk:
        job = desk.client.rebalance.cancel()
        if watch:
            following.follow(desk, cancelled_is_well=True)
        else:
            following.show(desk, job)


@app.command()
def reverse(
    rows_per_s: RateOption = 0.0,
    watch: WatchOption = False,
    server: ServerOption = DEFAULT_SERVER,
    json: JsonOption = False,
) -> None:
    """Take back what the last rebalance has moved, in the opposite order."""
    with opened(server, json, STEERING) as desk:
        job: RebalanceJob = desk.client.rebalance.reverse(rows_per_s=rows_per_s)
        if watch:
            following.follow(desk)
        else:
            following.show(desk, job)


@app.command()
def verify(
    repair: Annotated[bool, typer.Option("--repair", help="Delete such rows.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    json: JsonOption = False,
) -> None:
    """Look on every replica for rows in slots that its shard does not own. Nobody reads such rows.

    Exits with 1 if there are any that were not deleted, and with 4 if a replica could not be asked.
    """
    with opened(server, json, STEERING) as desk:
        found: list[StrayRows] = list(desk.client.rebalance.verify(repair=repair))
        left = sum(one.rows - one.deleted for one in found)
        desk.show(found, rebalance_table.strays(found))
        for one in found:
            if one.message:
                desk.warn(f"{one.replica} could not be asked: {one.message}; bring it back, then ask again")
        if left > 0:
            desk.warn(f"{left:,} rows are in wrong places; `lookalike rebalance verify --repair` deletes them")
            raise typer.Exit(FAILED)
        if any(one.message for one in found):
            raise typer.Exit(PARTIAL)
