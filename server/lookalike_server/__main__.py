"""The program `lookalike-server`: reads what it was told, runs it, and ends with a code that means something."""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike_router.errors import RouterError
from lookalike_server.config import BadSetting, Config
from lookalike_server.errors import ServerError
from lookalike_server.lite import LiteFailed
from lookalike_server.signals import stop_signals
from lookalike_server.version import VERSION

if TYPE_CHECKING:
    from lookalike_server.app import Running

USAGE = """usage: lookalike-server COMMAND ...

  serve    serve search by picture over gRPC, and over HTTP with a page for shoppers
  demo     start three shards and a server, fill a sample shop, search it, and keep serving
  models   list model archives; export, pull, fit-pca and calibrate them
  train    train an embedder or a detector on your own shop
  version  print the version

lookalike-server COMMAND --help says more.
"""
EXIT_FAILED, EXIT_USAGE = 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    told = sys.argv[1:] if argv is None else argv
    match told:
        case ["serve", *rest]:
            return serve(rest)
        case ["demo", *rest]:
            return demo(rest)
        case ["models", *rest]:
            return models(rest)
        case ["train", *rest]:
            return train(rest)
        case ["version" | "--version"]:
            print(f"lookalike-server {VERSION}")
            return 0
        case ["-h" | "--help" | "help"]:
            print(USAGE, end="")
            return 0
    print(USAGE, end="", file=sys.stderr)
    return EXIT_USAGE


def serve(argv: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT."""
    config = Config.read(argv)
    start_log(config.log_level)
    return run(serving(config))


def demo(argv: Sequence[str]) -> int:
    """Show everything on the sample shop."""
    parser = argparse.ArgumentParser(
        "lookalike-server demo", description="Fills a sample shop over three shards, searches it, and keeps serving."
    )
    parser.add_argument("--once", action="store_true", help="stop after the report, whose last line is JSON")
    parser.add_argument("--data-dir", type=Path, default=Path("lookalike-data"), help="where the shop is kept")
    parser.add_argument("--port", type=int, default=50051, help="TCP port to listen on; 0: one that is free")
    parser.add_argument("--http-port", type=int, default=8080, help="TCP port for the page; 0: no page")
    parser.add_argument("--http-host", default="127.0.0.1", help="0.0.0.0 shows the page to this network")
    told = parser.parse_args(argv)
    start_log("warning")
    # Imported here: only the demo needs the SDK and the tables.
    from lookalike_server.demo import Page, run_demo

    page = Page(told.http_host, 0 if told.once else told.http_port)  # nobody looks at a page that goes at once
    return run(run_demo(told.data_dir, told.port, once=told.once, page=page))


def models(argv: Sequence[str]) -> int:
    """List models, or make and mend them."""
    from lookalike_server.models.commands import run_models

    try:
        print(run_models(argv))
    except ServerError as error:
        return told_wrong(str(error))
    return 0


def train(argv: Sequence[str]) -> int:
    """Train a model on a shop's own pictures."""
    from lookalike_server.train.commands import run_train

    try:
        print(run_train(argv))
    except ServerError as error:
        return told_wrong(str(error))
    except KeyboardInterrupt:
        return told_wrong("stopped; --resume goes on from the last checkpoint", 128 + signal.SIGINT)
    return 0


def run(work: Coroutine[Any, Any, int]) -> int:
    """Run a command to its end; what it cannot do is said in one line."""
    try:
        return asyncio.run(work)
    except BadSetting as error:
        return told_wrong(str(error), EXIT_USAGE)
    except (ServerError, RouterError, LiteFailed) as error:
        return told_wrong(str(error))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


async def serving(config: Config) -> int:
    """Serve until a signal comes, then drain."""
    # Imported here: what talks to Milvus takes a second to import, and help should not.
    from lookalike_server.app import running

    stop = stop_signals()
    async with running(config) as service:
        print(ready_line(config, service), flush=True)
        await stop.wait()
        logging.getLogger(__name__).info("stopping: calls have %g s to end", config.drain_s)
    return 0


def ready_line(config: Config, service: "Running") -> str:
    """Say in one line that the service answers, where, and with what."""
    models = f"detector {service.vision.detector_id}, embedder {service.vision.embedder_id}"
    shards = "1 shard" if service.shards == 1 else f"{service.shards} shards"
    page = f", http://{config.http_host}:{service.http_port}" if service.http_port else ""
    return f"lookalike-server {VERSION} on {config.host}:{service.serving.port}{page}: {shards}, {models}, ready"


def start_log(level: str) -> None:
    """Log to stderr, a line for each event."""
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s level=%(levelname)s at=%(name)s %(message)s"
    )


def told_wrong(message: str, code: int = EXIT_FAILED) -> int:
    """Say what went wrong and return the exit code."""
    print(f"lookalike-server: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
