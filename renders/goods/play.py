"""Models toys, books and instruments."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageOps

from renders import labels, palette, parts, patterns, shapes
from renders.kit import Facts, Kit
from renders.materials import Material, coat
from renders.palette import WOODS

TITLES = (
    ("The Quiet", "Harbour"), ("Salt", "& Thyme"), ("Nine", "Winters"), ("A Map of", "Clouds"),
    ("Paper", "Moons"), ("Slow", "Bread"), ("The Fox", "Upstairs"), ("Small", "Gardens"),
    ("Northern", "Light"), ("On Foot", "to Nowhere"), ("Blue", "Hours"), ("Tidal", "Songs"),
)  # fmt: skip
AUTHORS = ("M. Aldane", "Ines Korva", "T. Ruisdal", "Ada Wrenn", "J. Okabe", "Lio Marsh", "Pia Tundell")
# Length, height of the body, height of the cabin, where it starts and ends along the car.
CARS: dict[str, tuple[float, float, float, float, float]] = {
    "car": (1.0, 0.24, 0.2, -0.3, 0.26),
    "van": (1.0, 0.3, 0.26, -0.48, 0.34),
    "pickup": (1.1, 0.25, 0.22, -0.08, 0.3),
    "bus": (1.2, 0.34, 0.26, -0.48, 0.48),
    "racer": (1.1, 0.16, 0.14, -0.2, 0.1),
}


def book(kit: Kit) -> Facts:
    """A hardback or a paperback, standing."""
    w, h, t = kit.between(0.6, 0.85), 1.0, kit.between(0.1, 0.26)
    title = TITLES[(kit.seed * 5 + kit.rng.randrange(2)) % len(TITLES)]
    author = kit.rng.choice(AUTHORS)
    front = labels.cover(kit.rng, kit.paints, title, author, (480, int(480 * h / w)))
    back = patterns.paint("plain", kit.rng, kit.paints, 480, front.height)
    labels.stamp(back, kit.rng, kit.brand, (kit.main.rgb, kit.accent.rgb), 1, 0.15, 0.08)
    spine = Image.new("RGB", (front.height, 120), kit.main.rgb)
    labels.stamp(spine, kit.rng, " ".join(title), (kit.main.rgb, kit.accent.rgb), 1, 0.5, 0.5)
    # The spine is seen from outside, where the sheet's u runs from right to left.
    spine = ImageOps.mirror(spine.rotate(-90, expand=True))
    gloss = kit.one("card", "gloss", "canvas")
    thick = 0.03
    for y, face, sign in ((-t / 2, front, -1), (t / 2, back, 1)):
        board = parts.slab(shapes.rounded_rect(w, h, 0.01), thick, 0.008, coat(gloss, kit.main.rgb), coat(gloss, face))
        parts.place(board, (0, y - sign * thick, h / 2), (90, 0, 0) if sign < 0 else (90, 0, 180))
    leaves = patterns.paint("stripes", kit.rng, ((240, 234, 218), (226, 218, 198), (0, 0, 0)), 64, 256).rotate(
        90, expand=True
    )
    parts.box(
        (w * 0.95, t - 2 * thick + 0.004, h * 0.95), 0.004, coat("paper", leaves, (6.0, 1.0)), (0.0, 0, h * 0.025)
    )
    curve = np.asarray(
        [(-w / 2 + 0.012 - 0.04 * math.cos(a), t / 2 * math.sin(a)) for a in np.linspace(math.pi / 2, -math.pi / 2, 10)]
    )
    rings = np.asarray([shapes.lift(curve, z) for z in (0.0, h)])
    parts.thicken(parts.loft(rings[:, ::1], coat(gloss, spine), sheet=True, across=np.asarray([0.0, 1.0])), 0.012)
    return Facts(f"book “{' '.join(title)}” by {author}", "paper")


def plush(kit: Kit) -> Facts:
    """A soft animal that sits: bear, rabbit, elephant, duck or cat, with a scarf or a bow."""
    kind = kit.one("bear", "rabbit", "elephant", "duck", "cat")
    picture, word = kit.pattern("plain plain plain dots stripes petals stars", 512, 256)
    fur = coat("plush", picture)
    light = coat("plush", kit.second.rgb)
    dark = coat("gloss", (20, 18, 18))
    fat = kit.between(0.9, 1.15)
    parts.ball(0.34, fur, (0, 0, 0.32), (fat, 0.92, 1.0))
    parts.ball(0.22, light, (0, -0.17, 0.3), (fat, 0.72, 1.05))
    head = kit.between(0.25, 0.31)
    top = 0.62 + head * 0.72
    parts.ball(head, fur, (0, -0.02, top), (1.08, 0.96, 0.95))
    for x in (-1, 1):
        parts.ball(0.034, dark, (x * head * 0.42, -head * 0.92, top + head * 0.16))
        if kind != "duck":
            parts.place(parts.ball(0.12, fur, (0, 0, 0), (1, 1, 1.9)), (x * 0.33 * fat, -0.1, 0.42), (25, x * -32, 0))
        foot = parts.ball(0.14, light if kit.chance(0.4) else fur, (0, 0, 0), (0.85, 1.5, 0.75))
        parts.place(foot, (x * 0.21, -0.32, 0.11), (0, 0, x * 18))
        _ear(kind, x, (head, top, fat), (fur, light))
    if kind == "elephant":
        trunk = shapes.smooth(
            [
                (0, -head * 0.85, top - 0.02),
                (0, -head * 1.35, top - 0.12),
                (0, -head * 1.4, top - 0.32),
                (0, -head * 1.7, top - 0.36),
            ],
            20,
        )
        parts.tube(trunk, 0.075, fur, sizes=np.linspace(1.1, 0.6, 20))
    elif kind == "duck":
        parts.ball(0.12, coat("satin", (238, 140, 30)), (0, -head * 1.05, top - 0.03), (1.1, 1.1, 0.4))
    else:
        parts.ball(head * 0.42, light, (0, -head * 0.78, top - head * 0.26), (1.1, 0.7, 0.8))
        parts.ball(0.045, dark, (0, -head * 1.08, top - head * 0.12), (1.2, 0.7, 0.8))
    _neckwear(kit)
    return Facts(f"plush {kind}", "plush", word)


def _ear(kind: str, x: int, size: shapes.Triple, made_of: tuple[Material, Material]) -> None:
    """Give an animal the ear (a duck: the wing) of one side; `size` is its head's radius, its height, how fat it is."""
    (head, top, fat), (fur, light) = size, made_of
    match kind:
        case "bear":
            parts.ball(head * 0.4, fur, (x * head * 0.82, 0, top + head * 0.72), (1, 0.5, 1))
            parts.ball(head * 0.24, light, (x * head * 0.82, -head * 0.16, top + head * 0.72), (1, 0.4, 1))
        case "rabbit":
            parts.place(
                parts.ball(head * 0.36, fur, (0, 0, 0), (0.8, 0.45, 2.4)),
                (x * head * 0.45, 0, top + head * 1.45),
                (0, x * 14, 0),
            )
            parts.place(
                parts.ball(head * 0.2, light, (0, 0, 0), (0.8, 0.4, 2.9)),
                (x * head * 0.45, -head * 0.12, top + head * 1.45),
                (0, x * 14, 0),
            )
        case "elephant":
            parts.ball(head * 0.72, fur, (x * head * 1.15, 0.03, top + 0.02), (0.9, 0.22, 1.05))
        case "cat":
            cone = parts.lathe(shapes.smooth([(0.13, 0), (0.07, 0.12), (0.0, 0.2)], 10), fur)
            parts.place(cone, (x * head * 0.55, 0, top + head * 0.66), (0, x * 22, 0))
        case _:
            parts.place(parts.ball(0.2, fur, (0, 0, 0), (0.4, 1.1, 0.7)), (x * 0.35 * fat, 0.05, 0.38), (-20, 0, 0))


def _neckwear(kit: Kit) -> None:
    """Tie a scarf or a bow round a neck."""
    picture, _ = kit.pattern("stripes plaid dots plain", 512, 64)
    cloth = coat("knit", kit.accent.rgb if kit.chance(0.4) else picture)
    if kit.chance(0.6):
        parts.tube(shapes.arc((0, -0.01, 0.62), 0.2, 0, 352, 32, "xy"), 0.055, cloth, loop=True)
        if kit.chance(0.6):
            parts.tube(
                shapes.smooth([(0.08, -0.22, 0.62), (0.12, -0.31, 0.45), (0.12, -0.33, 0.28)], 12),
                0.06,
                cloth,
                flat=0.4,
            )
    else:
        for x in (-1, 1):
            parts.ball(0.09, cloth, (x * 0.09, -0.26, 0.6), (1.2, 0.5, 0.8))
        parts.ball(0.045, cloth, (0, -0.29, 0.6))


def car(kit: Kit) -> Facts:
    """A toy car, van, bus or pick-up."""
    style = kit.one("car", "van", "pickup", "bus", "racer")
    long, low, roof, start, end = CARS[style]
    wide = 0.46
    wheel_r = kit.between(0.11, 0.15)
    picture, word = kit.pattern("plain gradient pinstripes dots checks stars plain bands petals", 768, 256)
    paint = coat(kit.one("gloss", "satin", "enamel"), picture)
    roof_paint = coat("gloss", kit.second.rgb if kit.chance(0.6) else kit.main.rgb)
    base = wheel_r * 0.8
    parts.slab(
        shapes.rounded_rect(long, wide, kit.between(0.08, 0.16), 6),
        low,
        0.06,
        paint,
        roof_paint if kit.chance(0.3) else None,
        (0, 0, base),
    )
    glass = coat("glass", (60, 80, 96))
    lean = kit.between(0.04, 0.12) if style != "bus" else 0.01
    z = base + low - 0.02
    for scale, bottom, top, material in ((1.0, 0.0, roof * 0.8, glass), (0.99, roof * 0.76, roof, roof_paint)):
        rings = []
        for t in (bottom, top * 0.98, top):
            a, b = start * long + lean * t / roof, end * long - lean * 1.6 * t / roof
            outline = shapes.rounded_rect(b - a, wide * (0.9 - 0.12 * t / roof) * scale, 0.06, 5) * (
                1 if t < top else 0.97
            )
            rings.append(shapes.lift(outline, z + t, 1.0, ((a + b) / 2, 0)))
        parts.loft(np.asarray(rings), material, (True, True))
    for x in np.linspace(start * long * 0.85, end * long * 0.75, 4 if style in {"bus", "van"} else 2):
        parts.box((0.035, wide * 0.92, roof * 0.9), 0.01, roof_paint, (float(x), 0, z))
    _wheels_and_lights(kit, (long, wide, base + low * 0.6), base, wheel_r)
    if style in {"van", "bus", "car"} and kit.chance(0.4):
        parts.box((0.4, wide * 0.6, 0.05), 0.015, coat("wood", WOODS["oak"]), (0.0, 0, z + roof + 0.005))
    return Facts({"pickup": "toy pick-up", "racer": "toy racing car"}.get(style, f"toy {style}"), "metal", word)


def _wheels_and_lights(kit: Kit, size: shapes.Triple, base: float, wheel_r: float) -> None:
    """Put a car of (length, width, height of its lights) on wheels, with bumpers."""
    long, wide, lamp_z = size
    tyre, hub = coat("rubber", (32, 32, 34)), coat("gloss", kit.accent.rgb)
    for x in (-long * 0.3, long * 0.3):
        for y in (-1, 1):
            parts.place(parts.disc(wheel_r, 0.1, 0.03, tyre), (x, y * wide * 0.46, wheel_r), (90 * -y, 0, 0))
            parts.place(parts.disc(wheel_r * 0.55, 0.11, 0.02, hub), (x, y * wide * 0.46, wheel_r), (90 * -y, 0, 0))
    for y in (-1, 1):
        parts.ball(0.05, coat("gloss", (255, 246, 214)), (long / 2 - 0.02, y * wide * 0.32, lamp_z), (0.5, 1, 1))
        parts.ball(0.04, coat("gloss", (190, 30, 28)), (-long / 2 + 0.015, y * wide * 0.34, lamp_z), (0.5, 1, 1))
    for x in (-long / 2, long / 2):
        parts.box((0.05, wide * 0.96, 0.06), 0.02, coat("chrome", palette.STEEL), (x, 0, base + 0.02))


def drum(kit: Kit) -> Facts:
    """A drum with hoops, lugs or ropes, and sticks or none."""
    r, h = 0.45, kit.between(0.3, 0.9)
    slim = kit.rng.choice((1.0, 1.0, 0.75))
    picture, word = kit.pattern(
        "triangles plain stripes chevron dots blocks waves gradient diagonal stars",
        900,
        300,
    )
    parts.lathe(
        shapes.smooth([(r * slim, 0), (r * (1 + slim) / 2, h / 2), (r, h)], 12),
        coat(kit.one("gloss", "satin", "enamel"), picture),
        64,
    )
    hoop = coat("chrome", palette.STEEL) if kit.chance(0.5) else coat("wood", patterns.wood(kit.rng, WOODS["oak"]))
    skin = coat("paper", (244, 238, 222) if kit.chance(0.7) else kit.second.rgb)
    for z, wide in ((0.0, slim), (h - 0.06, 1.0)):
        parts.lathe(
            shapes.fillet(
                [(r * wide, z), (r * wide + 0.03, z), (r * wide + 0.03, z + 0.08), (r * wide - 0.01, z + 0.08)], 0.015
            ),
            hoop,
            64,
        )
    parts.disc(r, 0.02, 0.008, skin, (0, 0, h - 0.01))
    count = kit.rng.choice((6, 8, 10))
    lug = coat("chrome", palette.BRASS if kit.chance(0.5) else palette.STEEL)
    ropes = kit.chance(0.4)
    for x, y in shapes.around(count, 1.0):
        if ropes:
            _rope((x, y), math.pi / count, (r, r * slim, h))
        else:
            middle = r * (1 + slim) / 2 * 1.04
            parts.box((0.05, 0.05, h * 0.4), 0.015, lug, (x * middle, y * middle, h * 0.3))
    if kit.chance(0.4):
        for k in range(2):
            stick = np.linspace((-0.4, -0.1 + 0.1 * k, h + 0.03), (0.45, 0.05 + 0.1 * k, h + 0.03), 6)
            parts.tube(stick, 0.022, coat("wood", WOODS["pine"]), sizes=np.asarray([1.0, 1.0, 0.95, 0.85, 0.7, 1.2]))
    return Facts("snare drum" if h < 0.5 else "hand drum", "wood", word)


def _rope(at: shapes.Pair, turn: float, size: shapes.Triple) -> None:
    """Tie a rope down to both sides of a drum of (upper radius, lower radius, height)."""
    (x, y), (r, low, h) = at, size
    for angle in (turn, -turn):
        end_x, end_y = x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
        line = np.linspace((x * r * 1.04, y * r * 1.04, h - 0.05), (end_x * low * 1.05, end_y * low * 1.05, 0.05), 4)
        parts.tube(line, 0.014, coat("fabric", (238, 230, 210)))


def ukulele(kit: Kit) -> Facts:
    """A ukulele or a small guitar, standing upright."""
    waist, lower, upper = kit.between(0.26, 0.36), kit.between(0.42, 0.52), kit.between(0.32, 0.4)
    knots = [
        (0, 0),
        (lower / 2, 0.04),
        (lower / 2 * 1.04, 0.2),
        (waist / 2, 0.42),
        (upper / 2, 0.58),
        (upper / 2 * 0.7, 0.7),
        (0, 0.73),
    ]
    mirrored = [(-x, z) for x, z in knots[-2:0:-1]]
    outline = shapes.smooth(np.asarray(knots + mirrored), 96, closed=True) - (0, 0.36)
    natural = kit.chance(0.45)
    tone = WOODS[kit.rng.choice(list(WOODS))]
    if natural:
        top_paint, word = patterns.wood(kit.rng, tone, 512, 512).rotate(90), ""
    else:
        top_paint, word = kit.pattern("plain gradient petals waves leaves dots stars triangles marble", 512, 512)
    gloss = kit.one("gloss", "satin", "gloss")
    side = coat(gloss, tone if natural else kit.main.rgb)
    parts.place(parts.slab(outline, 0.17, 0.02, side, coat(gloss, top_paint)), (0, 0.085, 0.36), (90, 0, 0))
    dark = coat("satin", (52, 34, 26))
    parts.place(parts.disc(0.085, 0.006, 0.002, coat("matte", (18, 14, 12))), (0, -0.086, 0.47), (90, 0, 0))
    parts.place(
        parts.tube(shapes.arc((0, 0, 0), 0.098, 0, 352, 40, "xy"), 0.01, coat("satin", kit.accent.rgb), loop=True),
        (0, -0.087, 0.47),
        (90, 0, 0),
    )
    parts.box((0.2, 0.03, 0.04), 0.01, dark, (0, -0.095, 0.2))
    _neck(kit.between(0.5, 0.7), dark, coat(gloss, tone if natural else kit.second.rgb))
    return Facts("ukulele", "wood", word)


def _neck(neck: float, dark: Material, head: Material) -> None:
    """Add a neck of that length with its frets, strings and pegs."""
    parts.box((0.085, 0.05, neck), 0.015, dark, (0, -0.08, 0.68))
    parts.box((0.15, 0.045, 0.2), 0.015, head, (0, -0.07, 0.68 + neck))
    steel, cord = coat("chrome", palette.STEEL), coat("satin", (240, 240, 236))
    for k in range(9):
        parts.box((0.087, 0.006, 0.006), 0.001, steel, (0, -0.107, 0.74 + neck * 0.95 * k / 9))
    for x in (-0.027, -0.009, 0.009, 0.027):
        parts.tube(np.linspace((x, -0.115, 0.22), (x, -0.112, 0.7 + neck), 3), 0.004, cord)
    for x in (-1, 1):
        for z in (0.05, 0.13):
            parts.ball(0.026, steel, (x * 0.095, -0.05, 0.68 + neck + z))
