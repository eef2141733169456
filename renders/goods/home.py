"""Models things for a room: lamps, clocks, cushions, plants, chairs, stools, speakers."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from renders import labels, palette, parts, patterns, shapes
from renders.kit import POTTERY, TEXTILES, Facts, Kit
from renders.materials import Material, coat
from renders.palette import WOODS


def timber(kit: Kit) -> tuple[Material, str]:
    """Return a wood or a painted wood, and its name."""
    if kit.chance(0.55):
        name = kit.rng.choice(list(WOODS))
        return coat("wood", patterns.wood(kit.rng, WOODS[name]), (2.0, 1.0)), name
    return coat("satin", kit.main.rgb), "painted wood"


def lamp(kit: Kit) -> Facts:
    """A table lamp: a turned, round, tripod or bent-metal base under a shade."""
    style = kit.one("turned", "ball", "tripod", "rod", "block")
    base_h = kit.between(0.4, 0.7)
    finish = kit.one("glaze", "satin", "brushed", "wood")
    rgb = {"brushed": palette.BRASS, "wood": WOODS[kit.rng.choice(list(WOODS))]}.get(finish, kit.main.rgb)
    _foot(kit, style, base_h, coat(finish, patterns.wood(kit.rng, rgb) if finish == "wood" else rgb))
    low, high, tall = kit.between(0.26, 0.42), kit.between(0.14, 0.36), kit.between(0.28, 0.46)
    picture, word = kit.pattern(TEXTILES + " gradient")
    curve = [(low, 0), ((low + high) / 2 * kit.rng.choice((1.0, 1.0, 0.85, 1.15)), tall / 2), (high, tall)]
    shade = shapes.smooth(curve, 12) + np.array([0, base_h - 0.04])
    cloth = coat("canvas", patterns.paint("plain", kit.rng, (kit.second.rgb,) * 3) if kit.chance(0.4) else picture)
    parts.thicken(parts.lathe(shade, cloth, 64), 0.012)
    for ring in (shade[0], shade[-1]):
        parts.tube(
            shapes.arc((0, 0, ring[1]), ring[0], 0, 352, 48, "xy"), 0.01, coat("satin", kit.accent.rgb), loop=True
        )
    parts.ball(0.07, coat("glaze", (255, 250, 235)), (0, 0, base_h + 0.06))
    return Facts("table lamp", "brass" if finish == "brushed" else "wood" if finish == "wood" else "ceramic", word)


def _foot(kit: Kit, style: str, base_h: float, body: Material) -> None:
    """Make what carries a lamp's shade."""
    if style == "turned":
        knots = [
            (0.2, 0),
            (0.2, 0.04),
            (kit.between(0.05, 0.12), base_h * 0.2),
            (kit.between(0.14, 0.24), base_h * 0.5),
            (0.04, base_h * 0.85),
            (0.04, base_h),
        ]
        parts.lathe(np.vstack([[[0, 0]], shapes.smooth(knots, 40)]), body)
    elif style == "ball":
        picture, _ = kit.pattern(POTTERY)
        belly = [(0.12, 0), (0.27, base_h * 0.35), (0.22, base_h * 0.68), (0.05, base_h * 0.85), (0.04, base_h)]
        parts.lathe(np.vstack([[[0, 0]], shapes.smooth(belly, 30)]), coat("glaze", picture))
    elif style == "tripod":
        for x, y in shapes.around(3, 0.28, 30):
            parts.tube(np.asarray([(x, y, 0), (x * 0.5, y * 0.5, base_h / 2), (0.01, 0, base_h)]), 0.026, body)
    elif style == "rod":
        parts.disc(0.2, 0.04, 0.01, body)
        parts.tube(np.asarray([(0, 0, 0), (0, 0, base_h / 2), (0, 0, base_h)]), 0.022, body)
    else:
        parts.box((0.26, 0.26, base_h * 0.85), 0.03, body)
        parts.tube(
            np.asarray([(0, 0, base_h * 0.8), (0, 0, base_h * 0.9), (0, 0, base_h)]),
            0.025,
            coat("brushed", palette.BRASS),
        )


def clock(kit: Kit) -> Facts:
    """A standing clock: round or square, with bells, feet or a wooden foot."""
    r, thick = 0.42, kit.between(0.12, 0.26)
    form = kit.one("round", "round", "square", "oval")
    outline = {
        "round": shapes.oval(2 * r, 2 * r),
        "square": shapes.rounded_rect(2 * r, 2 * r, kit.between(0.05, 0.2), 6),
        "oval": shapes.oval(2 * r * 1.15, 2 * r * 0.9),
    }[form]
    finish = kit.one("gloss", "satin", "wood", "brushed")
    paint = (
        patterns.wood(kit.rng, WOODS[kit.rng.choice(list(WOODS))])
        if finish == "wood"
        else palette.BRASS
        if finish == "brushed"
        else kit.main.rgb
    )
    case = coat(finish, paint)
    centre = r + 0.07
    parts.place(parts.slab(outline, thick, 0.03, case), (0, thick / 2, centre), (90, 0, 0))
    face = parts.slab(outline * 0.88, 0.02, 0.004, case, coat("gloss", _dial(kit)))
    parts.place(face, (0, -thick / 2 + 0.012, centre), (90, 0, 0))
    hand = coat("satin", labels.on(kit.second.rgb, kit.accent.rgb))
    hour, minute = kit.between(0, 360), kit.between(0, 360)
    for turn, length, width in ((hour, 0.2, 0.045), (minute, 0.3, 0.03)):
        bar = parts.box((width, 0.012, length), 0.005, hand)
        parts.place(bar, (0, -thick / 2 - 0.018, centre), (0, turn, 0))
    parts.place(parts.disc(0.035, 0.03, 0.01, hand), (0, -thick / 2 - 0.01, centre), (90, 0, 0))
    metal = coat("chrome", palette.BRASS if kit.chance(0.5) else palette.STEEL)
    if kit.chance(0.45) and form == "round":
        for x in (-0.22, 0.22):
            bell = parts.lathe(shapes.smooth([(0.15, 0), (0.13, 0.07), (0, 0.11)], 12), metal)
            parts.place(bell, (x, 0, centre + 0.4), (0, x * 150, 0))
        parts.tube(shapes.arc((0, 0, centre + 0.44), 0.14, 10, 170, 16), 0.016, metal)
    for x in (-0.22, 0.22):
        parts.place(parts.disc(0.03, 0.16, 0.01, metal if kit.chance(0.5) else case), (x, 0, 0), (0, -x * 60, 0))
    return Facts("alarm clock" if form == "round" else f"{form} table clock", "wood" if finish == "wood" else "metal")


def _dial(kit: Kit) -> Image.Image:
    """Draw a clock's face: numerals, bars or dots."""
    ground = kit.second.rgb
    side = 512
    sheet = patterns.paint(
        "plain" if kit.chance(0.7) else kit.one("petals", "dots", "marble", "blocks"),
        kit.rng,
        (ground, kit.accent.rgb, kit.main.rgb),
        side,
        side,
    )
    draw, ink, kind, font = (
        ImageDraw.Draw(sheet),
        labels.on(ground, kit.main.rgb),
        kit.one("numerals", "bars", "dots"),
        kit.rng.choice(labels.fonts()),
    )
    for k in range(12):
        angle = math.radians(30 * (k + 1) - 90)
        x, y = side / 2 + math.cos(angle) * side * 0.39, side / 2 + math.sin(angle) * side * 0.39
        if kind == "numerals":
            labels.text(draw, str(k + 1), (x, y), (60, 54), font, ink)
        elif kind == "bars":
            inner = (side / 2 + math.cos(angle) * side * 0.32, side / 2 + math.sin(angle) * side * 0.32)
            draw.line((x, y, *inner), fill=ink, width=14 if k % 3 == 2 else 7)
        else:
            draw.ellipse((x - 13, y - 13, x + 13, y + 13), fill=ink)
    labels.text(draw, kit.brand, (side / 2, side * 0.32), (120, 30), font, ink)
    return sheet


def cushion(kit: Kit) -> Facts:
    """A stuffed cushion with piping or tassels."""
    w, h = 1.0, kit.rng.choice((1.0, 1.0, 0.6, 0.75))
    t = kit.between(0.14, 0.22)
    round_one = kit.chance(0.2)
    rings = []
    for a in np.linspace(-math.pi / 2, math.pi / 2, 22):
        puff = math.cos(a) ** 0.45
        # Corners stay thin and pointed while the middle fills out: the outline itself grows squarer near the seam.
        outline = shapes.oval(w, h, 2.0 if round_one else 2.4 + 5 * puff**3, 64) * max(puff, 0.02)
        rings.append(np.column_stack([outline[:, 0], np.full(64, math.sin(a) * t), outline[:, 1] + h / 2]))
    picture, word = kit.pattern(TEXTILES, 512, 512)
    finish = kit.one("fabric", "knit", "canvas", "terry")
    parts.loft(np.asarray(rings)[:, ::-1], coat(finish, picture), (True, True), flat="xz")
    seam = shapes.oval(w, h, 2.0 if round_one else 7.4, 64)
    path = np.column_stack([seam[:, 0], np.zeros(64), seam[:, 1] + h / 2])
    if kit.chance(0.65):
        parts.tube(path, 0.018, coat("fabric", kit.accent.rgb), loop=True)
    if kit.chance(0.35) and not round_one:
        for x in (-1, 1):
            for z in (0, 1):
                parts.ball(0.05, coat("plush", kit.second.rgb), (x * w * 0.49, 0, z * h * 0.98 + 0.01 * h))
    shape = "round " if round_one else "lumbar " if h < 0.7 else ""
    return Facts(f"{shape}cushion", "knit" if finish == "knit" else "cotton", word)


def plant(kit: Kit) -> Facts:
    """A pot with a cactus, a leafy plant or grass in it."""
    r, h = kit.between(0.26, 0.38), kit.between(0.34, 0.55)
    foot = r * kit.between(0.65, 1.0)
    picture, word = kit.pattern(POTTERY)
    finish = kit.one("glaze", "clay", "stoneware")
    pot = shapes.fillet(
        [
            (0, 0),
            (foot, 0),
            (r * kit.rng.choice((1.0, 1.1)), h * 0.5),
            (r, h),
            (r - 0.03, h),
            (r - 0.04, h - 0.06),
            (0, h - 0.06),
        ],
        0.03,
    )
    parts.lathe(pot, coat(finish, picture))
    parts.disc(r - 0.05, 0.02, 0.004, coat("terry", (60, 42, 30)), (0, 0, h - 0.07))
    green = coat("satin", kit.rng.choice(((58, 112, 60), (92, 140, 70), (40, 84, 64), (120, 160, 96))))
    kind = kit.one("cactus", "leafy", "grass", "succulent")
    if kind == "cactus":
        tall = kit.between(0.4, 0.8)
        rings = shapes.revolve(shapes.smooth([(0.1, 0), (0.17, tall * 0.3), (0.16, tall * 0.7), (0.02, tall)], 24), 72)
        angle = np.arctan2(rings[..., 1], rings[..., 0])
        rings[..., :2] *= 1 + 0.1 * np.abs(np.sin(angle * 6))[..., None]
        parts.place(parts.loft(rings, green), (0, 0, h - 0.06))
        if kit.chance(0.6):
            parts.ball(0.06, coat("plush", kit.accent.rgb), (0, 0, h + tall - 0.04))
    else:
        _leaves(kit, kind, h, green)
    noun = {"cactus": "potted cactus", "leafy": "potted plant", "grass": "potted grass"}.get(kind, "potted succulent")
    return Facts(noun, "ceramic", word)


def _leaves(kit: Kit, kind: str, h: float, green: Material) -> None:
    """Let leaves grow from the soil of a pot of height `h`."""
    count, long, wide, lean = {
        "leafy": (16, 0.55, 0.16, 0.5),
        "grass": (34, 0.7, 0.035, 0.35),
        "succulent": (20, 0.3, 0.13, 0.8),
    }[kind]
    for k in range(count):
        turn, out = k * 2.4 + kit.between(-0.2, 0.2), lean * kit.between(0.3, 1.1)
        reach = long * kit.between(0.7, 1.1)
        path = shapes.smooth(
            [(0, 0, 0), (reach * out * 0.4, 0, reach * 0.6), (reach * out, 0, reach * (1.0 - 0.35 * out))], 10
        )
        leaf = parts.tube(path, wide / 2, green, flat=0.18, sizes=np.sin(np.linspace(0.25, 3.05, 10)))
        parts.place(leaf, (0, 0, h - 0.07), (0, 0, math.degrees(turn)))


def chair(kit: Kit) -> Facts:
    """A chair with four legs and a back of slats, a panel or a padded shell."""
    wood, name = timber(kit)
    seat_h, w, d = 0.46, kit.between(0.4, 0.5), kit.between(0.4, 0.48)
    legs = coat("brushed", palette.STEEL) if kit.chance(0.2) else wood
    splay = kit.between(0.0, 0.08)
    for x in (-1, 1):
        for y in (-1, 1):
            path = np.asarray(
                [
                    (x * (w / 2 + splay), y * (d / 2 + splay), 0),
                    (x * w * 0.45, y * d * 0.45, seat_h / 2),
                    (x * w * 0.42, y * d * 0.42, seat_h),
                ]
            )
            parts.tube(path, 0.02, legs)
    power = kit.rng.choice((3.0, 6.0, 2.2))
    picture, word = kit.pattern(TEXTILES, 512, 512)
    padded = kit.chance(0.5)
    parts.slab(shapes.oval(w, d, power), 0.03, 0.012, wood, at=(0, 0, seat_h - 0.02))
    cloth = coat(kit.one("fabric", "leather"), picture)
    if padded:
        parts.slab(shapes.oval(w * 0.96, d * 0.96, power), 0.06, 0.028, cloth, at=(0, 0, seat_h), flat="xy")
    style = _chair_back(kit, (w, d, seat_h), wood, cloth if padded else wood)
    noun = "upholstered chair" if padded else f"{style if style != 'arch' else 'dining'} chair"
    return Facts(noun, name, word if padded else "")


def _chair_back(kit: Kit, seat: shapes.Triple, wood: Material, cover: Material) -> str:
    """Put a back on a seat of (width, depth, height); returns its style."""
    w, d, seat_h = seat
    top, lean = seat_h + kit.between(0.36, 0.52), kit.between(0.03, 0.1)
    back_y = d * 0.44
    style = kit.one("slats", "ladder", "panel", "arch")
    heights = np.array([seat_h - 0.02, (seat_h + top) / 2, top])
    depths = back_y + lean * np.array([0, 0.5, 1])
    for x in (-w * 0.44, w * 0.44):
        parts.tube(np.column_stack([np.full(3, x), depths, heights]), 0.018, wood)
    if style == "slats":
        for k in range(count := kit.rng.randint(3, 6)):
            at = (k - (count - 1) / 2) * w * 0.8 / count
            parts.tube(np.column_stack([np.full(3, at), depths, np.maximum(heights, seat_h)]), 0.011, wood)
    rails = {"slats": (0.98,), "ladder": (0.35, 0.65, 0.95), "panel": (0.98,), "arch": (0.5, 0.98)}[style]
    for t in rails:
        z = seat_h + (top - seat_h) * t
        bar = parts.box((w * 0.92, 0.025, 0.07), 0.01, wood)
        parts.place(bar, (0, back_y + lean * t, z - 0.035))
    if style == "panel":
        board = parts.slab(
            shapes.rounded_rect(w * 0.86, (top - seat_h) * 0.72, 0.05),
            0.045,
            0.02,
            cover,
            flat="xy",
        )
        parts.place(
            board,
            (0, back_y + lean * 0.5 + 0.02, (seat_h + top) / 2 + 0.02),
            (90 - math.degrees(math.atan2(lean, top - seat_h)), 0, 0),
        )
    return style


def stool(kit: Kit) -> Facts:
    """A stool or a pouffe."""
    wood, name = timber(kit)
    picture, word = kit.pattern(TEXTILES, 512, 512)
    cloth = coat(kit.one("fabric", "leather", "knit"), picture)
    if kit.chance(0.3):
        r, h = 0.4, kit.between(0.4, 0.6)
        parts.lathe(shapes.fillet([(0, 0), (r * 0.9, 0), (r * 1.06, h / 2), (r * 0.9, h), (0, h)], 0.14, 8), cloth, 64)
        parts.disc(0.05, 0.03, 0.012, coat("leather", kit.accent.rgb), (0, 0, h - 0.005))
        return Facts("pouffe", "cotton", word)
    h, r = kit.between(0.55, 0.95), 0.27
    count = kit.rng.choice((3, 4, 4))
    legs = coat("satin", kit.second.rgb) if kit.chance(0.35) else wood
    for x, y in shapes.around(count, 1.0):
        parts.tube(
            np.asarray([(x * r * 1.15, y * r * 1.15, 0), (x * r, y * r, h / 2), (x * r * 0.75, y * r * 0.75, h)]),
            0.028,
            legs,
        )
    ring_z = h * kit.between(0.25, 0.45)
    parts.tube(shapes.arc((0, 0, ring_z), r * 1.06, 0, 352, 40, "xy"), 0.016, legs, loop=True)
    outline = shapes.oval(2 * r * 1.1, 2 * r * 1.1, kit.rng.choice((2.0, 2.0, 4.5)))
    parts.slab(outline, 0.05, 0.02, wood, at=(0, 0, h - 0.02))
    padded = kit.chance(0.6)
    if padded:
        parts.slab(outline * 0.98, kit.between(0.06, 0.14), 0.04, cloth, at=(0, 0, h + 0.03), flat="xy")
    return Facts("bar stool" if h > 0.75 else "stool", name, word if padded else "")
