"""Reads a photo, given as a path, bytes or a binary file. Knows nothing of formats: the server judges those."""

import os
from pathlib import Path
from typing import BinaryIO

from lookalike.errors import InvalidArgument

Photo = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A picture's path, its encoded bytes, or a file opened in binary mode."""

# Above the server's 12 MiB for a picture, so that the server says what is wrong with a large one; below what it takes
# in one message. It keeps a wrong path (a video, a disk image) from being read whole into memory.
PHOTO_BYTES_MAX = 24 * 2**20


def read(photo: Photo) -> bytes:
    """Return the encoded bytes of `photo`; bytes are returned as they are, without a copy."""
    match photo:
        case bytes():
            return _small_enough(photo, "the photo")
        case bytearray() | memoryview():
            return _small_enough(bytes(photo), "the photo")
        case str() | os.PathLike():
            return _read_path(Path(photo))
    if not hasattr(photo, "read"):
        raise InvalidArgument(
            f"a photo is a path, bytes or a binary file, not {type(photo).__name__}", reason="PHOTO_UNREADABLE"
        )
    return _read_file(photo, str(getattr(photo, "name", "the photo")))


def _read_path(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _read_file(file, str(path))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise InvalidArgument(
            f"cannot read the photo {str(path)!r}: {getattr(error, 'strerror', None) or error}",
            reason="PHOTO_UNREADABLE",
        ) from error


def _read_file(file: BinaryIO, name: str) -> bytes:
    content: object = file.read(PHOTO_BYTES_MAX + 1)
    if not isinstance(content, bytes):
        raise InvalidArgument(
            f"{name!r} gives text, not bytes: open it in binary mode, open(path, 'rb')", reason="PHOTO_UNREADABLE"
        )
    return _small_enough(content, repr(name))


def _small_enough(content: bytes, name: str) -> bytes:
    if len(content) > PHOTO_BYTES_MAX:
        raise InvalidArgument(
            f"{name} has more than {PHOTO_BYTES_MAX:,} bytes: send a picture of at most 12 MiB",
            reason="IMAGE_TOO_LARGE",
        )
    return content
