"""Says what the server can be told, and what it does untold. The only file that reads flags and the environment."""

import argparse
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

from lookalike_server.address import (
    REPLICAS_MAX,
    SHARD_NAME,
    SHARDS_MAX,
    WEIGHT_MAX,
    WEIGHT_MIN,
    endpoint,
    without_credentials,
)

ENV_PREFIX = "LOOKALIKE_"

# What SQLAlchemy takes without a driver's name is another driver than ours.
POSTGRESQL = "postgresql+psycopg"


class BadSetting(ValueError):
    """A setting cannot be used; the message names its flag and its environment variable."""


@dataclass(frozen=True)
class ShardAddress:
    """Where one shard's replicas are, at least one, and how large its share of the shop is."""

    name: str
    uris: tuple[str, ...]
    weight: float = 1.0


def setting(default: Any, parse: Callable[[str], Any], says: str, shape: str, *, secret: bool = False) -> Any:
    """Declare one setting: what it is untold, how its text is read, what --help says, and the shape of its value."""
    metadata = {"parse": parse, "says": says, "shape": shape, "secret": secret}
    return field(default=default, repr=not secret, metadata=metadata)


def text(value: str) -> str:
    """Read any text that is not empty."""
    if not value.strip():
        raise ValueError("is empty")
    return value.strip()


def whole(low: int, high: int) -> Callable[[str], int]:
    """Read a whole number from `low` to `high`."""

    def parse(value: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,18}", value.strip()) or not low <= int(value) <= high:
            raise ValueError(f"is not a whole number from {low} to {high}")
        return int(value)

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    """Read a number from `low` to `high`."""

    def parse(value: str) -> float:
        try:
            parsed = float(value)
        except ValueError:
            parsed = float("nan")
        if not low <= parsed <= high:
            raise ValueError(f"is not a number from {low:g} to {high:g}")
        return parsed

    return parse


def one_of(*words: str) -> Callable[[str], str]:
    """Read one of `words`."""

    def parse(value: str) -> str:
        if value.strip().lower() not in words:
            raise ValueError(f"is not one of {', '.join(words)}")
        return value.strip().lower()

    return parse


def existing_path(value: str) -> Path:
    """Read a path to something that is there."""
    path = Path(text(value)).expanduser()
    if not path.exists():
        raise ValueError("does not exist")
    return path


def existing_folder(value: str) -> Path:
    """Read a path to a folder that is there."""
    path = existing_path(value)
    if not path.is_dir():
        raise ValueError("is no folder")
    return path


def words(value: str) -> tuple[str, ...]:
    """Read names parted by commas."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def store_url(value: str) -> str:
    """Read where the store is: a PostgreSQL or SQLite URL, or a path, which is a SQLite file."""
    value = text(value)
    scheme, separator, rest = value.partition("://")
    if not separator:
        return f"sqlite:///{Path(value).expanduser()}"
    match scheme.lower():
        case "sqlite":
            return value
        case "postgresql" | "postgres" | "postgresql+psycopg":
            return f"{POSTGRESQL}://{rest}"
    raise ValueError("is neither a file nor a URL that begins with postgresql:// or sqlite:///")


def shard_address(value: str) -> ShardAddress:
    """Read "name=http://host:port|http://host:port*weight": one replica or more, the weight being optional."""
    name, equals, rest = value.strip().partition("=")
    uris, star, weight = rest.rpartition("*") if "*" in rest else (rest, "", "1")
    if not equals or not SHARD_NAME.fullmatch(name):
        told = repr(without_credentials(value))
        raise ValueError(f"{told} does not start with a shard's name of letters, digits, '.', '_' or '-' and '='")
    replicas = uris.split("|")
    if len(replicas) > REPLICAS_MAX:
        raise ValueError(f"shard {name} has {len(replicas)} replicas; at most {REPLICAS_MAX} are allowed")
    try:
        read = tuple(endpoint(uri) for uri in replicas)
    except ValueError as error:
        raise ValueError(f"the address of shard {name} {error}") from error
    return ShardAddress(name, read, number(WEIGHT_MIN, WEIGHT_MAX)(weight) if star else 1.0)


def shard_addresses(value: str) -> tuple[ShardAddress, ...]:
    """Read shards parted by commas; names and addresses may come once."""
    shards = tuple(shard_address(part) for part in words(value))
    uris = [uri for shard in shards for uri in shard.uris]
    for label, seen in (("name", [shard.name for shard in shards]), ("address", uris)):
        if twice := {one for one in seen if seen.count(one) > 1}:
            raise ValueError(f"the {label} {sorted(twice)[0]} comes twice")
    if len(shards) > SHARDS_MAX:
        raise ValueError(f"names more than {SHARDS_MAX} shards")
    return shards


@dataclass(frozen=True)
class Config:
    """Every setting of `lookalike-server serve`: a flag, an environment variable and a default from one line."""

    host: str = setting(
        "127.0.0.1", text, "address to listen on; another one than loopback opens the shop to that network", "HOST"
    )
    port: int = setting(50051, whole(0, 65535), "TCP port to listen on; 0: one that is free", "PORT")
    http_port: int = setting(0, whole(0, 65535), "TCP port for HTTP and the page, for example 8080; 0: no HTTP", "PORT")
    http_host: str = setting(
        "127.0.0.1", text, "address to listen on for HTTP; another one than loopback opens the shop to that network",
        "HOST",
    )  # fmt: skip
    images: Path | None = setting(  # noqa: RUF009
        None,
        existing_folder,
        "folder of the catalogue's pictures, which HTTP shows; their uri is their place in it",
        "PATH",
    )
    samples: Path | None = setting(None, existing_folder, "folder of photos that the page offers to try", "PATH")  # noqa: RUF009
    rates: Path | None = setting(None, existing_path, "JSON file of exchange rates for the page", "PATH")  # noqa: RUF009
    events: Path | None = setting(  # noqa: RUF009
        None, lambda value: Path(text(value)).expanduser(),
        "file to which what shoppers do with the results is appended, as JSON lines", "PATH",
    )  # fmt: skip
    shards: tuple[ShardAddress, ...] = setting(
        (),
        shard_addresses,
        "the Milvus shards: name=http://host:port, ... ; | between addresses parts replicas, *2 after them gives the "
        "shard twice the share; not needed once the store knows the shop",
        "LIST",
    )
    shard_token: str = setting(
        "", text, "what the shards ask for: user:password or an API key; the environment keeps it out of `ps`", "TOKEN",
        secret=True,
    )  # fmt: skip
    store: str = setting(
        "sqlite:///lookalike-data/store.db",
        store_url,
        "where the map, hints and leases are kept: a file, or postgresql://user@host/name for several servers; the "
        "environment keeps a password out of `ps`",
        "URL",
        secret=True,
    )
    detector: Path | None = setting(None, existing_path, "a detector in place of the bundled one", "PATH")  # noqa: RUF009
    embedder: Path | None = setting(None, existing_path, "an embedder in place of the bundled one", "PATH")  # noqa: RUF009
    threads: int = setting(0, whole(0, 1024), "threads that run the models; 0: one for each core", "COUNT")
    providers: tuple[str, ...] = setting(
        ("cpu",),
        words,
        "what runs the models: cpu, cuda, tensorrt or onnxruntime's own names, the preferred first",
        "LIST",
    )
    batch: int = setting(16, whole(1, 256), "pictures that join one run of a model at most", "PICTURES")
    queue: int = setting(
        64, whole(1, 100_000), "calls that may wait for the models; more are told to come later", "CALLS"
    )
    image_mib_max: float = setting(12.0, number(0.01, 24), "the largest encoded picture", "MIB")
    image_megapixels_max: float = setting(50.0, number(0.01, 500), "the largest decoded picture", "MEGAPIXELS")
    token_ttl_s: float = setting(600.0, number(1, 86_400), "how long a searched photo can be searched again", "SECONDS")
    token_mib: float = setting(256.0, number(1, 65_536), "memory for photos that can be searched again", "MIB")
    deadline_s: float = setting(
        10.0, number(0.05, 3600), "time for a call, or an item of a stream, that names none", "SECONDS"
    )
    shard_deadline_s: float = setting(
        2.0, number(0.01, 600), "time for a shard to answer a search, within the call's", "SECONDS"
    )
    drain_s: float = setting(
        10.0, number(0, 3600), "time that calls have to end when the server is told to stop", "SECONDS"
    )
    log_level: str = setting("info", one_of("debug", "info", "warning", "error"), "what is logged to stderr", "LEVEL")

    @classmethod
    def read(cls, argv: Sequence[str], env: Mapping[str, str] = os.environ) -> "Config":
        """Read the flags, then the environment, then the defaults; end the program with code 2 where one is wrong."""
        parser = argument_parser(cls)
        flags = vars(parser.parse_args(argv))
        try:
            return cls(**{f.name: told(f.name, f.metadata["parse"], f.default, flags, env) for f in fields(cls)})
        except BadSetting as error:
            fail(parser, str(error))


def flag_of(name: str) -> str:
    """Name a setting's flag."""
    return "--" + name.replace("_", "-")


def env_of(name: str) -> str:
    """Name a setting's environment variable."""
    return ENV_PREFIX + name.upper()


def told(
    name: str, parse: Callable[[str], Any], default: Any, flags: Mapping[str, str | None], env: Mapping[str, str]
) -> Any:
    """Return what was said of one setting: by its flag, else by the environment, else the default."""
    said = flags[name] if flags[name] is not None else env.get(env_of(name))
    if said is None:
        return default
    try:
        return parse(said)
    except ValueError as error:
        raise BadSetting(f"{flag_of(name)} ({env_of(name)}): {without_credentials(said)!r} {error}") from error


def argument_parser(config: type[Config]) -> argparse.ArgumentParser:
    """Build the parser from the table of settings."""
    parser = argparse.ArgumentParser(
        "lookalike-server serve",
        usage="lookalike-server serve [--shards LIST] [--SETTING VALUE ...]",
        description="Serves search by picture over gRPC and HTTP. Every setting is a flag or an environment variable.",
        allow_abbrev=False,
    )
    for one in fields(config):
        says = f"{one.metadata['says']} [{env_of(one.name)}; default: {shown(one.default)}]"
        # argparse formats help with %: a percent sign in it would be read as a placeholder.
        parser.add_argument(
            flag_of(one.name), help=says.replace("%", "%%"), metavar=one.metadata["shape"], default=None
        )
    return parser


def shown(default: Any) -> str:
    """Write a default as a person would type it."""
    if default is None or default in ((), ""):
        return "none"
    return (
        ",".join(f"{one:g}" if isinstance(one, float) else one for one in default)
        if isinstance(default, tuple)
        else f"{default:g}"
        if isinstance(default, float)
        else str(default)
    )


def fail(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    """End the program as argparse does for a wrong flag: the message on stderr, exit code 2."""
    parser.error(message)
