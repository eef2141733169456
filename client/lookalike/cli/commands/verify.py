"""`lookalike verify`: are the replicas of a shard alike, and what to do where they are not."""

from contextlib import closing
from typing import Annotated

import typer

from lookalike.cli import progress
from lookalike.cli.comparing import Findings
from lookalike.cli.desk import (
    DEFAULT_SERVER,
    FAILED,
    INTERRUPTED,
    PARTIAL,
    Desk,
    JsonOption,
    ServerOption,
    opened,
)
from lookalike.errors import LookalikeError, Unavailable


def verify(
    shard: Annotated[str | None, typer.Option(metavar="NAME", help="Compare this shard's replicas only.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Make the replicas alike where they differ.")] = False,
    from_slot: Annotated[int, typer.Option("--from", metavar="SLOT", min=0, help="Go on at this slot.")] = 0,
    server: ServerOption = DEFAULT_SERVER,
    json: JsonOption = False,
) -> None:
    """Compare the replicas of every shard, slot by slot, while the shop serves.

    With --repair the newest version of a product wins, and a deleted one stays deleted. Exits with 1 if products
    differ that were not repaired, and with 4 if a replica could not be compared.
    """
    with opened(server, json) as desk:
        findings = Findings(next_slot=from_slot)
        go_on = f"lookalike verify{f' --shard {shard}' if shard else ''}{' --repair' if repair else ''} --from"
        try:
            _compare(desk, findings, shard, repair)
        except KeyboardInterrupt:
            _report(desk, findings)
            desk.warn(f"stopped; `{go_on} {findings.next_slot}` goes on")
            raise typer.Exit(INTERRUPTED) from None
        except LookalikeError:
            if findings.slots:
                _report(desk, findings)
                desk.warn(f"not finished; `{go_on} {findings.next_slot}` goes on")
            raise
        _report(desk, findings)
        if findings.unrepaired:
            if not repair:
                desk.warn("`lookalike verify --repair` makes the replicas alike")
            raise typer.Exit(FAILED)
        if findings.skipped_replicas:
            raise typer.Exit(PARTIAL)


def _compare(desk: Desk, findings: Findings, shard: str | None, repair: bool) -> None:
    with (
        progress.counted(desk.err, hidden=desk.as_json) as bar,
        closing(desk.client.verify(shard, repair=repair, from_slot=findings.next_slot)) as reports,
    ):
        # A comparison that is refused shows no bar.
        task = bar.add_task(f"comparing {shard or 'all shards'}", visible=False)
        for report in reports:
            findings.add(report)
            bar.update(task, completed=report.slots_done, total=report.slots, visible=True)
    if not findings.finished:
        raise Unavailable("the server ended the comparison before it was done", reason="STOPPING")


def _report(desk: Desk, findings: Findings) -> None:
    lines = [f"differs: {product_id}" for product_id in findings.product_ids]
    unnamed = findings.differing - len(findings.product_ids)
    if unnamed > 0:
        lines.append(f"and {unnamed:,} more")
    lines.append(
        f"{findings.slots:,} slots, {findings.rows:,} rows compared: "
        f"{findings.differing:,} {'product differs' if findings.differing == 1 else 'products differ'}, "
        f"{findings.repaired:,} repaired"
    )
    desk.show(findings, *lines)
    for replica in findings.skipped_replicas:
        desk.warn(f"{replica} could not be compared; `lookalike shards` shows why")
