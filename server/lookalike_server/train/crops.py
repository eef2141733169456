"""Makes the crops the embedder learns from: catalogue pictures and what a detector cuts from photos.

Knows how the server frames a crop (letterboxed on grey) and how detectors miss by a little.
Knows nothing of labels or losses. Everything random comes from the generator passed in.
"""

import cv2
import numpy as np

from lookalike_server.train.composites import (
    MIRRORED,
    Canvas,
    Rng,
    Stock,
    as_photographed,
    background,
    cast_shadow,
    letterboxed,
    pick,
    place,
    plain,
    studio,
)
from lookalike_server.train.composites import part as part_of
from lookalike_server.train.pictures import Picture, shrink

NO_BOXES = np.zeros((0, 4), np.float32)

# Of real photos so many are learned from as they are, which is how a shopper's comes where nothing is detected; of the
# others a part, of so much of the side.
WHOLE_SHARE = 0.25
PART = (0.3, 1.0)

# Another shop's lamps change a photo's colours more or less than a phone does.
ANOTHER_LIGHT = (0.7, 1.4)

# A detector's box is this much of the true one, each way.
BOX_JITTER = (0.85, 1.25)
# So much of a box's side is shown beyond each side of it: a box that is too small cuts the product, and how it
# stands out from what is around tells it as well.
MARGIN = 0.1

# Turns in hue that make another product of a colourful one; the first is the product itself.
HUE_TURNS_DEG = (0.0, 90.0, 180.0, 270.0)

# A turn must change the colours by this much on average (of 255), or it is no other product.
HUE_CHANGE_MIN = 14.0


def hue_turned(rgba: Picture, turn_deg: float) -> Picture:
    """Return a cut-out with its hues turned about the grey axis; premultiplied stays premultiplied."""
    if turn_deg == 0:
        return rgba
    cos, sin = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    third, root = (1 - cos) / 3, np.sqrt(1 / 3) * sin
    matrix = np.array(
        [
            [cos + third, third - root, third + root],
            [third + root, cos + third, third - root],
            [third - root, third + root, cos + third],
        ],
        np.float32,
    )
    colours = cv2.transform(np.ascontiguousarray(rgba[:, :, :3]), matrix)
    return np.dstack([np.minimum(colours, rgba[:, :, 3:]), rgba[:, :, 3]]).astype(np.uint8)


def is_colourful(rgba: Picture) -> bool:
    """Tell whether turning the hues of a cut-out shows."""
    solid = rgba[:, :, 3] > 200
    change = np.abs(hue_turned(rgba, 90.0).astype(int) - rgba)[solid][:, :3]
    return bool(solid.any() and change.mean() >= HUE_CHANGE_MIN)


def _lit(rgba: Picture, rng: Rng) -> Picture:
    """Return a cut-out under a lamp of another strength, colour and side."""
    gain = rng.uniform(0.7, 1.2) * (1 + rng.normal(0, 0.04, 3))
    ramp = np.linspace(1 + rng.normal(0, 0.15), 1 + rng.normal(0, 0.15), rgba.shape[1])[None, :, None]
    light = np.concatenate([ramp * gain, np.ones_like(ramp)], 2, dtype=np.float32)
    return np.minimum(rgba * light, rgba[:, :, 3:]).astype(np.uint8)


def _neighbour(canvas: Canvas, stock: Stock, rng: Rng) -> None:
    """Let another product reach into the crop from its edge."""
    other = pick(stock.cutouts, rng)
    height, width = canvas.shape[:2]
    scale = max(width, height) * rng.uniform(0.4, 1.0) / max(other.shape[:2])
    angle = rng.uniform(0, 2 * np.pi)
    centre = (width * (0.5 + 0.65 * np.cos(angle)), height * (0.5 + 0.65 * np.sin(angle)))
    place(canvas, other, centre, scale, rng.normal(0, 10))


def photo_crop(rgba: Picture, stock: Stock, side_px: int, rng: Rng) -> Picture:
    """Return what a detector cuts from a shopper's photo of this product, letterboxed."""
    angle = rng.normal(0, 8) if rng.random() < 0.85 else rng.uniform(-90, 90)
    cos, sin = abs(np.cos(np.radians(angle))), abs(np.sin(np.radians(angle)))
    rows, columns = rgba.shape[:2]
    w, h = columns * cos + rows * sin, columns * sin + rows * cos
    jitter = rng.uniform(*BOX_JITTER, 2) * (1 + 2 * MARGIN)
    scale = side_px / max(w * jitter[0], h * jitter[1])
    size = (max(8, round(w * jitter[0] * scale)), max(8, round(h * jitter[1] * scale)))
    centre = (size[0] / 2 + rng.normal(0, 0.05) * size[0], size[1] / 2 + rng.normal(0, 0.05) * size[1])
    canvas = background(stock, size, rng)
    if rng.random() < 0.25:
        _neighbour(canvas, stock, rng)
    if rng.random() < 0.4:
        box = np.array(
            [
                [
                    centre[0] - w * scale / 2,
                    centre[1] - h * scale / 2,
                    centre[0] + w * scale / 2,
                    centre[1] + h * scale / 2,
                ]
            ],
            np.float32,
        )
        cast_shadow(canvas, box, rng, rng.uniform(0.15, 0.6))
    place(canvas, _lit(rgba, rng), centre, scale, angle)
    _hide(canvas, rng)
    picture = _coarse(as_photographed(canvas, rng), rng)
    return letterboxed(picture, NO_BOXES, side_px)[0]


def _hide(canvas: Canvas, rng: Rng) -> None:
    """Now and then let something lie over the picture: a finger, a price tag."""
    if rng.random() >= 0.25:
        return
    height, width = canvas.shape[:2]
    unit = min(height, width)
    x, y = int(rng.uniform(0, width)), int(rng.uniform(0, height))
    colour = tuple(float(c) for c in rng.uniform(0, 255, 3))
    if rng.random() < 0.5:
        cv2.circle(canvas, (x, y), int(unit * rng.uniform(0.05, 0.25)), colour, -1)
    else:
        w, h = (int(unit * side) for side in rng.uniform(0.1, 0.4, 2))
        cv2.rectangle(canvas, (x - w // 2, y - h // 2), (x + w // 2, y + h // 2), colour, -1)


def _coarse(picture: Picture, rng: Rng) -> Picture:
    """Return a picture that now and then was small before it was enlarged."""
    if rng.random() < 0.3:
        height, width = picture.shape[:2]
        share = rng.uniform(0.35, 0.9)
        size = (max(4, int(width * share)), max(4, int(height * share)))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    return picture


def studio_crop(rgba: Picture, side_px: int, rng: Rng) -> Picture:
    """Return a shop's catalogue picture of a cut-out: whole, or cut to the product; letterboxed."""
    rows, columns = rgba.shape[:2]
    if rng.random() < 0.5:  # whole: square, the product well inside
        size, fill = (side_px, side_px), rng.uniform(0.55, 0.97)
        scale = side_px * fill / max(rows, columns)
    else:
        jitter = rng.uniform(1.0, BOX_JITTER[1] * (1 + 2 * MARGIN), 2)
        scale = side_px / max(columns * jitter[0], rows * jitter[1])
        size = (max(8, round(columns * jitter[0] * scale)), max(8, round(rows * jitter[1] * scale)))
    centre = (size[0] / 2 + rng.normal(0, 0.02) * size[0], size[1] / 2 + rng.normal(0, 0.02) * size[1])
    canvas = np.ascontiguousarray(studio(size, rng) if rng.random() < 0.9 else plain(size, rng))
    box = np.array(
        [
            [
                centre[0] - columns * scale / 2,
                centre[1] - rows * scale / 2,
                centre[0] + columns * scale / 2,
                centre[1] + rows * scale / 2,
            ]
        ],
        np.float32,
    )
    cast_shadow(canvas, box, rng, rng.uniform(0.05, 0.35))
    place(canvas, rgba, centre, scale, rng.normal(0, 2))
    return letterboxed(as_photographed(canvas, rng, strength=0.3), NO_BOXES, side_px)[0]


def scene_crop(
    picture: Picture, side_px: int, rng: Rng, share: float | None = None, mirrored: float = MIRRORED
) -> Picture:
    """Return a real photo, or a random crop of it, turned, mirrored and lit anew; letterboxed.

    `share` is how much of its side a crop shows; one is drawn where it is not given. So many are `mirrored`: none
    where there is something to read.
    """
    if share is None:
        share = 1.0 if rng.random() < WHOLE_SHARE else rng.uniform(*PART)
    rows, columns = picture.shape[:2]
    if share == 1.0:
        small = shrink(picture, side_px)
        canvas = np.ascontiguousarray(small[:, ::-1] if rng.random() < mirrored else small).astype(np.float32)
    else:
        aspect = float(np.exp(rng.normal(0, 0.2)))
        size = (max(8, round(side_px * min(1.0, aspect))), max(8, round(side_px / max(1.0, aspect))))
        if rng.random() < 0.6:
            angle = rng.uniform(-20, 20) if rng.random() < 0.75 else rng.uniform(-90, 90)
            turn = cv2.getRotationMatrix2D((columns / 2, rows / 2), angle, 1)
            turned = cv2.warpAffine(picture, turn, (columns, rows), borderMode=cv2.BORDER_REFLECT)
            picture = np.asarray(turned, np.uint8)
        canvas = part_of(picture, size, (share, share), rng, mirrored)
    _hide(canvas, rng)
    light = as_photographed(canvas, rng, strength=rng.uniform(*ANOTHER_LIGHT))
    return letterboxed(_coarse(light, rng), NO_BOXES, side_px)[0]
