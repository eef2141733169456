"""Reads a picture's format and size from its first bytes, before any decoder sees them. Decodes nothing."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from lookalike_server.errors import BadImage, ImageTrouble

ACCEPTED = "send JPEG, PNG, WebP, AVIF or GIF"

# What shops and shoppers send by mistake, so that the message can name it.
STRANGERS = {
    b"%PDF": "a PDF document",
    b"BM": "a BMP picture",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
    b"PK\x03\x04": "a ZIP archive",
    b"<": "HTML, XML or SVG text",
    b"{": "JSON text",
    b"\x1f\x8b": "gzip data",
}
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}

# All frame headers of JPEG; C4, C8 and CC in the same row of codes are tables.
START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # JPEG markers without a length
START_OF_SCAN = 0xDA


@dataclass(frozen=True)
class Header:
    """What the first bytes say; `kind` is Pillow's name of the format, the size is before any rotation."""

    kind: str
    width_px: int
    height_px: int


def read(content: bytes) -> Header:
    """Return the format and size that `content` claims, or raise BadImage."""
    kind = sniff(content)
    if kind is None:
        raise BadImage(ImageTrouble.UNSUPPORTED_FORMAT, f"{describe(content)}; {ACCEPTED}")
    try:
        width_px, height_px = SIZES[kind](content)
    except (struct.error, IndexError) as error:
        message = f"the {kind} ends or breaks before it says its size ({len(content)} bytes); send the whole file"
        raise BadImage(ImageTrouble.CORRUPT_IMAGE, message) from error
    return Header(kind, width_px, height_px)


def sniff(content: bytes) -> str | None:
    """Return the format that the first bytes name, or None."""
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if content[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    return "AVIF" if brands(content) & AVIF_BRANDS else None


def describe(content: bytes) -> str:
    """Say what bytes are that are no accepted picture."""
    if not content:
        return "the picture is empty (0 bytes)"
    if brands(content) & HEIF_BRANDS:
        return "this is an HEIC picture"
    for magic, name in STRANGERS.items():
        if content.lstrip()[: len(magic)] == magic:
            return f"this is {name}, not a picture that the server reads"
    return "these bytes are not a picture"


def brands(content: bytes) -> set[bytes]:
    """Return the brands of an ISO media file, none for other files."""
    if content[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(content[:4], "big"), len(content))
    return {content[8:12], *(content[at : at + 4] for at in range(16, end, 4))}


def jpeg_size(content: bytes) -> tuple[int, int]:
    """Return the size that the first frame header says; segments before it are skipped unread."""
    at = 2
    while True:
        while content[at] == 0xFF:  # any number of fill bytes may stand before a marker
            at += 1
        marker = content[at]
        at += 1
        if marker in START_OF_FRAME:
            height, width = struct.unpack_from(">HH", content, at + 3)
            return width, height
        if marker == START_OF_SCAN:
            raise IndexError("the picture's data begin before its size")
        if marker not in ALONE:
            at += struct.unpack_from(">H", content, at)[0]
        if content[at] != 0xFF:
            raise IndexError("no marker where one must be")


def png_size(content: bytes) -> tuple[int, int]:
    """Return the size that the header chunk says."""
    if content[12:16] != b"IHDR":
        raise IndexError("the first chunk is not the header")
    width, height = struct.unpack_from(">II", content, 16)
    return width, height


def gif_size(content: bytes) -> tuple[int, int]:
    """Return the size of the logical screen."""
    width, height = struct.unpack_from("<HH", content, 6)
    return width, height


def webp_size(content: bytes) -> tuple[int, int]:
    """Return the size that the first chunk says: lossy, lossless or the canvas of an extended file."""
    match content[12:16]:
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", content, 26)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            bits = struct.unpack_from("<I", content, 21)[0]
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            size = struct.unpack_from("<6B", content, 24)
            return int.from_bytes(size[:3], "little") + 1, int.from_bytes(size[3:], "little") + 1
    raise IndexError("the first chunk is no picture")


def avif_size(content: bytes) -> tuple[int, int]:
    """Return the largest of the sizes: a picture of tiles, or with transparency, has several."""
    sizes = [
        struct.unpack_from(">II", content, spatial + 4)
        for kind, meta, meta_end in boxes(content, 0, len(content))
        if kind == b"meta"
        for kind, properties, properties_end in boxes(content, meta + 4, meta_end)
        if kind == b"iprp"
        for kind, container, container_end in boxes(content, properties, properties_end)
        if kind == b"ipco"
        for kind, spatial, _ in boxes(content, container, container_end)
        if kind == b"ispe"
    ]
    if not sizes:
        raise IndexError("no size among the properties")
    return max(width for width, _ in sizes), max(height for _, height in sizes)


def boxes(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind, start and end of the contents of each ISO media box in a row of them."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", content, start)
        body = start + 8
        if size == 1:  # the real size follows as 64 bits
            size, body = struct.unpack_from(">Q", content, body)[0], body + 8
        stop = end if size == 0 else start + size
        if stop < body:
            raise IndexError("a box shorter than its own header")
        yield kind, body, min(stop, end)
        start = stop


SIZES = {"JPEG": jpeg_size, "PNG": png_size, "GIF": gif_size, "WEBP": webp_size, "AVIF": avif_size}
