"""Puts cut-outs before backgrounds, as a shop's studio or a shopper's phone would show them.

Knows pixels and boxes; knows neither files nor models. Everything random comes from the
generator passed in. Cut-outs are premultiplied RGBA, pictures RGB, all uint8.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from lookalike_server.train.pictures import Picture

Canvas = npt.NDArray[np.float32]  # (height, width, 3), 0 to 255
Boxes = npt.NDArray[np.float32]  # (n, 4) left top right bottom, pixels
Rng = np.random.Generator

# The colour beside a picture that does not fill the model's input, here and in the server.
LETTERBOX_GREY = 114

# So many of what is put together are mirrored, for more shapes and places.
MIRRORED = 0.5

# Two products of one photo may overlap this much (intersection over the smaller box).
OVERLAP_MAX = 0.18


@dataclass(frozen=True)
class Stock:
    """What a photo is made of."""

    cutouts: Sequence[Picture]
    scenes: Sequence[Picture]  # backgrounds made for the purpose
    clutter: Sequence[Picture] = field(default=())  # photos of other things, used in parts


def pick(pictures: Sequence[Picture], rng: Rng) -> Picture:
    """Return one of `pictures`."""
    return pictures[int(rng.integers(len(pictures)))]


def place(canvas: Canvas, rgba: Picture, centre: tuple[float, float], scale: float, angle_deg: float) -> Boxes:
    """Draw a cut-out onto `canvas`; return its visible box as (1, 4), or (0, 4) when outside."""
    if scale < 0.5:  # warping alone would alias
        half = max(0.5, 2 * scale) if scale > 0.25 else 2 * scale
        rgba = cv2.resize(rgba, None, fx=half, fy=half, interpolation=cv2.INTER_AREA)
        scale /= half
    height, width = rgba.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle_deg, scale)
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]]) @ matrix.T
    low = np.floor(corners.min(0)).astype(int) - 1
    size = np.ceil(corners.max(0)).astype(int) + 1 - low
    matrix[:, 2] -= low
    patch = cv2.warpAffine(rgba, matrix, (int(size[0]), int(size[1])), flags=cv2.INTER_LINEAR)
    left, top = round(centre[0] - size[0] / 2), round(centre[1] - size[1] / 2)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + int(size[0]), canvas.shape[1]), min(top + int(size[1]), canvas.shape[0])
    if x1 <= x0 or y1 <= y0:
        return np.zeros((0, 4), np.float32)
    patch = patch[y0 - top : y1 - top, x0 - left : x1 - left]
    alpha = patch[:, :, 3:].astype(np.float32) / 255
    canvas[y0:y1, x0:x1] = canvas[y0:y1, x0:x1] * (1 - alpha) + patch[:, :, :3]
    rows, columns = np.nonzero(patch[:, :, 3] > 64)
    if len(rows) == 0:
        return np.zeros((0, 4), np.float32)
    box = [x0 + columns.min(), y0 + rows.min(), x0 + columns.max() + 1, y0 + rows.max() + 1]
    return np.array([box], np.float32)


def cast_shadow(canvas: Canvas, box: Boxes, rng: Rng, strength: float) -> None:
    """Darken the ground under and beside a product that will stand in `box`."""
    left, top, right, bottom = box[0]
    width, height = right - left, bottom - top
    side = rng.uniform(-0.25, 0.25) * width
    depth = rng.uniform(0.05, 0.3) * height
    small = np.zeros((canvas.shape[0] // 4 + 1, canvas.shape[1] // 4 + 1), np.float32)
    centre = (int((left + right + side) / 8), int((bottom - depth * 0.3) / 4))
    axes = (max(1, int(width * rng.uniform(0.4, 0.6) / 4)), max(1, int(depth / 4)))
    cv2.ellipse(small, centre, axes, 0, 0, 360, (1.0,), -1)
    if rng.random() < 0.5:  # on a wall behind
        cv2.ellipse(
            small,
            (int((left + right + 2 * side) / 8), int((top + bottom) / 8)),
            (max(1, int(width / 8)), max(1, int(height / 8))),
            0,
            0,
            360,
            (0.6,),
            -1,
        )
    blur = max(1.0, 0.06 * float(min(width, height)) / 4 * rng.uniform(1, 3))
    shade = cv2.resize(cv2.GaussianBlur(small, (0, 0), blur), canvas.shape[1::-1])
    canvas *= 1 - strength * shade[:, :, None]


def studio(size: tuple[int, int], rng: Rng) -> Canvas:
    """Return a white to light-grey ground with soft falloff, (width, height) in pixels."""
    width, height = size
    base = rng.uniform(215, 256)
    tint = rng.uniform(-4, 4, 3)
    low = base - rng.uniform(0, 30)
    ramp: Canvas = np.linspace(base, low, height, dtype=np.float32)[:, None, None]
    if rng.random() < 0.4:
        x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
        ramp = (base - (base - low) * (x**2 + (y - rng.uniform(-0.5, 0.5)) ** 2) / 2)[:, :, None].astype(np.float32)
    return np.clip(np.broadcast_to(ramp + tint, (height, width, 3)), 0, 255).astype(np.float32)


def part(
    picture: Picture, size: tuple[int, int], share: tuple[float, float], rng: Rng, mirrored: float = MIRRORED
) -> Canvas:
    """Return a random part of `picture`, of `share` of its largest fitting crop, scaled to `size`."""
    width, height = size
    rows, columns = picture.shape[:2]
    fit = min(columns / width, rows / height) * rng.uniform(*share)
    w, h = max(2, int(width * fit)), max(2, int(height * fit))
    x, y = rng.integers(0, max(1, columns - w + 1)), rng.integers(0, max(1, rows - h + 1))
    crop = picture[y : y + h, x : x + w]
    if rng.random() < mirrored:
        crop = crop[:, ::-1]
    how = cv2.INTER_AREA if fit > 1 else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(crop), size, interpolation=how).astype(np.float32)


def plain(size: tuple[int, int], rng: Rng) -> Canvas:
    """Return a coloured ground: flat, a ramp, or a cloudy texture."""
    grid = int(rng.choice([1, 2, 4, 12]))
    coarse = rng.uniform(0, 255, 3) + rng.normal(0, rng.uniform(5, 60), (grid, grid, 3))
    return cv2.resize(np.clip(coarse, 0, 255).astype(np.float32), size, interpolation=cv2.INTER_CUBIC).clip(0, 255)


def scribble(canvas: Canvas, rng: Rng, marks_max: int) -> None:
    """Draw small shapes that are no products: crumbs, cables, edges, tiles."""
    height, width = canvas.shape[:2]
    unit = min(width, height)
    for _ in range(int(rng.integers(0, marks_max + 1))):
        colour = tuple(float(c) for c in rng.uniform(0, 255, 3))
        x, y = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        size = int(unit * rng.uniform(0.01, 0.06)) + 1
        kind = rng.integers(0, 3)
        if kind == 0:
            cv2.circle(canvas, (x, y), size, colour, -1, cv2.LINE_AA)
        elif kind == 1:
            cv2.rectangle(canvas, (x, y), (x + size, y + int(size * rng.uniform(0.3, 3))), colour, -1)
        else:
            far = (int(x + rng.normal(0, unit / 2)), int(y + rng.normal(0, unit / 2)))
            cv2.line(canvas, (x, y), far, colour, int(rng.integers(1, 4)), cv2.LINE_AA)


def background(stock: Stock, size: tuple[int, int], rng: Rng) -> Canvas:
    """Return a cluttered ground of (width, height) pixels."""
    dice = rng.random()
    if dice < 0.06 or not (stock.scenes or stock.clutter):
        canvas = plain(size, rng)
    elif stock.scenes and (dice < 0.85 or not stock.clutter):
        canvas = part(pick(stock.scenes, rng), size, (0.4, 1.0), rng)
    else:
        # Parts small enough that no whole thing of theirs stands there unlabelled.
        canvas = part(pick(stock.clutter, rng), size, (0.15, 0.6), rng)
    if rng.random() < 0.35:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.5, 4)).astype(np.float32)
    if rng.random() < 0.5:
        scribble(canvas, rng, marks_max=8)
    return np.ascontiguousarray(canvas * rng.uniform(0.6, 1.1), np.float32).clip(0, 255)


def as_photographed(canvas: Canvas, rng: Rng, strength: float = 1.0) -> Picture:
    """Return `canvas` with the light, colour, blur, noise and JPEG traces of a phone."""
    matrix, shift = np.diag(1 + strength * (rng.normal(0, 0.12) + rng.normal(0, 0.05, 3))), 0.0
    if rng.random() < 0.6:
        colour = 1 + strength * rng.uniform(-0.35, 0.35)
        pivot, contrast = rng.uniform(90, 150), 1 + strength * rng.uniform(-0.25, 0.25)
        matrix = contrast * (colour * matrix + (1 - colour) / 3 * matrix.sum(0))
        shift = pivot * (1 - contrast)
    canvas = np.asarray(cv2.transform(canvas, np.column_stack([matrix, [shift] * 3]).astype(np.float32)), np.float32)
    if rng.random() < 0.3 * strength:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.3, 1.3)).astype(np.float32)
    if rng.random() < 0.5:
        noise = rng.standard_normal((canvas.shape[0], canvas.shape[1], 1), np.float32)
        canvas = canvas + noise * np.float32(strength * rng.uniform(1, 9))
    picture = canvas.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        _, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(45, 95))])
        picture = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return picture


def overlaps(box: Boxes, others: Boxes) -> bool:
    """Tell whether `box` covers more than OVERLAP_MAX of another, or the other way round."""
    if len(others) == 0:
        return False
    low, high = np.maximum(box[:, :2], others[:, :2]), np.minimum(box[:, 2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    smaller = np.minimum((box[:, 2:] - box[:, :2]).prod(1), (others[:, 2:] - others[:, :2]).prod(1))
    return bool((shared > OVERLAP_MAX * smaller).any())


def _spot(
    size: tuple[int, int], rgba: Picture, count: int, taken: Boxes, rng: Rng
) -> tuple[float, float, float] | None:
    """Return centre and scale for a cut-out beside the boxes taken, or None when none was found."""
    width, height = size
    unit = min(size)
    lowest, highest = {1: (0.35, 0.95), 2: (0.3, 0.7), 3: (0.25, 0.58)}.get(count, (0.2, 0.5))
    for _ in range(15):
        scale = unit * rng.uniform(lowest, highest) / max(rgba.shape[:2])
        w, h = rgba.shape[1] * scale, rgba.shape[0] * scale
        out = 0.06 if rng.random() < 0.1 else 0.0  # now and then a product leaves the picture a little
        x = rng.uniform(w * (0.5 - out), max(w * (0.5 - out), width - w * (0.5 - out)))
        y = rng.uniform(h * (0.5 - out), max(h * (0.5 - out), height - h * (0.5 - out)))
        box = np.array([[x - w / 2, y - h / 2, x + w / 2, y + h / 2]], np.float32)
        if not overlaps(box, taken):
            return x, y, scale
    return None


def photo(
    stock: Stock, size: tuple[int, int], count: int, rng: Rng, mirrored: float = MIRRORED
) -> tuple[Picture, Boxes]:
    """Return a shopper's photo of up to `count` products, and the box of each.

    So many of them are `mirrored`, which makes other shapes to find; no camera does it to what is to be recognised.
    """
    canvas = background(stock, size, rng)
    boxes = np.zeros((0, 4), np.float32)
    for _ in range(count):
        rgba = pick(stock.cutouts, rng)
        if rng.random() < mirrored:
            rgba = np.ascontiguousarray(rgba[:, ::-1])
        spot = _spot(size, rgba, count, boxes, rng)
        if spot is None:
            continue
        x, y, scale = spot
        w, h = rgba.shape[1] * scale, rgba.shape[0] * scale
        if rng.random() < 0.75:
            cast_shadow(canvas, np.array([[x - w / 2, y - h / 2, x + w / 2, y + h / 2]]), rng, rng.uniform(0.15, 0.6))
        light = np.array([*[rng.uniform(0.75, 1.15)] * 3, 1.0], np.float32)
        lit = np.minimum(rgba * light, rgba[:, :, 3:]).astype(np.uint8)
        angle = rng.normal(0, 8) if rng.random() < 0.85 else rng.uniform(-90, 90)
        boxes = np.concatenate([boxes, place(canvas, lit, (x, y), scale, angle)])
    return as_photographed(canvas, rng), boxes


def studio_picture(rgba: Picture, size: tuple[int, int], rng: Rng) -> tuple[Picture, Boxes]:
    """Return a shop's catalogue picture of one product, and its box."""
    canvas = studio(size, rng)
    scale = min(size) * rng.uniform(0.55, 0.97) / max(rgba.shape[:2])
    w, h = rgba.shape[1] * scale, rgba.shape[0] * scale
    x, y = size[0] / 2 + rng.normal(0, 0.02) * size[0], size[1] / 2 + rng.normal(0, 0.02) * size[1]
    cast_shadow(canvas, np.array([[x - w / 2, y - h / 2, x + w / 2, y + h / 2]]), rng, rng.uniform(0.05, 0.35))
    box = place(canvas, rgba, (x, y), scale, 0.0)
    return as_photographed(canvas, rng, strength=0.3), box


def letterboxed(picture: Picture, boxes: Boxes, side_px: int) -> tuple[Picture, Boxes]:
    """Return a picture centred on a grey square of `side_px`, its longer side filling it, and its boxes there."""
    height, width = picture.shape[:2]
    scale = side_px / max(height, width)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    square = np.full((side_px, side_px, 3), LETTERBOX_GREY, np.uint8)
    left, top = (side_px - w) // 2, (side_px - h) // 2
    square[top : top + h, left : left + w] = cv2.resize(picture, (w, h), interpolation=how)
    return square, boxes * scale + np.array([left, top, left, top], np.float32)
