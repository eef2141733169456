"""Draws what is printed on goods: brand marks, wrap-round labels, cartons and covers. Pillow only."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFont

from renders import patterns
from renders.palette import Rgb, contrast

# Open fonts from Debian (renders/README.md names the packages); a missing one is passed over.
FONT_FILES: tuple[str, ...] = (
    "truetype/dejavu/DejaVuSans-Bold.ttf",
    "truetype/dejavu/DejaVuSerif-Bold.ttf",
    "opentype/lobster/lobster.otf",
    "truetype/comfortaa/Comfortaa-Bold.ttf",
    "opentype/roboto/slab/RobotoSlab-Bold.otf",
    "opentype/yanone-kaffeesatz/YanoneKaffeesatz-Bold.otf",
    "opentype/cabin/Cabin-Bold.otf",
    "truetype/dejavu/DejaVuSansCondensed-BoldOblique.ttf",
)
FONT_ROOT = Path("/usr/share/fonts")
BRANDS: tuple[str, ...] = (
    "Norvik", "Telluna", "Brimsa", "Ovanta", "Kestrelle", "Lumbra", "Fjelle", "Pomello", "Zubra", "Quillo",
    "Marnok", "Sorvane", "Tildy", "Wexby", "Aruvo", "Dapplo", "Hesk", "Minuva", "Ploma", "Rundal",
)  # fmt: skip
Colours = tuple[Rgb, Rgb, Rgb]


@functools.cache
def fonts() -> tuple[str, ...]:
    """Return the font files that this machine has."""
    found = tuple(str(FONT_ROOT / name) for name in FONT_FILES if (FONT_ROOT / name).exists())
    if not found:
        raise FileNotFoundError(f"no fonts under {FONT_ROOT}: see renders/README.md for the packages")
    return found


def on(paper: Rgb, wanted: Rgb) -> Rgb:
    """Return `wanted` if it reads well on `paper`, else black or white."""
    if contrast(paper, wanted) > 0.3:
        return wanted
    return (28, 28, 30) if contrast(paper, (28, 28, 30)) > contrast(paper, (250, 250, 248)) else (250, 250, 248)


def text(
    draw: ImageDraw.ImageDraw, words: str, centre: tuple[float, float], room: tuple[float, float], font: str, ink: Rgb
) -> None:
    """Write words as large as `room` (width, height in pixels) lets them."""
    size = max(6, int(room[1]))
    face = ImageFont.truetype(font, size)
    left, top, right, bottom = draw.textbbox((0, 0), words, font=face)
    shrink = min(1.0, room[0] / max(right - left, 1), room[1] / max(bottom - top, 1))
    face = ImageFont.truetype(font, max(6, int(size * shrink)))
    draw.text(centre, words, font=face, fill=ink, anchor="mm")


def mark(draw: ImageDraw.ImageDraw, kind: int, centre: tuple[float, float], r: float, ink: Rgb, paper: Rgb) -> None:
    """Draw one of eight brand marks of radius `r` pixels."""
    x, y = centre

    def dot(dx: float, dy: float, size: float, fill: Rgb) -> None:
        draw.ellipse((x + dx - size, y + dy - size, x + dx + size, y + dy + size), fill=fill)

    def star(points: int, depth: float) -> None:
        reach = [r if k % 2 == 0 else r * depth for k in range(2 * points)]
        turn = [k * math.pi / points - math.pi / 2 for k in range(2 * points)]
        draw.polygon([(x + a * math.cos(t), y + a * math.sin(t)) for a, t in zip(reach, turn, strict=True)], fill=ink)

    match kind % 8:
        case 0:
            dot(0, 0, r, ink)
            dot(0, 0, r * 0.55, paper)
        case 1:
            star(5, 0.45)
        case 2:
            draw.polygon([(x - r, y + r * 0.8), (x, y - r), (x + r, y + r * 0.8)], fill=ink)
            draw.polygon([(x - r * 0.4, y + r * 0.8), (x, y), (x + r * 0.4, y + r * 0.8)], fill=paper)
        case 3:
            star(12, 0.7)
            dot(0, 0, r * 0.4, paper)
        case 4:
            for k in range(6):
                dot(math.cos(k * 1.047) * r * 0.62, math.sin(k * 1.047) * r * 0.62, r * 0.4, ink)
        case 5:
            draw.rectangle((x - r, y - r, x + r, y + r), fill=ink)
            dot(r * 0.0, 0, r * 0.6, paper)
        case 6:
            draw.pieslice((x - r, y - r, x + r, y + r), 180, 360, fill=ink)
            draw.pieslice((x - r, y - r * 0.4, x + r, y + r * 1.6), 180, 360, fill=paper)
        case _:
            dot(-r * 0.4, 0, r * 0.6, ink)
            dot(r * 0.4, 0, r * 0.6, ink)
            dot(0, 0, r * 0.25, paper)


def wrap(
    rng: Random, colours: Colours, words: Sequence[str], faces: int, width: int = 768, height: int = 384
) -> Image.Image:
    """Return a label that goes round: `faces` panels with the words, so that each side shows some."""
    kind = rng.choice(
        ("plain", "plain", "bands", "diagonal", "dots", "petals", "leaves", "blocks", "gradient", "waves", "marble")
    )
    sheet = patterns.paint(kind, rng, colours, width, height)
    draw = ImageDraw.Draw(sheet)
    plate, font, layout = rng.choice((colours[1], colours[2], (250, 248, 240))), rng.choice(fonts()), rng.randrange(4)
    if kind == "plain":
        band = rng.choice((0.12, 0.2, 0.3))
        draw.rectangle((0, height * (1 - band), width, height), fill=colours[1])
        draw.rectangle((0, 0, width, height * band * rng.choice((0.0, 0.4, 1.0))), fill=colours[2])
        plate = rng.choice((plate, colours[0]))
    sign = rng.randrange(8)
    for k in range(faces):
        panel(
            draw,
            ((k + 0.5) * width / faces, height / 2),
            (width / faces, height),
            words,
            (plate, colours[2]),
            font,
            layout,
            sign,
        )
    return sheet


def panel(
    draw: ImageDraw.ImageDraw,
    centre: tuple[float, float],
    room: tuple[float, float],
    words: Sequence[str],
    inks: tuple[Rgb, Rgb],
    font: str,
    layout: int,
    sign: int,
) -> None:
    """Draw one panel of a label: a plate, the brand mark, the brand and what is inside."""
    (x, y), (w, h), plate = centre, room, inks[0]
    w, h = w * 0.8, h * 0.72
    shape = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    if layout == 0:
        draw.rounded_rectangle(shape, radius=min(w, h) * 0.12, fill=plate)
    elif layout == 1:
        draw.ellipse(shape, fill=plate)
        w, h = w * 0.78, h * 0.8
    elif layout == 2:
        draw.rectangle((x - w / 2 * 1.25, y - h * 0.3, x + w / 2 * 1.25, y + h * 0.3), fill=plate)
        h *= 0.62
    else:
        draw.rectangle(shape, fill=plate)
        draw.rectangle(
            (shape[0] + w * 0.05, shape[1] + h * 0.05, shape[2] - w * 0.05, shape[3] - h * 0.05),
            outline=on(plate, inks[1]),
            width=3,
        )
    ink = on(plate, inks[1])
    mark(draw, sign, (x, y - h * 0.27), min(w, h) * 0.17, ink, plate)
    text(draw, words[0], (x, y + h * 0.08), (w * 0.84, h * 0.28), font, ink)
    if len(words) > 1:
        text(draw, words[1], (x, y + h * 0.33), (w * 0.8, h * 0.14), font, on(plate, (60, 60, 60)))


def stamp(
    sheet: Image.Image, rng: Random, words: str, inks: tuple[Rgb, Rgb], faces: int, at: float = 0.5, share: float = 0.3
) -> Image.Image:
    """Write words `faces` times round a picture, at height `at` (0 is the top), in the `inks` of plate and words."""
    draw, font = ImageDraw.Draw(sheet), rng.choice(fonts())
    plate, ink = inks[0], on(*inks)
    for k in range(faces):
        middle = ((k + 0.5) * sheet.width / faces, sheet.height * at)
        half = (sheet.width / faces * 0.44, sheet.height * share * 0.85)
        corners = (middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1])
        draw.rounded_rectangle(corners, radius=half[1] * 0.4, fill=plate)
        text(draw, words, middle, (sheet.width / faces * 0.8, sheet.height * share), font, ink)
    return sheet


def carton(rng: Random, colours: Colours, words: Sequence[str], size: tuple[float, float, float]) -> Image.Image:
    """Return the four sides of a carton of (width, depth, height) in one sheet, the front first."""
    width, depth, height = size
    scale = 900 / (2 * width + 2 * depth)
    sheet_w, sheet_h = 900, int(height * scale)
    kind = rng.choice(
        ("plain", "gradient", "diagonal", "dots", "blocks", "petals", "leaves", "waves", "stars", "triangles", "bands")
    )
    sheet = patterns.paint(kind, rng, colours, sheet_w, sheet_h)
    draw, font, sign = ImageDraw.Draw(sheet), rng.choice(fonts()), rng.randrange(8)
    layout, plate = rng.randrange(4), rng.choice((colours[1], colours[2], (250, 248, 240)))
    if kind == "plain":
        draw.rectangle((0, sheet_h * rng.uniform(0.55, 0.8), sheet_w, sheet_h), fill=colours[1])
    for left, side in ((0.0, width), (width + depth, width)):
        centre = ((left + side / 2) * scale, sheet_h * 0.42)
        panel(draw, centre, (side * scale, sheet_h * 0.75), words, (plate, colours[2]), font, layout, sign)
        picture(draw, rng.randrange(5), ((left + side / 2) * scale, sheet_h * 0.83), side * scale * 0.2, colours)
    for left in (width, 2 * width + depth):
        _small_print(draw, (left * scale, 0, (left + depth) * scale, sheet_h), words, font, colours)
    return sheet


def _small_print(
    draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], words: Sequence[str], font: str, colours: Colours
) -> None:
    """Draw a carton's narrow side: the brand, a table of contents and bars."""
    left, top, right, bottom = box
    w, h = right - left, bottom - top
    text(draw, words[0], (left + w / 2, top + h * 0.12), (w * 0.8, h * 0.1), font, on(colours[0], colours[1]))
    draw.rectangle((left + w * 0.12, top + h * 0.22, right - w * 0.12, top + h * 0.62), fill=(248, 248, 246))
    for k in range(9):
        y = top + h * (0.25 + 0.04 * k)
        draw.rectangle((left + w * 0.18, y, right - w * (0.2 + 0.25 * (k % 3 == 1)), y + h * 0.012), fill=(70, 70, 70))
    draw.rectangle((left + w * 0.15, top + h * 0.78, right - w * 0.15, top + h * 0.92), fill=(250, 250, 250))
    for k in range(14):
        x = left + w * (0.2 + 0.6 * k / 14)
        draw.rectangle((x, top + h * 0.8, x + w * (0.01 + 0.012 * (k % 3)), top + h * 0.9), fill=(20, 20, 20))


def picture(draw: ImageDraw.ImageDraw, kind: int, centre: tuple[float, float], r: float, colours: Colours) -> None:
    """Draw what is inside: a bowl, fruit, a leaf, rings or a sun."""
    (x, y), (one, two) = centre, (colours[1], colours[2])
    match kind:
        case 0:
            draw.pieslice((x - r * 1.6, y - r * 1.4, x + r * 1.6, y + r * 1.4), 0, 180, fill=one)
            for k in range(7):
                dx = (k - 3) * r * 0.4
                draw.ellipse((x + dx - r * 0.3, y - r * 0.5, x + dx + r * 0.3, y + r * 0.1), fill=two)
        case 1:
            for dx, dy in ((-0.7, 0.2), (0.7, 0.2), (0, -0.5)):
                box = (x + r * (dx - 0.65), y + r * (dy - 0.65), x + r * (dx + 0.65), y + r * (dy + 0.65))
                draw.ellipse(box, fill=two)
        case 2:
            for turn in (-0.5, 0.3, 1.1):
                draw.polygon(
                    [
                        (
                            x + math.cos(turn + t) * r * (1.5 if t == 0 else 0.5),
                            y + math.sin(turn + t) * r * (1.5 if t == 0 else 0.5),
                        )
                        for t in (0.0, 0.9, 3.14, -0.9)
                    ],
                    fill=one,
                )
        case 3:
            for k in range(3):
                dx = (k - 1) * r * 0.9
                draw.ellipse(
                    (x + dx - r * 0.6, y - r * 0.6, x + dx + r * 0.6, y + r * 0.6),
                    outline=two,
                    width=max(4, int(r * 0.25)),
                )
        case _:
            mark(draw, 3, centre, r * 1.2, two, one)


def cover(rng: Random, colours: Colours, title: Sequence[str], author: str, size: tuple[int, int]) -> Image.Image:
    """Return a book's front cover of `size` pixels."""
    kind = rng.choice(
        ("plain", "blocks", "waves", "dots", "triangles", "gradient", "leaves", "petals", "stars", "marble", "diagonal")
    )
    sheet = patterns.paint(kind, rng, colours, *size)
    draw, font = ImageDraw.Draw(sheet), rng.choice(fonts())
    w, h = size
    top = rng.choice((0.1, 0.3, 0.55))
    plate = rng.choice((colours[0], colours[1], (246, 242, 230)))
    draw.rectangle((w * rng.choice((0.0, 0.1)), h * top, w * rng.choice((0.9, 1.0)), h * (top + 0.34)), fill=plate)
    for k, line in enumerate(title):
        text(draw, line, (w / 2, h * (top + 0.1 + 0.14 * k)), (w * 0.72, h * 0.12), font, on(plate, colours[2]))
    text(draw, author, (w / 2, h * 0.95), (w * 0.6, h * 0.05), font, on(colours[0], colours[1]))
    mark(
        draw,
        rng.randrange(8),
        (w / 2, h * (0.78 if top < 0.5 else 0.25)),
        w * 0.15,
        on(colours[0], colours[2]),
        colours[0],
    )
    return sheet
