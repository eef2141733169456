"""Draws packages without Blender, a hundred times faster: prints from labels.py on cartons, cans and bottles.

A family is one brand's package in several varieties, which share shape and layout and differ in colours and words, as
on a shelf: the hard part of telling packages apart. Knows prints, corners and light; numpy and OpenCV only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from renders import labels, palette
from renders.palette import Rgb

Picture = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]

VARIETIES = 3
VIEWS = 5
SIDE_PX = 208
# Drawn so many times larger and shrunk, for soft edges.
OVERSAMPLE = 2
# Other seeds than all that Blender renders.
FIRST_SEED = 300_000
WORDS: tuple[str, ...] = (
    "Apple", "Orange", "Milk", "Cocoa", "Oat", "Soy", "Vanilla", "Berry", "Tea", "Coffee", "Rice", "Honey", "Mint",
    "Lemon", "Cream", "Yoghurt", "Tomato", "Basil", "Original", "Light", "Extra", "Mild", "Eco", "Soft", "Fresh",
    "Care", "Power", "Zero", "Plus", "Sport",
)  # fmt: skip


@dataclass(frozen=True)
class View:
    """From where a package is seen, and where its lamp stands."""

    turn: Points
    """(3, 3) from the package's axes to the camera's: x to the right, y up, z towards the camera."""
    distance: float
    """Of the camera from the middle, in heights of the package."""
    lamp: Points
    """(3,) unit vector towards the lamp, in the camera's axes."""
    gloss: float

    def seen(self, points: Points) -> Points:
        """Return (n, 3) points in the camera's axes."""
        return np.asarray(points @ self.turn.T)

    def flat(self, points: Points) -> Points:
        """Return (n, 2) where points of the package fall, y downwards."""
        seen = self.seen(points)
        return np.asarray(seen[:, :2] * [1, -1] * (self.distance / (self.distance - seen[:, 2:])))

    def shade(self, normal: Points) -> float:
        """Return how bright a face of this outward normal (in the package's axes) is."""
        return 0.5 + 0.6 * max(0.0, float(self.turn @ normal @ self.lamp))


def view_of(rng: Random) -> View:
    """Return a view as a shopper has it: mostly the front, a little from above."""
    yaw = rng.gauss(0, 30) if rng.random() < 0.85 else rng.uniform(-180, 180)
    pitch, roll = rng.uniform(-8, 40), rng.gauss(0, 3)
    turn = _about(2, roll) @ _about(0, pitch) @ _about(1, yaw)
    lamp = np.array([rng.gauss(0, 0.7), rng.uniform(0.1, 1.0), rng.uniform(0.3, 1.0)])
    return View(turn, rng.uniform(2.5, 6), lamp / np.linalg.norm(lamp), rng.choice((0.0, 0.0, 0.2, 0.5)))


def _about(axis: int, degrees: float) -> Points:
    """Return a rotation about an axis."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    one, other = [k for k in range(3) if k != axis]
    sign = -1 if axis == 1 else 1
    out = np.eye(3)
    out[one, one], out[one, other], out[other, one], out[other, other] = cos, -sin * sign, sin * sign, cos
    return out


def package(family: int, variety: int) -> Callable[[View], Picture]:
    """Return what draws one variety of a family from a view, as straight RGBA of SIDE_PX."""
    rng, own = Random(f"pack/{family}"), Random(f"pack/{family}/{variety}")
    main, second, accent = (colour.rgb for colour in palette.pick(rng, rng.randrange(1000)))
    other = [colour.rgb for colour in palette.pick(own, own.randrange(1000))]
    brand_keeps_main = rng.random() < 0.5
    colours = (main, other[1], other[2]) if brand_keeps_main else (other[0], second, other[2])
    words = (rng.choice(labels.BRANDS), own.choice(WORDS))
    body = rng.choice(("gable", "gable", "gable", "brick", "brick", "can", "bottle", "jar"))
    layout = rng.getrandbits(32)
    if body in ("gable", "brick"):
        size = (1.0, rng.uniform(0.35, 1.0), rng.uniform(1.1, 2.6) if body == "gable" else rng.uniform(0.6, 2.0))
        sheet = np.asarray(_decorated(labels.carton(Random(layout), colours, words, size), size, colours, own, rng))
        ridge = size[1] * rng.uniform(0.4, 0.8) if body == "gable" else 0.0
        cap = accent if rng.random() < 0.5 else None
        return lambda view: _carton(sheet, size, ridge, cap, view)
    height = {"can": rng.uniform(1.4, 3.2), "bottle": rng.uniform(2.8, 4.5), "jar": rng.uniform(1.2, 2.6)}[body]
    label = labels.wrap(Random(layout), colours, words, rng.choice((2, 2, 3)))
    sheet, profile = _turned(body, label, colours, accent, height, rng)
    return lambda view: _revolved(sheet, profile, height, view)


def _decorated(
    sheet: Image.Image, size: tuple[float, float, float], colours: tuple[Rgb, Rgb, Rgb], own: Random, rng: Random
) -> Image.Image:
    """Add pictures to the front and the back of a carton: where is the family's, which is the variety's."""
    draw, scale = ImageDraw.Draw(sheet), sheet.width / (2 * size[0] + 2 * size[1])
    for _ in range(rng.randrange(4)):
        kind, x, y, r = own.randrange(5), rng.uniform(0.1, 0.9), rng.uniform(0.05, 0.95), rng.uniform(0.08, 0.3)
        one, two = own.sample(colours, 2)
        inks = (colours[own.randrange(3)], one, two)
        for left in (0.0, size[0] + size[1]):
            # The drawing may reach over an edge, as prints do.
            labels.picture(draw, kind, ((left + x) * scale, y * sheet.height), r * scale, inks)
    return sheet


class Canvas:
    """Faces drawn one over another, far ones first."""

    def __init__(self, view: View, corners: Points) -> None:
        self.view, self.size = view, SIDE_PX * OVERSAMPLE
        flat = view.flat(corners)
        low, high = flat.min(0), flat.max(0)
        self.scale = 0.94 * self.size / float((high - low).max())
        self.shift = self.size / 2 - (low + high) / 2 * self.scale
        self.rgb = np.zeros((self.size, self.size, 3), np.float32)
        self.alpha = np.zeros((self.size, self.size), np.float32)

    def pixels(self, points: Points) -> npt.NDArray[np.float32]:
        """Return (n, 2) where points of the package fall."""
        return (self.view.flat(points) * self.scale + self.shift).astype(np.float32)

    def face(self, corners: Points, print_: Picture, normal: Points) -> None:
        """Draw a print on four corners, from the top left clockwise."""
        to = self.pixels(corners)
        rows, columns = print_.shape[:2]
        edges = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
        matrix = cv2.getPerspectiveTransform(edges, to)
        target = (self.size, self.size)
        drawn = cv2.warpPerspective(print_, matrix, target, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
        mask = np.zeros(target, np.uint8)
        cv2.fillConvexPoly(mask, np.round(to * 16).astype(np.int32), (1,), cv2.LINE_8, 4)
        self.paint(mask.astype(bool), drawn * np.float32(self.view.shade(normal)))

    def paint(self, mask: npt.NDArray[np.bool_], colours: npt.NDArray[np.float32]) -> None:
        """Put (size, size, 3) colours where the mask is."""
        self.rgb[mask] = colours[mask]
        self.alpha[mask] = 255

    def picture(self) -> Picture:
        """Return what was drawn, straight RGBA of SIDE_PX."""
        x, y = np.meshgrid(np.linspace(-1, 1, self.size), np.linspace(-1, 1, self.size))
        fall = 1 + 0.15 * (self.view.lamp[0] * x - self.view.lamp[1] * y)  # nearer to the lamp is brighter
        glare = self.view.gloss * 120 * np.exp(-(((x - self.view.lamp[0] * 0.5) / 0.12) ** 2))
        lit = self.rgb * fall[:, :, None] + glare[:, :, None]
        whole = np.dstack([lit * (self.alpha[:, :, None] / 255), self.alpha]).clip(0, 255).astype(np.float32)
        small = cv2.resize(whole, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
        alpha = small[:, :, 3:]
        return np.dstack([small[:, :, :3] * 255 / np.maximum(alpha, 1), alpha]).clip(0, 255).astype(np.uint8)


def _carton(sheet: Picture, size: tuple[float, float, float], ridge: float, cap: Rgb | None, view: View) -> Picture:
    """Draw a carton of (width, depth, height); one with a ridge has a roof that slopes up to it."""
    w, d, unit = size[0], size[1], 1 / size[2]
    x, z, top = w / 2 * unit, d / 2 * unit, 0.5
    scale = sheet.shape[1] / (2 * w + 2 * d)
    cuts = [0, round(w * scale), round((w + d) * scale), round((2 * w + d) * scale), sheet.shape[1]]
    sides = [sheet[:, start:end] for start, end in pairwise(cuts)]
    ground = [(-x, z), (x, z), (x, -z), (-x, -z)]
    crest = top + ridge * unit
    canvas = Canvas(view, np.array([(a, b, c) for a, c in ground for b in (-0.5, crest if ridge else top)]))
    faces: list[tuple[Points, Picture]] = []
    for k, print_ in enumerate(sides):
        (x0, z0), (x1, z1) = ground[k], ground[(k + 1) % 4]
        faces.append((np.array([(x0, top, z0), (x1, top, z1), (x1, -top, z1), (x0, -top, z0)]), print_))
    roof = _roof(sheet, cap)
    if ridge:
        faces.append((np.array([(-x, crest, 0), (x, crest, 0), (x, top, z), (-x, top, z)]), roof))
        faces.append((np.array([(x, crest, 0), (-x, crest, 0), (-x, top, -z), (x, top, -z)]), roof))
        gable = sides[1][: max(2, sides[1].shape[0] // 12)]
        faces.append((np.array([(x, crest, 0.01), (x, crest, -0.01), (x, top, -z), (x, top, z)]), gable))
        faces.append((np.array([(-x, crest, -0.01), (-x, crest, 0.01), (-x, top, z), (-x, top, -z)]), gable))
    else:
        faces.append((np.array([(-x, top, -z), (x, top, -z), (x, top, z), (-x, top, z)]), roof))
    _draw(canvas, faces)
    return canvas.picture()


def _roof(sheet: Picture, cap: Rgb | None) -> Picture:
    """Return the print of a carton's top: what its front ends in above, with a screw cap or none."""
    roof = np.ascontiguousarray(cv2.resize(sheet[: max(2, sheet.shape[0] // 10), : sheet.shape[1] // 3], (160, 100)))
    if cap is not None:
        cv2.circle(roof, (80, 50), 26, tuple(c * 0.7 for c in cap), -1, cv2.LINE_AA)
        cv2.circle(roof, (80, 45), 25, cap, -1, cv2.LINE_AA)
    return roof


def _draw(canvas: Canvas, faces: Sequence[tuple[Points, Picture]]) -> None:
    """Draw the faces that look at the camera, far ones first."""
    seen = []
    for corners, print_ in faces:
        normal = np.cross(corners[3] - corners[0], corners[1] - corners[0])
        normal = normal / (np.linalg.norm(normal) or 1.0)
        middle = canvas.view.seen(corners.mean(0)[None])[0]
        eye = np.array([0, 0, canvas.view.distance]) - middle
        if float(canvas.view.turn @ normal @ eye) > 0:
            seen.append((float(middle[2]), corners, print_, normal))
    for _, corners, print_, normal in sorted(seen, key=lambda face: face[0]):
        canvas.face(corners, print_, normal)


def _turned(
    body: str, label: Image.Image, colours: tuple[Rgb, Rgb, Rgb], accent: Rgb, height: float, rng: Random
) -> tuple[Picture, Points]:
    """Return the skin of a round body (its height as rows, once round as columns), and (n, 2) height and radius."""
    ground = rng.choice((colours[0], colours[1], (225, 225, 228), (60, 70, 60), (150, 90, 40)))
    skin = Image.new("RGB", (768, round(768 / (2 * np.pi) * height)), ground)
    lid = accent if body != "can" else (190, 192, 196)
    match body:
        case "can":
            steps, low, high, closed = [(0, 0.93), (0.03, 1), (0.96, 1), (1, 0.9)], 0.03, 0.96, 0.97
        case "jar":
            steps, low, high, closed = [(0, 0.95), (0.04, 1), (0.74, 1), (0.8, 0.9), (1, 0.9)], 0.12, 0.7, 0.8
        case _:
            neck = rng.uniform(0.28, 0.45)
            shoulder = rng.uniform(0.55, 0.72)
            steps = [(0, 0.95), (0.03, 1), (shoulder, 1), (shoulder + 0.18, neck), (0.9, neck), (1, neck * 1.1)]
            low, high, closed = rng.uniform(0.06, 0.2), shoulder - 0.03, 0.9
    rows = [round(skin.height * (1 - share)) for share in (high, low, closed)]
    skin.paste(label.resize((skin.width, max(1, rows[1] - rows[0]))), (0, rows[0]))
    ImageDraw.Draw(skin).rectangle((0, 0, skin.width, rows[2]), fill=lid)
    return np.asarray(skin), np.array(steps, float)


def _revolved(skin: Picture, profile: Points, height: float, view: View) -> Picture:
    """Draw a body of revolution, seen from far away; radius 1 is its widest."""
    yaw = np.arctan2(view.turn[2, 0], view.turn[2, 2])
    sin, cos = view.turn[2, 1], np.sqrt(max(0.0, 1 - view.turn[2, 1] ** 2))
    size = SIDE_PX * OVERSAMPLE
    canvas = Canvas(view, np.array([(0.0, -0.5, 0.0), (0.0, 0.5, 0.0)]))
    span = max(2.0, height * cos + 2 * abs(sin)) / 0.94
    across = (np.arange(size) + 0.5) / size * span - span / 2
    x, y = np.meshgrid(across, -across)
    share = np.clip(y / max(cos, 0.2) / height + 0.5, 0, 1)
    for _ in range(6):  # the height at which this ray meets the wall, by repeated correction
        radius = np.interp(share, profile[:, 0], profile[:, 1])
        depth = np.sqrt(np.clip(radius**2 - x**2, 0, None))
        share = (y + depth * sin) / max(cos, 0.2) / height + 0.5
        wall = (share >= 0) & (share <= 1) & (np.abs(x) < radius)
        share = np.clip(share, 0, 1)
    angle = np.arctan2(x, depth)
    column = ((angle - yaw) / (2 * np.pi) % 1 * skin.shape[1]).astype(np.float32)
    row = ((1 - share) * (skin.shape[0] - 1)).astype(np.float32)
    shine = 0.45 + 0.65 * np.clip(np.sin(angle) * view.lamp[0] + np.cos(angle) * view.lamp[2], 0, None)
    drawn = cv2.remap(skin, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP) * shine[:, :, None]
    rim = profile[-1, 1] if sin >= 0 else profile[0, 1]
    middle = height / 2 * cos * (1 if sin >= 0 else -1)
    lid = (x / rim) ** 2 + ((y - middle) / max(rim * abs(sin), 1e-3)) ** 2 <= 1
    canvas.paint(wall, drawn.astype(np.float32))
    colour = skin[2 if sin >= 0 else -3, 0].astype(np.float32) * np.float32(view.shade(np.array([0, 1.0, 0])))
    canvas.paint(lid, np.broadcast_to(colour, (size, size, 3)).astype(np.float32))
    return canvas.picture()


def render(out: Path, families: int, after: int, worker: int, workers: int) -> None:
    """Draw this worker's share of so many families `after` some; products that are there already are passed over."""
    for family in range(after, after + families)[worker::workers]:
        for variety in range(VARIETIES):
            folder = out / f"pack{family:04d}-{FIRST_SEED + variety}"
            if (folder / f"{VIEWS - 1}.png").exists():
                continue
            folder.mkdir(parents=True, exist_ok=True)
            draw = package(family, variety)
            for view in range(VIEWS):
                picture = draw(view_of(Random(f"pack/{family}/{variety}/{view}")))
                half = folder / f".{view}.png"  # a picture that is there is whole
                Image.fromarray(picture, "RGBA").save(half)
                half.replace(folder / f"{view}.png")
