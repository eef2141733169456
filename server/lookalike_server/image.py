"""Turns encoded photos into pixels and pixels into a network's input. Knows no models; the only user of Pillow.

Colour profiles are ignored: pixels are taken as sRGB. All metadata but the orientation is dropped unread.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from lookalike_server import header
from lookalike_server.errors import BadImage, ImageTrouble
from lookalike_server.regions import WHOLE_BOX, Box

# Smaller ones are spacers and tracking pixels.
SIDE_PX_MIN = 16
# WebP ends here; longer ones are strips in which no product can be seen.
SIDE_PX_MAX = 16_384
# A progressive JPEG repeats the whole picture in every scan, and encoders use at most a dozen: hundreds are an attack.
JPEG_SCANS_MAX = 64
# Pictures are held no larger than useful: a product on a quarter of the side still fills a network's 224 px.
HELD_SIDE_PX = 960
# How much larger than its target a picture may stay in the cheap first step of a resize; 2 is hard to tell from exact.
REDUCING_GAP = 2.0
# An input narrower than a quarter of the side has fewer places to look at than a YOLO's head wants to choose from.
NARROWEST = 4
# The padding that ultralytics trains YOLO with.
PADDING = 114

# Looks like the original on a card; a step more costs half as many bytes again.
THUMBNAIL_QUALITY = 80
# 0 to 6; more takes twice the time for a twentieth of the bytes.
THUMBNAIL_EFFORT = 2

STRIP_ROWS = 64
BYTES_PER_PIXEL = 4  # Pillow pads RGB
PILLOW = r"PIL\."
WHITE = (255, 255, 255)
EXIF_ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = frozenset({5, 6, 7, 8})


@dataclass(frozen=True)
class Limits:
    """What a photo may take at most."""

    content_bytes: int = 12 * 2**20
    """A phone's best photo is no larger; more is sent by mistake, and every waiting call holds its bytes."""
    pixels: int = 50_000_000
    """What the largest phone cameras make: 200 MB while a thread decodes it."""


@dataclass(frozen=True)
class Fit:
    """How a network wants its pixels: planes (3, height, width), in which v of channel c is v * scale[c] + bias[c]."""

    width: int
    height: int
    letterbox: bool
    """Keep the aspect and pad with grey; otherwise stretch."""
    scale: tuple[float, float, float]
    bias: tuple[float, float, float]
    multiple: int = 0
    """Pad a letterbox only up to multiples of so many pixels; 0: to the whole size."""


@dataclass(frozen=True)
class Frame:
    """Where the picture lies within a network's input, in pixels; the rest is padding."""

    left: int
    top: int
    width: int
    height: int
    input_width: int
    input_height: int


class Picture:
    """A decoded photo, upright; held smaller than it was sent where that loses nothing of use."""

    def __init__(self, image: Image.Image, width_px: int, height_px: int) -> None:
        self._image = image
        self.width_px = width_px
        self.height_px = height_px

    @classmethod
    def of(cls, pixels: npt.NDArray[np.uint8]) -> "Picture":
        """Return pixels (height, width, 3) RGB as a picture."""
        return cls(Image.fromarray(pixels), pixels.shape[1], pixels.shape[0])

    @property
    def bytes_held(self) -> int:
        """Memory that the pixels take."""
        return self._image.width * self._image.height * BYTES_PER_PIXEL

    def pixels(self) -> npt.NDArray[np.uint8]:
        """Return the pixels as held, (height, width, 3) RGB."""
        return np.asarray(self._image)

    def pillow(self) -> Image.Image:
        """Return a copy as Pillow has it."""
        return self._image.copy()

    def tensor(self, fit: Fit, box: Box = WHOLE_BOX) -> tuple[npt.NDArray[np.float32], Frame]:
        """Return what `box` shows as `fit` asks, (3, height, width), and where in it that lies."""
        part = self._part(box)
        frame = framed(part[2] - part[0], part[3] - part[1], fit)
        scaled = self._image.resize(
            (frame.width, frame.height), Image.Resampling.BILINEAR, box=part, reducing_gap=REDUCING_GAP
        )
        planes = np.empty((3, frame.input_height, frame.input_width), np.float32)
        inside = planes[:, frame.top : frame.top + frame.height, frame.left : frame.left + frame.width]
        # Plane by plane: numpy walks Pillow's interleaved pixels at a third of the speed.
        for plane, target, band, scale, bias in zip(planes, inside, scaled.split(), fit.scale, fit.bias, strict=True):
            if target.size != plane.size:
                plane.fill(PADDING * scale + bias)
            np.multiply(np.asarray(band), scale, out=target, dtype=np.float32)
            if bias:
                target += np.float32(bias)
        return planes, frame

    def _part(self, box: Box) -> tuple[float, float, float, float]:
        """Return `box` in pixels as held, at least one pixel wide and high."""
        width, height = self._image.size
        left, top = min(box.left * width, width - 1), min(box.top * height, height - 1)
        return left, top, max(box.right * width, left + 1), max(box.bottom * height, top + 1)


def framed(width: float, height: float, fit: Fit) -> Frame:
    """Return where a part of `width` by `height` lies in a network's input."""
    if not fit.letterbox:
        return Frame(0, 0, fit.width, fit.height, fit.width, fit.height)
    scale = min(fit.width / width, fit.height / height)
    wide, high = max(1, round(width * scale)), max(1, round(height * scale))
    input_width, input_height = padded(wide, fit.width, fit.multiple), padded(high, fit.height, fit.multiple)
    return Frame((input_width - wide) // 2, (input_height - high) // 2, wide, high, input_width, input_height)


def padded(side: int, whole: int, multiple: int) -> int:
    """Return the side of the input that holds `side` pixels of picture."""
    if not multiple:
        return whole
    least = max(side, whole // NARROWEST)
    return min(whole, -(-least // multiple) * multiple)


def decode(content: bytes, limits: Limits) -> Picture:
    """Return the photo that `content` encodes, its first frame if it moves, or raise BadImage."""
    if len(content) > limits.content_bytes:
        size = f"{len(content) / 2**20:.1f} MiB, the limit is {limits.content_bytes / 2**20:g} MiB"
        raise BadImage(ImageTrouble.IMAGE_TOO_LARGE, f"the picture has {size}; send it smaller or compress it more")
    head = header.read(content)
    check_size(head.width_px, head.height_px, limits)
    if head.kind == "JPEG" and content.count(b"\xff\xda") > JPEG_SCANS_MAX:
        raise BadImage(ImageTrouble.CORRUPT_IMAGE, f"the JPEG has more than {JPEG_SCANS_MAX} scans; save it again")
    silence_pillow()
    try:
        return opened(content, head.kind, limits)
    except BadImage:
        raise
    # Pillow raises a dozen kinds of errors for broken bytes, and nothing else goes into it here.
    except Exception as error:
        message = f"the {head.kind} is truncated or corrupt ({error or type(error).__name__}); send the whole file"
        raise BadImage(ImageTrouble.CORRUPT_IMAGE, message) from error


def check_size(width_px: int, height_px: int, limits: Limits) -> None:
    """Raise BadImage if a picture of this size is not decoded."""
    size = f"the picture is {width_px} x {height_px} px"
    if min(width_px, height_px) < SIDE_PX_MIN:
        raise BadImage(
            ImageTrouble.IMAGE_TOO_SMALL, f"{size}, sides must be {SIDE_PX_MIN} px or more; send a larger one"
        )
    if max(width_px, height_px) > SIDE_PX_MAX:
        raise BadImage(ImageTrouble.IMAGE_TOO_LARGE, f"{size}, sides must be {SIDE_PX_MAX} px or less; send it smaller")
    if width_px * height_px > limits.pixels:
        limit = f"{limits.pixels / 1e6:g} megapixels"
        raise BadImage(ImageTrouble.IMAGE_TOO_LARGE, f"{size}, the limit is {limit}; send it smaller")


def silence_pillow() -> None:
    """Keep Pillow's warnings about broken metadata out of the log, also where other code has reset the filters."""
    if not any(
        action == "ignore" and getattr(module, "pattern", None) == PILLOW
        for action, _, _, module, _ in warnings.filters
    ):
        warnings.filterwarnings("ignore", module=PILLOW)


def opened(content: bytes, kind: str, limits: Limits) -> Picture:
    """Decode bytes of a known format; raises whatever Pillow does."""
    with Image.open(io.BytesIO(content), formats=[kind]) as image:
        width, height = image.size
        # Again, as the decoder sees it: a GIF's frame may be larger than its screen.
        check_size(width, height, limits)
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
        if kind == "JPEG":
            shrink = min(1.0, HELD_SIDE_PX / max(width, height))
            image.draft(None, (round(width * shrink), round(height * shrink)))  # decodes at 1/2, 1/4 or 1/8, for free
        image.load()
        upright = shrunk(image, max(1, max(image.size) // HELD_SIDE_PX))
    if orientation in UPRIGHT:
        upright = upright.transpose(UPRIGHT[orientation])
    if orientation in SIDEWAYS:
        width, height = height, width
    return Picture(upright, width, height)


def shrunk(image: Image.Image, factor: int) -> Image.Image:
    """Return `image` as opaque RGB at 1/`factor` of its size; by strips, as copies of 50 megapixels add up."""
    if factor == 1:
        return plain(image)
    small = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    for top in range(0, image.height, STRIP_ROWS * factor):
        strip = image.crop((0, top, image.width, min(top + STRIP_ROWS * factor, image.height)))
        small.paste(plain(strip).reduce(factor), (0, top // factor))
    return small


def plain(image: Image.Image) -> Image.Image:
    """Return `image` as opaque RGB, transparency on white; a copy that holds no metadata."""
    if image.mode.startswith(("I", "F")):
        # 16 bits of grey; convert() would clip them, not scale them.
        image = Image.fromarray((np.asarray(image) / 256).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        opaque = Image.new("RGB", image.size, WHITE)
        opaque.paste(image, mask=image.getchannel("A"))
        return opaque
    bare = image.convert("RGB")
    bare.info = {}
    return bare


def thumbnail(content: bytes, side_px: int, limits: Limits) -> bytes:
    """Return a picture as WebP whose longer side is `side_px` at most, or raise BadImage."""
    small = decode(content, limits).pillow()
    small.thumbnail((side_px, side_px), Image.Resampling.LANCZOS, reducing_gap=REDUCING_GAP)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=THUMBNAIL_QUALITY, method=THUMBNAIL_EFFORT)
    return out.getvalue()
