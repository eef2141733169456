"""Models what people wear and carry: shoes, hats, bags and cases."""

from __future__ import annotations

import math

import numpy as np

from renders import labels, palette, parts, patterns, shapes
from renders.kit import Facts, Kit
from renders.materials import Material, coat
from renders.shapes import Points


def _sole(length: float, width: float, count: int = 64) -> Points:
    """Return the outline (n, 2) of a foot along x, its toe at +x."""
    angle = np.linspace(0, 2 * math.pi, count, endpoint=False) - math.pi / 2
    x = np.cos(angle) * length / 2
    # Narrow at the arch, widest behind the toes.
    waist = 1 - 0.2 * np.exp(-(((x / length + 0.08) / 0.16) ** 2)) + 0.06 * (x > 0)
    y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.75 * width / 2 * waist * (0.88 + 0.16 * x / length)
    return np.stack([x, y], axis=1)


def shoe(kit: Kit) -> Facts:
    """A sneaker, a high-top or a boot: a sole, an upper that rises from toe to ankle, laces or a strap."""
    style = kit.one("sneaker", "high-top", "boot", "sneaker", "slip-on")
    ankle = {"sneaker": 0.36, "high-top": 0.56, "boot": 0.85, "slip-on": 0.3}[style] * kit.between(0.92, 1.08)
    foot = _sole(1.0, 0.38)
    sole_h = kit.between(0.07, 0.14)
    rubber = coat(
        "rubber", kit.second.rgb if kit.chance(0.5) else kit.rng.choice(((245, 243, 238), (36, 36, 38), (190, 140, 90)))
    )
    parts.slab(foot * 1.04, sole_h, 0.03, rubber)
    parts.slab(foot * 1.05, 0.025, 0.01, coat("rubber", kit.accent.rgb), at=(0, 0, sole_h * 0.45))
    rings = _upper(foot, sole_h, ankle, style)
    kinds = "plain plain bands diagonal dots blocks checks gradient leaves waves triangles stripes"
    picture, word = kit.pattern(kinds, 768, 256)
    leather = kit.one("leather", "canvas", "satin")
    rings.append(rings[-1] * (0.97, 0.9, 1.0) + (-0.008, 0, -0.02))
    rings.append(rings[-1] * (1, 1, 1) - (0, 0, ankle * 0.5))
    across = np.concatenate([np.linspace(0, 0.97, 20), [0.985, 1.0]])
    parts.loft(np.asarray(rings), coat(leather, picture), across=across)
    toe = np.asarray(rings[:7])[:, 17:48] + np.array([0.004, 0, 0])
    if style != "boot" and kit.chance(0.6):
        cap = np.asarray([ring * (1.015, 1.03, 1.0) for ring in toe])[:, :]
        parts.loft(cap[:, 4:27], rubber if style == "high-top" else coat(leather, kit.accent.rgb), sheet=True)
    if style != "slip-on":
        _laces(kit, np.asarray(rings[:20]), 6 if style == "boot" else 4)
    _stripe(kit, np.asarray(rings[:20]), leather)
    return Facts(
        {"high-top": "high-top sneaker", "slip-on": "slip-on shoe"}.get(style, style),
        "leather" if leather == "leather" else "canvas",
        word,
    )


def _upper(foot: Points, sole_h: float, ankle: float, style: str) -> list[Points]:
    """Return 20 rings from the sole's edge up to the ankle."""
    collar = shapes.oval(0.4, 0.25, 2.2, 64) + np.array([-0.27, 0.0])
    rings = []
    for t in np.linspace(0, 1, 20):
        flat = foot * 0.99 + (collar - foot * 0.99) * t ** _closing(style)
        front = np.clip((foot[:, 0] + 0.1) / 0.6, 0, 1)
        # Sides and toe first bulge, then close in; the heel goes straight up.
        height = ankle * (t ** (0.75 + 0.25 * front)) - 0.05 * np.sin(t * math.pi) * front
        rings.append(np.column_stack([flat, sole_h + height]))
    return rings


def _closing(style: str) -> float:
    """Return how late an upper closes in on the ankle: late makes a roomy toe, early a straight shaft."""
    return {"boot": 0.5, "high-top": 0.7}.get(style, 1.2)


def _laces(kit: Kit, rings: Points, count: int) -> None:
    """Lay laces across the instep, where the upper faces forwards."""
    cord = coat("fabric", kit.second.rgb if kit.chance(0.5) else (246, 246, 244))
    for k in range(count):
        ring = rings[8 + int(k * 11 / count)]
        front = np.argsort(ring[:, 0])[-9:]
        line = ring[front][np.argsort(ring[front][:, 1])]
        width = np.linspace(-1, 1, 9)
        lift = 0.014 * (1 - width**2)
        path = shapes.smooth(line + np.column_stack([lift + 0.006, 0 * lift, lift]), 16)
        parts.tube(path, 0.017, cord, flat=0.6)


def _stripe(kit: Kit, rings: Points, leather: str) -> None:
    """Sew a mark on both sides."""
    count = kit.rng.randint(1, 4)
    lean = kit.rng.choice((-6, -3, 0, 4))
    trim = coat(leather, kit.accent.rgb)
    for first in (4, 60):
        for k in range(count):
            column = [int(first + (1 if first < 30 else -1) * (k * 3 + lean * t)) % 64 for t in np.linspace(0, 1, 9)]
            path = np.asarray([rings[3 + j][c] for j, c in enumerate(column)])
            parts.tube(path * (1, 1.025, 1), 0.02, trim, flat=0.5)


def hat(kit: Kit) -> Facts:
    """A baseball cap, a bucket hat, a straw hat or a beanie."""
    style = kit.one("cap", "cap", "bucket", "brimmed", "beanie")
    kinds = "plain pinstripes plaid dots checks leaves petals chevron stripes triangles"
    picture, word = kit.pattern(kinds, 768, 256)
    finish = {"beanie": "knit", "brimmed": "fabric"}.get(style, kit.one("canvas", "fabric"))
    cloth, band = coat(finish, picture), coat(finish, kit.second.rgb)
    match style:
        case "cap":
            _crown(cloth, band)
            _peak(band if kit.chance(0.6) else cloth)
            _badge(kit, (0.0, -0.405, 0.2), 20)
        case "bucket":
            side = shapes.fillet([(0, 0.4), (0.3, 0.4), (0.38, 0.12), (0.6, -0.06)], 0.06)
            parts.thicken(parts.lathe(side, cloth, 60, by_length=True), 0.015)
            parts.lathe(np.asarray([(0.385, 0.12), (0.372, 0.19)]) * (1.01, 1), band)
            _badge(kit, (0.0, -0.37, 0.27), 12)
        case "brimmed":
            crown = kit.between(0.26, 0.42)
            side = shapes.fillet(
                [(0, crown - 0.03), (0.22, crown), (0.32, crown - 0.03), (0.36, 0.03), (kit.between(0.6, 0.82), 0.0)],
                0.05,
            )
            rings = shapes.revolve(side, 60)
            angle = np.arctan2(rings[..., 1], rings[..., 0])
            rings[..., 2] += 0.09 * np.maximum(np.hypot(rings[..., 0], rings[..., 1]) - 0.36, 0) * 3 * np.cos(2 * angle)
            parts.thicken(parts.loft(rings, cloth), 0.014)
            parts.lathe(np.asarray([(0.372, 0.035), (0.352, kit.between(0.1, 0.16))]), band)
        case _:
            parts.lathe(shapes.smooth([(0.38, 0.05), (0.4, 0.2), (0.33, 0.42), (0.15, 0.54), (0, 0.56)], 24), cloth, 60)
            parts.lathe(shapes.fillet([(0.36, 0), (0.43, 0), (0.43, 0.16), (0.39, 0.16)], 0.03), band, 60)
            if kit.chance(0.7):
                parts.ball(kit.between(0.09, 0.14), coat("plush", kit.accent.rgb), (0, 0, 0.62))
    noun = {"cap": "baseball cap", "bucket": "bucket hat", "brimmed": "wide-brimmed hat", "beanie": "beanie"}[style]
    return Facts(noun, "wool" if style == "beanie" else "cotton", word)


def _crown(cloth: Material, band: Material) -> None:
    """Sew the six panels of a cap and its button."""
    dome = shapes.smooth([(0.42, 0), (0.42, 0.12), (0.34, 0.3), (0.18, 0.4), (0, 0.42)], 24)
    parts.lathe(dome, cloth, 60)
    for k in range(6):
        along = np.array([math.cos(k * math.pi / 3), math.sin(k * math.pi / 3)])
        parts.tube(np.column_stack([dome[:, :1] * along, dome[:, 1]]) * 1.004, 0.008, band)
    parts.ball(0.035, band, (0, 0, 0.425), (1, 1, 0.6))


def _peak(material: Material) -> None:
    """Sew a peak to the front of a cap."""
    rings = []
    for t in np.linspace(0, 1, 10):
        angle = np.radians(np.linspace(-155, -25, 24))
        reach = 0.42 + 0.34 * t * np.sin(np.linspace(0, math.pi, 24)) ** 0.6
        x, y = np.cos(angle) * 0.42 * (1 + 0.05 * t), np.sin(angle) * reach
        rings.append(np.column_stack([x, y, 0.03 - 0.10 * t - 0.25 * x**2 * t]))
    parts.thicken(parts.loft(np.asarray(rings), material, flat="xy", sheet=True), 0.022)


def _badge(kit: Kit, at: shapes.Triple, tilt_deg: float) -> None:
    """Sew the brand's patch on the front."""
    sheet = patterns.paint("plain", kit.rng, (kit.accent.rgb,) * 3, 400, 200)
    labels.stamp(sheet, kit.rng, kit.brand, (kit.accent.rgb, kit.second.rgb), 1, 0.5, 0.5)
    patch = parts.slab(
        shapes.rounded_rect(0.26, 0.13, 0.03), 0.02, 0.006, coat("canvas", kit.accent.rgb), coat("canvas", sheet)
    )
    parts.place(patch, at, (90 - tilt_deg, 0, 0))


def _bag(width: float, depth: float, height: float, top: float, material: Material) -> None:
    """Stand a soft bag that leans in towards its top."""
    rings = []
    for t in np.linspace(0, 1, 18):
        round_off = min(1.0, 0.82 + 1.6 * t) * (1 - 0.25 * max(0.0, t - 0.85) / 0.15)
        shrink = 1 + (top - 1) * t
        outline = shapes.oval(width * shrink * round_off, depth * round_off * (1 - 0.3 * t), 4.0, 56)
        rings.append(shapes.lift(outline, height * t))
    parts.loft(np.asarray(rings), material, (True, True))


def handbag(kit: Kit) -> Facts:
    """A tote, a shopper or a flap bag with handles or a strap, a buckle and seams."""
    w, d, h = kit.between(0.75, 1.0), kit.between(0.26, 0.38), kit.between(0.5, 0.8)
    picture, word = kit.pattern(
        "plain plaid petals blocks stripes dots leaves plain chevron gradient triangles",
        768,
        384,
    )
    material = kit.one("leather", "canvas", "leather")
    skin, trim = coat(material, picture), coat("leather", kit.second.rgb)
    metal = coat("chrome", palette.BRASS if kit.chance(0.6) else palette.STEEL)
    top = kit.rng.choice((0.72, 0.9, 1.08))
    _bag(w, d, h, top, skin)
    _carrying(kit, (w, d, h), top, (trim, metal))
    if kit.chance(0.55):
        outline = shapes.rounded_rect(w * top * 0.86, h * kit.between(0.42, 0.62), 0.14, 6)
        flap = parts.slab(
            outline, 0.035, 0.015, coat(material, kit.accent.rgb if kit.chance(0.5) else kit.main.rgb), flat="xy"
        )
        parts.place(flap, (0, -d * 0.38, h * 0.7), (78, 0, 0))
        parts.place(
            parts.slab(shapes.rounded_rect(0.12, 0.08, 0.02), 0.04, 0.012, metal), (0, -d * 0.47, h * 0.55), (85, 0, 0)
        )
    else:
        _badge(kit, (0, -d * 0.45, h * 0.55), 3)
        parts.slab(shapes.oval(w * 0.93, d * 1.0, 4.0), h * 0.16, 0.03, trim)
    return Facts("handbag" if top < 1 else "tote bag", "leather" if material == "leather" else "canvas", word)


def _carrying(kit: Kit, size: shapes.Triple, top: float, made_of: tuple[Material, Material]) -> None:
    """Give a bag two handles, or a strap over the shoulder."""
    (w, d, h), (trim, metal) = size, made_of
    if kit.chance(0.5):
        for y in (-1, 1):
            rise = h * kit.between(1.35, 1.6)
            half = [(-w * 0.22, y * d * 0.36, h * 0.62), (-w * 0.2, y * d * 0.3, h * 1.1), (0, y * d * 0.15, rise)]
            path = shapes.smooth(half + [(-x, y_, z) for x, y_, z in half[1::-1]], 36)
            parts.tube(path, 0.03, trim, flat=0.6)
            for x in (-1, 1):
                parts.ball(0.035, metal, (x * w * 0.22, y * d * 0.42, h * 0.66))
    else:
        path = shapes.smooth(
            [
                (-w * 0.42 * top, 0, h * 0.75),
                (-w * 0.38 * top, 0, h * 1.2),
                (0, 0, h * 1.75),
                (w * 0.38 * top, 0, h * 1.2),
                (w * 0.42 * top, 0, h * 0.75),
            ],
            40,
        )
        parts.sweep(path, shapes.oval(0.025, 0.09, 4, 12), trim)


def backpack(kit: Kit) -> Facts:
    """A backpack with a front pocket, a lid or a zip, straps and a loop."""
    w, d, h = kit.between(0.56, 0.7), kit.between(0.26, 0.34), kit.between(0.8, 1.05)
    picture, word = kit.pattern(
        "plain gradient leaves triangles dots blocks plain chevron stars plaid waves diagonal",
        768,
        512,
    )
    cloth = coat(kit.one("canvas", "fabric", "leather"), picture)
    plain, trim = coat("canvas", kit.second.rgb), coat("leather", kit.accent.rgb)
    parts.slab(shapes.oval(w, d, 3.6, 56), h, kit.between(0.12, 0.24), cloth)
    pocket_h = h * kit.between(0.32, 0.46)
    parts.slab(
        shapes.oval(w * 0.78, d * 0.5, 3.5, 48),
        pocket_h,
        0.07,
        plain if kit.chance(0.6) else cloth,
        at=(0, -d * 0.42, 0.05),
    )
    parts.box((w * 0.62, 0.012, 0.02), 0.004, coat("satin", (36, 36, 38)), (0, -d * 0.68, 0.03 + pocket_h * 0.72))
    _straps((w, d, h), plain)
    parts.tube(shapes.arc((0, d * 0.2, h - 0.02), 0.1, 0, 180, 16), 0.022, trim)
    if kit.chance(0.45):
        parts.slab(shapes.oval(w * 1.03, d * 1.06, 3.4, 56), h * 0.2, 0.09, plain, at=(0, -0.01, h * 0.86))
        for x in (-0.5, 0.5):
            parts.box((0.06, 0.02, h * 0.42), 0.008, trim, (x * w * 0.6, -d * 0.55, h * 0.5))
            parts.box((0.09, 0.03, 0.06), 0.01, coat("chrome", palette.BRASS), (x * w * 0.6, -d * 0.57, h * 0.52))
    else:
        arch = shapes.arc((0, -d * 0.42, h * 0.56), w * 0.36, 10, 170, 24)
        parts.tube(arch, 0.012, coat("satin", (30, 30, 32)))
    _badge(kit, (0, -d * 0.68, 0.05 + pocket_h * 0.42), 2)
    if kit.chance(0.5):
        for x in (-1, 1):
            parts.slab(shapes.oval(0.14, 0.2, 3), h * 0.34, 0.04, plain, at=(x * w * 0.52, 0, 0.04))
    return Facts("backpack", "canvas", word)


def _straps(size: shapes.Triple, cloth: Material) -> None:
    """Sew two straps to a backpack's back."""
    w, d, h = size
    for x in (-1, 1):
        path = shapes.smooth(
            [
                (x * w * 0.2, d * 0.42, h * 0.9),
                (x * w * 0.3, d * 0.95, h * 0.72),
                (x * w * 0.34, d * 0.9, h * 0.3),
                (x * w * 0.38, d * 0.4, 0.1),
            ],
            24,
        )
        parts.sweep(path, shapes.oval(0.035, 0.12, 4, 12), cloth, up=(1, 0, 0))


def suitcase(kit: Kit) -> Facts:
    """A hard or soft case on wheels, or an old-fashioned one with corners and straps."""
    vintage = kit.chance(0.35)
    w, d, h = (
        (kit.between(0.9, 1.1), 0.3, kit.between(0.6, 0.75))
        if vintage
        else (kit.between(0.56, 0.7), kit.between(0.24, 0.34), kit.between(0.8, 1.0))
    )
    kinds = "plain gradient marble plain leaves triangles dots plaid terrazzo pinstripes waves"
    picture, word = kit.pattern(kinds, 768, 384)
    shell = coat("leather" if vintage else kit.one("satin", "gloss", "brushed"), picture)
    trim = coat("leather" if vintage else "satin", kit.second.rgb)
    lift = 0.0 if vintage else 0.06
    parts.slab(shapes.rounded_rect(w, d, 0.07), h, 0.07, shell, at=(0, 0, lift))
    if vintage:
        for x in (-0.3, 0.3):
            parts.slab(shapes.rounded_rect(0.07, d * 1.04, 0.012), h * 1.012, 0.05, trim, at=(x * w, 0, -0.004))
        for x in (-1, 1):
            for z in (0.03, h - 0.03):
                parts.ball(0.1, trim, (x * (w / 2 - 0.06), 0, z + (0.04 if z < 0.1 else -0.04)), (0.9, d * 5.1, 0.9))
        parts.tube(
            shapes.smooth([(-0.14, 0, h), (-0.1, 0, h + 0.09), (0.1, 0, h + 0.09), (0.14, 0, h)], 20), 0.026, trim
        )
        return Facts("vintage suitcase", "leather", word)
    parts.slab(shapes.rounded_rect(w * 1.01, 0.02, 0.008), h * 1.006, 0.05, trim, at=(0, 0, lift - 0.002))
    if kit.chance(0.7):
        for k in range(count := kit.rng.randint(3, 7)):
            x = (k - (count - 1) / 2) * w * 0.84 / count
            for y in (-1, 1):
                parts.box((0.028, 0.03, h * 0.86), 0.012, shell, (x, y * d * 0.49, lift + h * 0.07))
    _wheels((w, d, h), trim)
    _badge(kit, (0, -d * 0.5, lift + h * 0.84), 0)
    return Facts("cabin suitcase" if h < 0.9 else "trolley suitcase", "polycarbonate", word)


def _wheels(size: shapes.Triple, trim: Material) -> None:
    """Put a case on wheels and give it a handle to pull."""
    w, d, h = size
    lift = 0.06
    for x in (-1, 1):
        for y in (-1, 1):
            wheel = parts.disc(0.05, 0.04, 0.012, coat("rubber", (36, 36, 38)))
            parts.place(wheel, (x * w * 0.38 - 0.02, y * d * 0.34, 0.05), (0, 90, 0))
        rod = np.linspace((x * w * 0.24, d * 0.38, lift + h), (x * w * 0.24, d * 0.38, lift + h * 1.22), 4)
        parts.tube(rod, 0.014, coat("chrome", palette.STEEL))
    parts.box((w * 0.54, 0.05, 0.04), 0.015, trim, (0, d * 0.38, lift + h * 1.21))
