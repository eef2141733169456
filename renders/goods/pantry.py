"""Models what stands on a shop's shelf: cartons, milk, tins, jars, soap, perfume and candles."""

from __future__ import annotations

import numpy as np

from renders import labels, palette, parts, patterns, shapes
from renders.kit import Facts, Kit
from renders.materials import coat

CEREALS = (
    "Oat Rings", "Honey Pops", "Berry Crunch", "Corn Stars", "Granola", "Cocoa Puffs", "Rye Flakes", "Tea Biscuits",
    "Crackers", "Rice Cakes", "Muesli", "Wafers", "Pasta", "Green Tea", "Washing Powder",
)  # fmt: skip
DRINKS = (
    "Whole Milk", "Oat Drink", "Orange Juice", "Almond Milk", "Kefir", "Apple Juice", "Rice Drink", "Buttermilk",
)  # fmt: skip
TINS = ("Tomatoes", "Chickpeas", "Sweet Corn", "Coffee", "Peaches", "Black Tea", "Olives", "Cola", "Lemonade", "Cocoa")
SPREADS: dict[str, palette.Rgb] = {
    "Strawberry Jam": (150, 20, 30), "Honey": (214, 140, 20), "Pesto": (80, 110, 40), "Peanut Butter": (176, 122, 64),
    "Blueberry Jam": (48, 28, 70), "Mustard": (206, 160, 30), "Apricot Jam": (224, 120, 24),
    "Mayonnaise": (240, 230, 200),
    "Pickles": (110, 130, 50), "Lemon Curd": (240, 206, 60), "Chocolate Spread": (70, 38, 24),
}  # fmt: skip
SCENTS = ("Lavender", "Citrus", "Sea Salt", "Rosemary", "Fig", "Almond", "Green Tea", "Peony", "Cedar", "Mint")
# Width, depth and height.
FLACONS: dict[str, shapes.Triple] = {
    "block": (0.6, 0.34, 0.6),
    "round": (0.66, 0.34, 0.66),
    "oval": (0.6, 0.4, 0.5),
    "tower": (0.36, 0.36, 0.85),
    "drop": (0.56, 0.56, 0.66),
}


def carton(kit: Kit) -> Facts:
    """A cardboard box of food, printed on four sides."""
    shape = kit.one("tall", "tall", "wide", "square", "slim")
    size = {"tall": (0.7, 0.22, 1.0), "wide": (1.0, 0.3, 0.62), "square": (0.6, 0.5, 0.66), "slim": (0.5, 0.3, 1.05)}[
        shape
    ]
    w, d, h = (value * kit.between(0.88, 1.12) for value in size)
    inside = CEREALS[(kit.seed * 4 + kit.rng.randrange(3)) % len(CEREALS)]
    sheet = labels.carton(kit.rng, kit.paints, (kit.brand, inside), (w, d, h))
    lid = coat("card", kit.main.rgb)
    parts.box((w, d, h), 0.008, coat(kit.one("card", "gloss"), sheet), cap_material=lid)
    parts.box((w * 0.98, d * 0.03, 0.004), 0.001, coat("card", kit.second.rgb), (0, 0, h))
    return Facts(f"{inside.lower()}, {kit.one('375 g', '500 g', '250 g', 'family size')}", "cardboard")


def milk(kit: Kit) -> Facts:
    """A drinks carton with a gable or a slanted top and a screw cap."""
    w, h = 0.46, kit.between(0.75, 1.05)
    d = w * kit.between(0.7, 1.0)
    top = kit.between(0.14, 0.24)
    inside = DRINKS[(kit.seed * 3 + kit.rng.randrange(2)) % len(DRINKS)]
    sheet = labels.carton(kit.rng, kit.paints, (kit.brand, inside), (w, d, h + top + 0.07))
    card = coat("card", sheet)
    slim = shapes.rounded_rect(w, d, 0.012, 2)
    rings = [shapes.lift(slim, z) for z in (0.0, 0.01, h)]
    if kit.chance(0.65):
        ridge = shapes.rounded_rect(w, 0.03, 0.012, 2)
        rings += [shapes.lift(ridge, h + top), shapes.lift(ridge, h + top + 0.07)]
        cap_at, tilt = (0.0, -d * 0.25, h + top * 0.46), float(np.degrees(np.arctan2(top, d / 2)))
    else:
        slanted = shapes.lift(slim, h + top)
        slanted[:, 2] -= (slanted[:, 1] < 0) * top * 0.8
        rings += [slanted]
        cap_at, tilt = (0.0, -d * 0.05, h + top * 0.5), float(np.degrees(np.arctan2(top * 0.8, d)))
    parts.loft(np.asarray(rings), card, (True, True))
    if kit.chance(0.7):
        cap = parts.disc(kit.between(0.08, 0.11), 0.08, 0.015, coat("satin", kit.accent.rgb), cap_at)
        parts.place(cap, cap_at, (tilt, 0, 0))
    return Facts(f"{inside.lower()}, 1 l", "cardboard")


def can(kit: Kit) -> Facts:
    """A tin: of food, of a drink, of tea, or a flat one."""
    style = kit.one("food", "drink", "tea", "flat", "paint")
    h, r = {"food": (0.75, 0.3), "drink": (1.0, 0.25), "tea": (0.85, 0.32), "flat": (0.26, 0.42), "paint": (0.7, 0.36)}[
        style
    ]
    h, r = h * kit.between(0.88, 1.15), r * kit.between(0.9, 1.1)
    inside = TINS[(kit.seed * 3 + kit.rng.randrange(2)) % len(TINS)]
    sheet = labels.wrap(
        kit.rng, kit.paints, (kit.brand, inside), 3 if style == "flat" else 2, 900, int(900 * h / (6.28 * r))
    )
    paper = coat("gloss" if style == "drink" else kit.one("card", "gloss"), sheet)
    steel = coat("steel", palette.BRASS if kit.chance(0.2) else palette.STEEL)
    low, high, rim = 0.05, h - 0.05, r * 0.985
    if style == "drink":
        low, high = 0.08, h - 0.12
        parts.lathe(shapes.fillet([(0, 0.02), (r * 0.72, 0), (r * 0.8, 0.02), (r, low)], 0.03), steel)
        lip = [(r, high), (r * 0.8, h - 0.02), (r * 0.82, h), (r * 0.76, h), (r * 0.74, h - 0.03), (0, h - 0.03)]
        parts.lathe(shapes.fillet(lip, 0.02), steel)
        parts.place(parts.slab(shapes.oval(0.11, 0.18, 3), 0.015, 0.005, steel), (0, -0.05, h - 0.03))
    else:
        lid = coat("satin", kit.second.rgb) if style in {"tea", "paint"} and kit.chance(0.6) else steel
        grow = 1.03 if style == "tea" else 1.01
        parts.lathe(shapes.fillet([(0, 0), (rim * 1.03, 0), (rim * 1.03, low), (r, low)], 0.01), steel)
        corners = [
            (r, high - (0.06 if style == "tea" else 0)),
            (rim * grow, high),
            (rim * grow, h),
            (rim * 0.95, h),
            (rim * 0.94, h - 0.025),
            (0, h - 0.025),
        ]
        parts.lathe(shapes.fillet(corners, 0.012), lid)
    parts.lathe(np.asarray([(r, low), (r, high)]), paper, 64)
    if style == "paint":
        parts.tube(shapes.arc((0, 0, h * 0.8), r * 1.02, 5, 175, 30), 0.012, steel)
    name = {"tea": f"{inside} tin", "flat": f"{inside}, flat tin", "paint": f"{inside} bucket tin"}.get(style, inside)
    return Facts(name.lower(), "tin")


def jar(kit: Kit) -> Facts:
    """A glass of spread with a lid and a label."""
    name = list(SPREADS)[(kit.seed * 4 + kit.rng.randrange(2)) % len(SPREADS)]
    h, r = kit.between(0.55, 0.95), kit.between(0.3, 0.38)
    form = kit.one("round", "belly", "hexagon", "square")
    mouth = r * kit.between(0.72, 0.9)
    belly = 1.08 if form == "belly" else 1.0
    profile = shapes.fillet(
        [(0, 0), (r * 0.94, 0), (r * belly, h * 0.4), (r * 0.97, h * 0.8), (mouth, h * 0.92), (mouth, h)], 0.06, 6
    )
    glass = coat("gloss", SPREADS[name])
    power = {"round": 2.0, "belly": 2.0, "hexagon": 2.6, "square": 4.5}[form]
    outline = shapes.oval(1, 1, power, 48) * 2
    rings = np.asarray([np.column_stack([outline * max(x, 1e-3), np.full(48, z)]) for x, z in profile])
    parts.loft(rings, glass, across=profile[:, 1])
    sheet = labels.wrap(kit.rng, kit.paints, (kit.brand, name), 2, 900, 300)
    low, high = h * kit.between(0.1, 0.2), h * kit.between(0.62, 0.76)
    heights = np.linspace(low, high, 8)
    label = np.asarray(
        [
            np.column_stack([outline * (np.interp(z, profile[:, 1], profile[:, 0]) + 0.004), np.full(48, z)])
            for z in heights
        ]
    )
    parts.loft(label, coat("paper", sheet), across=heights)
    lid_kind = kit.one("plain", "checks", "dots", "gold")
    paint = (
        palette.BRASS
        if lid_kind == "gold"
        else patterns.paint(lid_kind, kit.rng, (kit.second.rgb, kit.accent.rgb, kit.main.rgb), 512, 64)
    )
    cap = coat("brushed" if lid_kind == "gold" else "satin", paint)
    outer = mouth * 1.07
    parts.lathe(shapes.fillet([(outer, h * 0.94), (outer, h + 0.09), (0, h + 0.09)], 0.02), cap, by_length=True)
    return Facts(f"{name.lower()} jar", "glass")


def soap(kit: Kit) -> Facts:
    """A bottle of soap or shampoo with a pump or a flip cap."""
    h, w = kit.between(0.7, 1.05), kit.between(0.36, 0.52)
    d = w * kit.between(0.5, 1.0)
    power = kit.rng.choice((2.0, 2.0, 3.0, 6.0))
    taper = kit.between(0.75, 1.1)
    outline = shapes.oval(w, d, power)
    heights = shapes.fillet([(0.9, 0), (1, 0.02), (1, h * 0.4), (taper, h * 0.84), (0.35, h * 0.96), (0.3, h)], 0.08, 6)
    rings = np.asarray([shapes.lift(outline, z, s) for s, z in heights])
    scent = SCENTS[(kit.seed * 3 + kit.rng.randrange(2)) % len(SCENTS)]
    sheet = labels.wrap(kit.rng, kit.paints, (kit.brand, scent), 2, 900, 480)
    parts.loft(rings, coat(kit.one("satin", "gloss", "matte"), sheet), (True, True), across=heights[:, 1])
    cap = coat(kit.one("satin", "gloss"), kit.second.rgb if kit.chance(0.6) else (30, 30, 32))
    neck = w * 0.17
    parts.lathe(shapes.fillet([(neck * 1.1, h - 0.02), (neck * 1.1, h + 0.08), (0, h + 0.08)], 0.02), cap)
    if kit.chance(0.7):
        top = h + kit.between(0.18, 0.26)
        parts.lathe(np.asarray([(neck * 0.4, h), (neck * 0.4, top)]), cap)
        spout = shapes.smooth([(0.05, 0, top), (-0.1, 0, top + 0.01), (-0.24, 0, top - 0.04)], 14)
        parts.tube(spout, 0.04, cap, sizes=np.linspace(1.3, 0.6, 14))
        parts.disc(neck * 0.9, 0.05, 0.015, cap, (0, 0, top))
        noun = kit.one("hand soap", "body lotion")
    else:
        parts.lathe(
            shapes.fillet([(neck * 1.2, h + 0.06), (neck * kit.between(1.0, 1.7), h + 0.26), (0, h + 0.26)], 0.03), cap
        )
        noun = kit.one("shampoo", "shower gel")
    return Facts(f"{scent.lower()} {noun}", "plastic")


def perfume(kit: Kit) -> Facts:
    """A small heavy glass bottle with a striking stopper."""
    form = kit.one("block", "round", "oval", "tower", "drop")
    w, d, h = FLACONS[form]
    glass = coat("glass", kit.main.rgb)
    if form == "round":
        parts.place(parts.slab(shapes.oval(w, w, 2.2), d, 0.08, glass), (0, d / 2, h / 2), (90, 0, 0))
    elif form == "drop":
        parts.lathe(np.vstack([[[0, 0]], shapes.smooth([(0.2, 0), (0.3, 0.2), (0.2, 0.46), (0.08, h)], 30)]), glass)
    else:
        parts.slab(shapes.rounded_rect(w, d, 0.05) if form != "oval" else shapes.oval(w, d, 2.5), h, 0.05, glass)
    collar = coat("chrome", kit.rng.choice((palette.BRASS, palette.STEEL, palette.COPPER)))
    parts.lathe(np.asarray([(0.1, h - 0.02), (0.1, h + 0.06), (0, h + 0.06)]), collar)
    stopper = coat(kit.one("gloss", "wood", "gloss"), kit.second.rgb)
    match kit.one("ball", "block", "cylinder", "tall"):
        case "ball":
            parts.ball(0.16, stopper, (0, 0, h + 0.2))
        case "block":
            parts.box((0.3, 0.26, 0.2), 0.03, stopper, (0, 0, h + 0.06))
        case "cylinder":
            parts.disc(0.15, 0.18, 0.02, stopper, (0, 0, h + 0.06))
        case _:
            parts.disc(0.09, 0.36, 0.04, stopper, (0, 0, h + 0.06))
    sheet = patterns.paint("plain", kit.rng, ((246, 242, 232), kit.accent.rgb, kit.main.rgb), 400, 300)
    labels.stamp(sheet, kit.rng, kit.brand, ((246, 242, 232), kit.accent.rgb), 1, 0.45, 0.4)
    depth = 0.27 if form == "drop" else d / 2
    size = (w * 0.5, 0.012, h * kit.between(0.22, 0.4))
    for turn in (0, 180):
        plate = parts.loft(
            np.asarray([shapes.lift(shapes.rounded_rect(size[0], size[1], 0.004), z) for z in (0, size[2])]),
            coat("paper", sheet),
            (True, True),
            flat="xz",
        )
        sign = -1 if turn == 0 else 1
        parts.place(plate, (0, sign * (depth + 0.002), h * 0.3), (0, 0, turn))
    return Facts(f"{SCENTS[kit.seed % len(SCENTS)].lower()} eau de parfum", "glass")


def candle(kit: Kit) -> Facts:
    """A candle in a painted glass with a label, or a pillar of coloured wax."""
    r, h = kit.between(0.26, 0.4), kit.between(0.45, 0.95)
    scent = SCENTS[(kit.seed * 3 + 1) % len(SCENTS)]
    wick = coat("matte", (30, 26, 22))
    if kit.chance(0.65):
        sheet = labels.wrap(kit.rng, kit.paints, (kit.brand, scent), 2, 900, 360)
        parts.lathe(
            shapes.fillet([(0, 0), (r * 0.97, 0), (r, 0.06), (r, h), (r - 0.025, h)], 0.03), coat("gloss", sheet), 64
        )
        wax_z = h * 0.82
        parts.lathe(
            np.asarray([(r - 0.025, h), (r - 0.03, wax_z), (0.1, wax_z - 0.01), (0, wax_z - 0.015)]),
            coat("wax", (238, 228, 206)),
        )
        if kit.chance(0.35):
            parts.disc(r * 1.03, 0.07, 0.02, coat("wood", (176, 130, 84)), (0, 0, h))
    else:
        picture, _ = kit.pattern("gradient stripes clouds speckle marble plain bands", 512, 256)
        wax_z = h
        parts.lathe(
            shapes.fillet([(0, 0), (r, 0), (r * kit.between(0.8, 1.0), h), (r * 0.5, h - 0.03), (0, h - 0.05)], 0.05),
            coat("wax", picture),
        )
        parts.disc(r * 1.35, 0.05, 0.02, coat(kit.one("brushed", "glaze"), kit.accent.rgb), (0, 0, -0.05))
    parts.tube(np.asarray([(0, 0, wax_z - 0.05), (0.005, 0, wax_z + 0.03), (0.02, 0, wax_z + 0.07)]), 0.012, wick)
    return Facts(f"{scent.lower()} candle", "wax")
