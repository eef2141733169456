"""What the scripts' command lines take; a wrong value is told as argparse tells it, with the reason."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

from lookalike_server import config


def existing_path(value: str) -> Path:
    """Read a path to something that is there."""
    return _read(config.existing_path, value)


def existing_folder(value: str) -> Path:
    """Read a path to a folder that is there."""
    return _read(config.existing_folder, value)


def _read(read: Callable[[str], Path], value: str) -> Path:
    """Return what is read; argparse would drop the text of a ValueError."""
    try:
        return read(value)
    except ValueError as error:
        raise ArgumentTypeError(f"{value} {error}") from error
