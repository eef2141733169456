"""Pictures as the trainers have them: RGB or RGBA arrays, uint8; a cut-out's colours are premultiplied by its alpha.

Knows files and pixels, not how pictures are put together (composites.py), nor any model.
"""

import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]  # (height, width, 3 or 4)

# One product in ten is never trained on, so that validation asks about unseen goods.
HELD_OUT_SHARE = 10

# Cut-outs are kept no larger than this: the embedder sees 128 px, the detector 320 px.
CUTOUT_SIDE_PX = 224

# A photo is kept with this shorter side: enough for a crop of 128 px.
PHOTO_SIDE_PX = 160

# A ground is white where it differs from white by no more than this, and a cut-out fills no more of the picture than
# this share: else the ground is no studio's.
WHITE_WITHIN = 6
CUTOUT_SHARE_MAX = 0.9
# White products leak into a white ground; below this share their hull closes the leaks.
LEAK_SHARE = 0.5


def held_out(name: str) -> bool:
    """Tell whether the product or file `name` belongs to validation."""
    return zlib.crc32(name.encode()) % HELD_OUT_SHARE == 0


def read_rgb(path: Path) -> Picture:
    """Read a picture as RGB."""
    picture: Any = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path} is not a picture that can be read")
    return np.ascontiguousarray(picture[:, :, ::-1])


def shrink(picture: Picture, side_px: int, shorter: bool = False) -> Picture:
    """Return `picture` with its longer (or shorter) side at most `side_px`."""
    height, width = picture.shape[:2]
    scale = side_px / (min(height, width) if shorter else max(height, width))
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def trimmed(rgba: Picture) -> Picture:
    """Return a straight RGBA picture premultiplied and cut to what is visible."""
    rows, columns = np.nonzero(rgba[:, :, 3] > 16)
    if len(rows) == 0:
        raise ValueError("the cut-out is empty")
    rgba = rgba[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    alpha = rgba[:, :, 3:].astype(np.uint16)
    colours = (rgba[:, :, :3] * alpha + 127) // 255
    return np.concatenate([colours, alpha], axis=2).astype(np.uint8)


def cutout(path: Path) -> Picture:
    """Read one transparent PNG as a trimmed, premultiplied cut-out."""
    picture: Any = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.ndim != 3 or picture.shape[2] != 4:
        raise ValueError(f"{path} is not a picture with transparency")
    return shrink(trimmed(cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA)), CUTOUT_SIDE_PX)


def cut_from_white(picture: Picture) -> Picture:
    """Cut a catalogue picture out of its white ground, from the top left corner on."""
    height, width = picture.shape[:2]
    framed = cv2.copyMakeBorder(picture, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    mask = np.zeros((height + 4, width + 4), np.uint8)
    within = (WHITE_WITHIN,) * 3
    cv2.floodFill(framed, mask, (0, 0), (0, 0, 0), within, within, cv2.FLOODFILL_MASK_ONLY | 4)
    solid = (1 - mask[2:-2, 2:-2]).astype(np.uint8)
    if solid.any() and solid.mean() < LEAK_SHARE:
        contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        points = np.concatenate([contour for contour in contours if len(contour) > 8] or contours)
        cv2.fillConvexPoly(solid, cv2.convexHull(points), (1,))
    alpha = cv2.GaussianBlur(cv2.erode(solid, np.ones((3, 3), np.uint8)) * 255, (3, 3), 0)
    return trimmed(np.dstack([picture, alpha]).astype(np.uint8))


def cut_where_white(picture: Picture) -> Picture | None:
    """Cut a catalogue picture out of its ground, or return None where that is not white."""
    corners = picture[[0, 0, -1, -1], [0, -1, 0, -1]]
    if (corners < 255 - WHITE_WITHIN).any():
        return None
    try:
        rgba = cut_from_white(picture)
    except ValueError:
        return None
    share = rgba.shape[0] * rgba.shape[1] / (picture.shape[0] * picture.shape[1])
    return rgba if share <= CUTOUT_SHARE_MAX else None
