"""Makes small photos and encodes them."""

import io
from typing import Any

import numpy as np
from PIL import Image

# A corner of each colour tells every rotation and reflection apart.
CORNERS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}


def corners(width: int = 96, height: int = 64) -> Image.Image:
    """Return a photo that is red top left, green top right, blue bottom left and yellow bottom right."""
    small = np.array([[CORNERS["red"], CORNERS["green"]], [CORNERS["blue"], CORNERS["yellow"]]], np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.NEAREST)


def plain(colour: tuple[int, int, int], width: int = 64, height: int = 64) -> Image.Image:
    """Return a photo of one colour."""
    return Image.new("RGB", (width, height), colour)


def encoded(image: Image.Image, kind: str, **settings: Any) -> bytes:
    """Return the bytes of `image` as a file of a kind that Pillow names."""
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def jpeg(image: Image.Image) -> bytes:
    """Return the bytes of `image` as a good JPEG."""
    return encoded(image, "JPEG", quality=95, subsampling=0)
