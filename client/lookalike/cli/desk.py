"""What every command needs: the server, the way it prints, and what a failure looks like."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.table import Table

from lookalike.cli.expression import GRAMMAR, BadExpression
from lookalike.cli.jsonable import jsonable
from lookalike.cli.tables import FeedError
from lookalike.client import Client
from lookalike.errors import Conflict, DeadlineExceeded, LookalikeError, Unavailable

FAILED, USAGE, UNREACHABLE, PARTIAL, INTERRUPTED = 1, 2, 3, 4, 130
EXIT_CODES = """Exit codes: 0 all went well; 1 it failed, there is no such product, replicas differ, or a rebalance that
was watched did not end well; 2 the command is wrong; 3 the server cannot be reached; 4 some of it failed, the rest is
done; 130 stopped with Ctrl-C."""

ServerOption = Annotated[
    str, typer.Option("--server", envvar="LOOKALIKE_SERVER", metavar="HOST:PORT", help="Where the server is.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
FilterOption = Annotated[str | None, typer.Option("--filter", metavar="FILTER", help=GRAMMAR)]
UriArgument = Annotated[
    str, typer.Argument(metavar="URI", help="Where an empty Milvus is, for example http://10.0.0.7:19530.")
]
RateOption = Annotated[
    float, typer.Option("--rows-per-s", metavar="N", min=0, help="Rows a second to copy at most; 0: no limit.")
]
BatchOption = Annotated[
    int,
    typer.Option(
        "--batch-slots",
        metavar="N",
        min=0,
        max=16384,
        help="Slots that move together, while writes to them wait for a moment; 0: the server chooses.",
    ),
]
WatchOption = Annotated[bool, typer.Option("--watch", help="Show how far it is until it ends.")]
DEFAULT_SERVER = "localhost:50051"


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do where the server says that something it needs is away, and where nothing is heard of the server."""

    away: str
    unheard: str = ""


_UNHEARD = "; if only its answer was lost, `lookalike shards` tells whether it was done"
ASKING = Advice("`lookalike shards` shows which shard is away")
CHANGING = Advice(ASKING.away, _UNHEARD)
ADDING = Advice("nothing was added: start the Milvus there, or correct the address", _UNHEARD)
STEERING = Advice(ASKING.away, "; if only its answer was lost, `lookalike rebalance status` tells whether it was done")


class Misuse(Exception):
    """The command was called in a way that makes no sense; the message says how to call it."""


class Desk:
    """One command's client and consoles."""

    def __init__(self, client: Client, as_json: bool) -> None:
        self.client = client
        self.as_json = as_json
        self.out = Console(highlight=False)
        self.err = Console(stderr=True, highlight=False, soft_wrap=True)

    def show(self, value: object, *rendered: RenderableType) -> None:
        """Print `value` as one line of JSON, or what people read instead."""
        if self.as_json:
            typer.echo(json.dumps(jsonable(value), ensure_ascii=False))
            return
        for part in rendered:
            # Lines are left to the terminal to break, and brackets in a title are no markup.
            self.out.print(part, markup=False, soft_wrap=not isinstance(part, Table))

    def hint(self, message: str) -> None:
        """Say on stderr what may be done next; programs know."""
        if not self.as_json:
            self.err.print(message, style="dim", markup=False)

    def warn(self, message: str) -> None:
        """Say on stderr what people should know; programs find it in the JSON."""
        if not self.as_json:
            self.err.print(f"warning: {message}", style="yellow", markup=False)


@contextmanager
def opened(server: str, as_json: bool, advice: Advice = ASKING) -> Iterator[Desk]:
    """Open a desk; turn what the command raises into one line on stderr and an exit code."""
    try:
        with Client(server) as client:
            yield Desk(client, as_json)
    except (LookalikeError, Misuse, FeedError, BadExpression, OSError) as error:
        raise complain(error, server, as_json, advice) from error
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        raise typer.Exit(INTERRUPTED) from None


def complain(error: Exception, server: str, as_json: bool, advice: Advice = ASKING) -> typer.Exit:
    """Print what went wrong and return the exit to raise."""
    code, message = _judged(error, server, advice)
    if as_json:
        reason = error.reason if isinstance(error, LookalikeError) else ""
        told = {"kind": type(error).__name__, "reason": reason, "message": message, "exit_code": code}
        typer.echo(json.dumps({"error": told}, ensure_ascii=False), err=True)
    else:
        typer.echo(f"error: {message}", err=True)
    return typer.Exit(code)


def _judged(error: Exception, server: str, advice: Advice) -> tuple[int, str]:
    """Return the exit code and the message, with what to do next where that helps."""
    match error:
        case Misuse() | FeedError() | BadExpression():
            return USAGE, str(error)
        case Unavailable(reason="") | DeadlineExceeded(reason=""):
            hint = "start one with `lookalike-server serve`, or name it with --server"
            return UNREACHABLE, f"{error}; is a server running at {server}? If not, {hint}{advice.unheard}"
        case Conflict(reason="REBALANCE_ACTIVE"):
            return FAILED, f"{error}; `lookalike rebalance status --watch` shows it"
        case Unavailable(reason="STOPPING"):  # which says itself what to do
            return FAILED, str(error)
        case Unavailable(reason="STORE_UNAVAILABLE" | "LEASE_LOST"):
            return FAILED, f"{error}; searches go on, and what changes the shop waits for the server's store"
        case Unavailable():
            return FAILED, f"{error}; {advice.away}"
        case DeadlineExceeded():
            return FAILED, f"{error}{advice.unheard}"
        case _:
            return FAILED, str(error)
