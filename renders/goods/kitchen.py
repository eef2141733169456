"""Models mugs, teapots, vases, bowls, pans and bottles."""

from __future__ import annotations

import numpy as np

from renders import labels, palette, parts, patterns, shapes
from renders.kit import POTTERY, Facts, Kit
from renders.materials import coat
from renders.shapes import Pair


def mug(kit: Kit) -> Facts:
    """A cup with a handle: straight, tapered, bellied or barrel-shaped."""
    style = kit.one("straight", "tapered", "belly", "barrel", "flared", "camp")
    h, r = kit.between(0.75, 1.25), 0.42
    widths: dict[str, list[Pair]] = {
        "straight": [(0.97, 0), (1, 0.5), (1, 1)], "tapered": [(0.74, 0), (0.88, 0.5), (1, 1)],
        "belly": [(0.66, 0), (1.1, 0.4), (0.86, 1)], "barrel": [(0.82, 0), (1.04, 0.5), (0.86, 1)],
        "flared": [(0.7, 0), (0.74, 0.45), (1.08, 1)], "camp": [(0.98, 0), (1, 0.5), (1, 0.97)],
    }  # fmt: skip
    body = shapes.smooth([(w * r, z * h) for w, z in widths[style]], 20)
    picture, word = kit.pattern(POTTERY)
    branded = kit.chance(0.25)
    if branded:
        labels.stamp(picture, kit.rng, kit.brand, (kit.main.rgb, kit.second.rgb), 2)
    finish = "enamel" if style == "camp" else kit.one("glaze", "stoneware", "glaze")
    foot = shapes.fillet([(0, 0.0), (body[0, 0] * 0.96, 0.0), tuple(body[0] + (0, 0.02))], 0.02)
    parts.lathe(foot, coat(finish, kit.main.rgb if kit.chance(0.5) else kit.second.rgb))
    parts.lathe(body, coat(finish, picture))
    thick = 0.015 if style == "camp" else kit.between(0.03, 0.05)
    rim, lip = body[-1], kit.second.rgb if kit.chance(0.4) else kit.main.rgb
    edge = rim + thick * np.array([(0, 0), (-0.15, 0.5), (-0.85, 0.5), (-1, 0)])
    parts.lathe(shapes.smooth(edge, 8), coat(finish, lip), by_length=True)
    inside = [(max(x - thick, 0.01), z) for x, z in body[::-1] if z > 0.08] + [(body[0, 0] * 0.8, 0.06), (0, 0.05)]
    parts.lathe(np.asarray(inside), coat(finish, (238, 234, 226) if kit.one("light", "same") == "light" else lip))
    _handle(kit, body, finish, lip if kit.chance(0.5) else kit.main.rgb)
    noun = "enamel camping mug" if style == "camp" else f"{kit.one('stoneware', 'ceramic')} mug"
    return Facts(noun, "enamel" if style == "camp" else "ceramic", word)


def _handle(kit: Kit, body: shapes.Points, finish: str, rgb: palette.Rgb) -> None:
    """Join a handle to the +x side of a body's profile."""
    top_z, low_z = kit.between(0.78, 0.9) * body[-1, 1], kit.between(0.18, 0.34) * body[-1, 1]
    top_x, low_x = (float(np.interp(z, body[:, 1], body[:, 0])) - 0.015 for z in (top_z, low_z))
    out, drop = kit.between(0.2, 0.32), kit.one("ear", "square", "round")
    far = max(top_x, low_x) + out
    if drop == "square":
        knots = shapes.fillet([(top_x, top_z), (far, top_z), (far, low_z), (low_x, low_z)], 0.1)
    elif drop == "ear":
        knots = shapes.smooth([(top_x, top_z), (far, top_z + 0.02), (far * 0.96, low_z + 0.16), (low_x, low_z)], 24)
    else:
        knots = shapes.smooth(
            [(top_x, top_z), (far, (top_z + low_z) / 2 + 0.1), (far, (top_z + low_z) / 2 - 0.1), (low_x, low_z)], 24
        )
    path = np.column_stack([knots[:, 0], np.zeros(len(knots)), knots[:, 1]])
    parts.tube(path, kit.between(0.035, 0.06), coat(finish, rgb), flat=kit.between(0.6, 1.3))


def teapot(kit: Kit) -> Facts:
    """A pot with a lid, a spout and a handle at its side or over its top."""
    style = kit.one("round", "flat", "tall", "cone", "drum")
    widths: dict[str, list[Pair]] = {
        "round": [(0.26, 0), (0.48, 0.28), (0.44, 0.52), (0.2, 0.68)],
        "flat": [(0.34, 0), (0.58, 0.2), (0.5, 0.38), (0.2, 0.48)],
        "tall": [(0.3, 0), (0.4, 0.3), (0.34, 0.66), (0.19, 0.9)],
        "cone": [(0.5, 0), (0.44, 0.25), (0.3, 0.52), (0.18, 0.7)],
        "drum": [(0.44, 0), (0.46, 0.25), (0.46, 0.5), (0.22, 0.58)],
    }
    body = shapes.smooth(widths[style], 28)
    finish = kit.one("glaze", "stoneware", "enamel", "glaze")
    picture, word = kit.pattern(POTTERY, 768, 256)
    parts.lathe(np.vstack([[[0, 0.0]], body]), coat(finish, picture), 56)
    trim = kit.second.rgb if kit.chance(0.6) else kit.main.rgb
    _lid_and_spout(kit, body, finish, trim)
    if kit.chance(0.4):
        neck_z = body[-1, 1]
        path = shapes.arc((0, 0, neck_z * 0.8), float(body[:, 0].max()) * 0.86, 12, 168, 28)
        path[:, 2] = neck_z * 0.8 + (path[:, 2] - neck_z * 0.8) * kit.between(1.2, 1.6)
        parts.tube(path, 0.035, coat("wood", (160, 110, 64)) if kit.chance(0.5) else coat("matte", (40, 40, 42)))
    else:
        _handle(kit, body, finish, trim)
    return Facts("teapot", "enamel" if finish == "enamel" else "ceramic", word)


def _lid_and_spout(kit: Kit, body: shapes.Points, finish: str, trim: palette.Rgb) -> None:
    """Close a pot with a lid and its knob, and give it a spout."""
    neck_r, neck_z = body[-1]
    lid = shapes.smooth(
        [
            (neck_r * 1.06, neck_z - 0.01),
            (neck_r * 0.9, neck_z + 0.06),
            (neck_r * 0.3, neck_z + 0.1),
            (0, neck_z + 0.1),
        ],
        14,
    )
    parts.lathe(lid, coat(finish, trim))
    knob = (
        coat("wood", (150, 100, 60)) if kit.chance(0.3) else coat(finish, kit.accent.rgb if kit.chance(0.4) else trim)
    )
    parts.ball(kit.between(0.045, 0.07), knob, (0, 0, neck_z + 0.14), (1, 1, kit.between(0.7, 1.2)))
    low_z = neck_z * kit.between(0.25, 0.45)
    low_x = float(np.interp(low_z, body[:, 1], body[:, 0]))
    reach = low_x + kit.between(0.26, 0.4)
    spout = shapes.smooth(
        [
            (-low_x + 0.06, 0, low_z),
            (-low_x - 0.12, 0, low_z + 0.08),
            (-reach + 0.06, 0, neck_z * 0.8),
            (-reach, 0, neck_z + 0.02),
        ],
        22,
    )
    parts.tube(spout, 0.09, coat(finish, kit.main.rgb), sizes=np.linspace(1.1, 0.42, 22))


def vase(kit: Kit) -> Facts:
    """A vase turned from random knots, sometimes ribbed or squared."""
    h = kit.between(0.8, 1.4)
    neck = kit.between(0.1, 0.3)
    knots = [
        (kit.between(0.14, 0.3), 0.0),
        (kit.between(0.26, 0.5), h * kit.between(0.2, 0.38)),
        (kit.between(0.2, 0.46), h * kit.between(0.5, 0.64)),
        (neck, h * 0.84),
        (neck + kit.between(-0.03, 0.14), h),
    ]
    profile = np.vstack([[[0, 0]], shapes.smooth(knots, 40)])
    inside = [(max(x - 0.025, 0.01), z) for x, z in profile[::-1][:14]]
    rings = shapes.revolve(np.vstack([profile, inside]), 64)
    form = kit.one("round", "round", "ribbed", "square", "twisted")
    angle = np.arctan2(rings[..., 1], rings[..., 0])
    if form == "ribbed":
        rings[..., :2] *= 1 + 0.035 * np.abs(np.sin(angle * kit.rng.randint(6, 12)))[..., None]
    elif form == "twisted":
        rings[..., :2] *= 1 + 0.05 * np.sin(angle * 6 + rings[..., 2] * kit.between(4, 9))[..., None]
    elif form == "square":
        rings[..., :2] *= (0.9 / np.maximum(np.abs(np.cos(angle)), np.abs(np.sin(angle))) ** 0.7)[..., None]
    finish = kit.one("glaze", "glass", "stoneware", "glaze", "matte")
    if finish == "glass":
        picture, word = kit.pattern("gradient plain")
    else:
        picture, word = kit.pattern(POTTERY)
    across = np.concatenate([profile[:, 1], np.full(len(inside), h * 0.999)])
    parts.loft(rings, coat(finish, picture), across=across)
    shape = {"ribbed": "fluted ", "twisted": "twisted ", "square": "square "}.get(form, "")
    return Facts(
        f"{shape}{'glass ' if finish == 'glass' else ''}vase", "glass" if finish == "glass" else "ceramic", word
    )


def bowl(kit: Kit) -> Facts:
    """A bowl: deep or flat, on a foot, patterned outside and plain or patterned inside."""
    r, h = 0.6, kit.between(0.22, 0.55)
    outside = shapes.smooth([(0.24, 0.05), (0.42, h * 0.25), (0.56, h * 0.65), (r, h)], 22)
    finish = kit.one("glaze", "stoneware", "enamel", "wood", "glaze")
    picture, word = kit.pattern(POTTERY, 768, 192)
    paint = patterned = coat(finish, picture)
    if finish == "wood":
        paint = coat("wood", patterns.wood(kit.rng, kit.rng.choice(((176, 120, 70), (120, 76, 44), (204, 160, 106)))))
        patterned = coat("gloss", picture)
    parts.lathe(np.asarray([(0, 0), (0.25, 0), (0.24, 0.05)]), paint)
    parts.lathe(outside, patterned, 64)
    lip = shapes.smooth([(r, h), (r - 0.005, h + 0.012), (r - 0.03, h)], 6)
    parts.lathe(lip, coat(finish if finish != "wood" else "satin", kit.second.rgb), by_length=True)
    inside = np.vstack([(outside[::-1] - (0.03, -0.012)), [[0, 0.07]]])
    inner = kit.pattern("plain bands speckle clouds stripes")[0] if kit.chance(0.5) else kit.second.rgb
    parts.lathe(np.maximum(inside, (0, 0.06)), paint if finish == "wood" else coat(finish, inner), 64, by_length=True)
    return Facts("salad bowl" if h > 0.4 else "bowl", "wood" if finish == "wood" else "ceramic", word)


def pan(kit: Kit) -> Facts:
    """A frying pan or a pot with a long handle or two ears, with or without a lid."""
    deep = kit.chance(0.55)
    h, r = (kit.between(0.3, 0.5), 0.42) if deep else (kit.between(0.1, 0.16), 0.5)
    finish = kit.one("enamel", "brushed", "matte", "enamel")
    metal = finish == "brushed"
    outer = palette.COPPER if metal and kit.chance(0.4) else palette.STEEL if metal else kit.main.rgb
    wall = shapes.fillet([(0, 0), (r * 0.9, 0), (r, h), (r + 0.03, h)], 0.06)
    look = ""
    if finish == "enamel" and kit.chance(0.6):
        picture, look = kit.pattern("dots petals bands gradient speckle checks stripes", 768, 192)
        parts.lathe(wall, coat(finish, picture), 64)
    else:
        parts.lathe(wall, coat(finish, outer), 64)
    inner = shapes.fillet([(r + 0.03, h), (r - 0.02, h), (r * 0.88, 0.02), (0, 0.02)], 0.05)
    parts.lathe(inner, coat("satin", kit.rng.choice(((40, 40, 42), (236, 230, 216), (170, 172, 176)))), 64)
    grip = (
        coat("wood", (150, 96, 56))
        if kit.chance(0.35)
        else coat("matte", kit.accent.rgb if kit.chance(0.5) else (36, 36, 38))
    )
    if deep and kit.chance(0.6):
        for side in (0, 180):
            ear = shapes.arc((r + 0.02, 0, h * 0.72), 0.13, -90, 90, 16, "xy")
            parts.place(parts.tube(ear, 0.032, grip, flat=0.7), turn_deg=(0, 0, side))
    else:
        path = shapes.smooth(
            [(r - 0.02, 0, h * 0.7), (r + 0.2, 0, h * 0.8), (r + kit.between(0.55, 0.8), 0, h * 0.8 + 0.08)], 20
        )
        parts.tube(path, 0.05, grip, flat=0.55, sizes=np.linspace(0.7, 1.15, 20))
    if deep and kit.chance(0.75):
        lid = shapes.smooth([(r + 0.04, h), (r * 0.9, h + 0.05), (r * 0.3, h + 0.12), (0, h + 0.13)], 16)
        parts.lathe(lid, coat("glass" if metal else finish, outer))
        parts.ball(0.055, grip, (0, 0, h + 0.18), (1, 1, 0.75))
    return Facts(
        "casserole pot" if deep else "frying pan",
        "steel" if metal else "enamel" if finish == "enamel" else "cast iron",
        look,
    )


def bottle(kit: Kit) -> Facts:
    """A drinking bottle: sports bottle, vacuum flask or swing-top, with its brand on it."""
    style = kit.one("flask", "sport", "slim", "growler")
    h, r = kit.between(1.15, 1.6), kit.between(0.22, 0.3)
    shoulder = {"flask": 0.92, "sport": 0.7, "slim": 0.78, "growler": 0.62}[style]
    neck = {"flask": 0.85, "sport": 0.62, "slim": 0.4, "growler": 0.36}[style] * r
    waist = r * kit.between(0.84, 0.94) if style == "sport" else r
    corners = [
        (0, 0),
        (r, 0),
        (r, h * 0.3),
        (waist, h * 0.42),
        (r, h * 0.55),
        (r, h * shoulder * 0.9),
        (neck, h * shoulder),
        (neck, h * 0.94),
    ]
    body = shapes.fillet([(x, z) for x, z in corners], 0.07)
    finish = kit.one("satin", "brushed", "gloss", "matte")
    kinds = "plain gradient pinstripes triangles marble waves leaves dots terrazzo clouds bands diagonal"
    picture, word = kit.pattern(kinds, 512, 512)
    if finish == "brushed":
        picture, word = kit.pattern("plain gradient", 512, 512)
    labels.stamp(picture, kit.rng, kit.brand, (kit.main.rgb, kit.accent.rgb), 2, at=0.55, share=0.12)
    parts.lathe(body, coat(finish, picture))
    _cap(kit, style, (r, h), (neck, h * shoulder))
    if kit.chance(0.4):
        foot = np.asarray([(r + 0.008, 0.02), (r + 0.012, 0.1), (r + 0.004, h * 0.14)])
        parts.lathe(foot, coat("rubber", kit.accent.rgb))
    noun = {"flask": "vacuum flask", "sport": "sports bottle", "slim": "drinking bottle"}.get(
        style, "insulated growler"
    )
    return Facts(noun, "steel" if finish == "brushed" else "plastic" if style == "sport" else "steel", word)


def _cap(kit: Kit, style: str, body: Pair, neck_at: Pair) -> None:
    """Screw a cap on a bottle of (radius, height) whose neck has that (radius, height), with a loop or a ring."""
    (r, h), (neck, neck_z) = body, neck_at
    cap_rgb = kit.second.rgb if kit.chance(0.7) else (40, 40, 42)
    cap_top = h * kit.between(1.04, 1.16)
    cap = shapes.fillet(
        [(neck * 1.08, neck_z + 0.05), (neck * 1.12, h * 0.93), (neck * 1.05, cap_top), (0, cap_top)], 0.03
    )
    parts.lathe(cap, coat("brushed", palette.STEEL) if kit.chance(0.25) else coat("satin", cap_rgb))
    if style != "growler" and kit.chance(0.6):
        loop = shapes.arc((0, 0, cap_top - 0.02), neck * 0.8, 0, 180, 20)
        parts.tube(loop, 0.03, coat("matte", cap_rgb), flat=1.6)
    elif style == "growler":
        ring = shapes.arc((r * 0.7, 0, neck_z), 0.13, -100, 130, 20)
        parts.tube(ring, 0.028, coat("satin", cap_rgb))
