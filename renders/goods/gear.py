"""Models gadgets: headphones, sunglasses and loudspeakers."""

from __future__ import annotations

import numpy as np

from renders import labels, palette, parts, patterns, shapes
from renders.kit import TEXTILES, Facts, Kit
from renders.materials import coat
from renders.palette import WOODS


def sunglasses(kit: Kit) -> Facts:
    """Sunglasses: round, aviator, cat-eye or square."""
    style = kit.one("round", "aviator", "cat-eye", "square")
    power = {"round": 2.0, "aviator": 2.3, "cat-eye": 2.4, "square": 4.0}[style]
    w, h = kit.between(0.4, 0.48), kit.between(0.32, 0.42)
    base = shapes.oval(w, h if style != "cat-eye" else h * 0.85, power, 48)
    frame = coat(
        kit.one("gloss", "chrome") if style == "aviator" else "gloss",
        kit.main.rgb if style != "aviator" or kit.chance(0.5) else palette.BRASS,
    )
    picture, _ = kit.pattern("gradient plain", 256, 256)
    lens = coat("glass", picture if kit.chance(0.5) else kit.second.rgb)
    thick = 0.016 if style == "aviator" else kit.between(0.028, 0.045)
    for x in (-1, 1):
        flat = base.copy()
        if style == "cat-eye":
            flat[:, 1] += np.maximum(flat[:, 0] * x, 0) * 0.35
        if style == "aviator":
            flat[:, 1] -= np.maximum(-flat[:, 1], 0) * (0.25 - 0.5 * flat[:, 0] * x)
        rim = np.column_stack([flat[:, 0] + x * 0.28, np.zeros(48), flat[:, 1] + 0.3])
        parts.tube(rim, thick, frame, loop=True)
        glass = np.asarray([rim, rim * (1, 1, 1) + (0, 0.012, 0)])
        parts.loft(glass, lens, (True, True), flat="xz")
        hinge = x * (0.28 + w / 2)
        ear = shapes.smooth(
            [(hinge, 0, 0.4), (hinge * 1.05, 0.35, 0.42), (hinge * 1.03, 0.8, 0.4), (hinge, 1.0, 0.24)], 24
        )
        parts.tube(ear, 0.022, coat("gloss", kit.accent.rgb) if kit.chance(0.4) else frame, flat=1.6)
    parts.tube(shapes.smooth([(-0.1, 0, 0.33), (0, -0.01, 0.38), (0.1, 0, 0.33)], 12), thick * 0.9, frame)
    if style == "aviator":
        parts.tube(shapes.smooth([(-0.14, 0, 0.45), (0, -0.01, 0.46), (0.14, 0, 0.45)], 12), 0.013, frame)
    return Facts(f"{style} sunglasses", "acetate" if style != "aviator" else "metal")


def headphones(kit: Kit) -> Facts:
    """Headphones that go over the ears."""
    r = 0.42
    rise = kit.between(1.05, 1.25)
    shell = coat(kit.one("satin", "gloss", "brushed"), kit.main.rgb)
    pad = coat("leather", kit.second.rgb)
    metal = coat("chrome", palette.STEEL if kit.chance(0.6) else palette.BRASS)
    band = shapes.arc((0, 0, 0.45), r, -8, 188, 40)
    band[:, 2] = 0.45 + (band[:, 2] - 0.45) * rise
    parts.sweep(band, shapes.oval(0.04, kit.between(0.1, 0.16), 3, 12), shell if kit.chance(0.6) else metal)
    inner = band[10:-10] - (0, 0, 0.035)
    parts.sweep(
        inner * (0.97, 1, 1), shapes.oval(0.06, 0.15, 3, 12), pad if kit.chance(0.5) else coat("knit", kit.accent.rgb)
    )
    cup = kit.between(0.19, 0.25)
    outline = shapes.oval(2 * cup * kit.rng.choice((1.0, 0.8)), 2 * cup, kit.rng.choice((2.0, 2.6)), 48)
    face = (
        patterns.paint("plain", kit.rng, (kit.main.rgb,) * 3, 256, 256)
        if kit.chance(0.5)
        else kit.pattern("dots gradient marble triangles waves leaves blocks", 256, 256)[0]
    )
    labels.stamp(face, kit.rng, kit.brand, (kit.main.rgb, kit.accent.rgb), 1, 0.5, 0.16)
    for x in (-1, 1):
        at = (x * (r - 0.02), 0, 0.36)
        parts.place(parts.slab(outline, 0.12, 0.04, shell, coat("satin", face)), at, (90, 0, 90 * x))
        parts.place(parts.slab(outline * 0.94, 0.1, 0.045, pad), at, (90, 0, -90 * x))
        arm = shapes.smooth([(x * r * 1.02, 0, 0.62), (x * (r + 0.07), 0, 0.52), (x * (r + 0.08), 0, 0.36)], 10)
        parts.tube(arm, 0.024, metal)
    return Facts("over-ear headphones", "plastic")


def speaker(kit: Kit) -> Facts:
    """A loudspeaker: a cabinet with cones, a retro radio with a dial, or a small round one in cloth."""
    style = kit.one("cabinet", "radio", "pill", "tower")
    w, d, h = {
        "cabinet": (0.56, 0.42, 0.85),
        "radio": (0.9, 0.32, 0.56),
        "pill": (0.8, 0.36, 0.4),
        "tower": (0.4, 0.4, 1.0),
    }[style]
    wood = kit.chance(0.45)
    tone = WOODS[kit.rng.choice(list(WOODS))]
    case = coat("wood", patterns.wood(kit.rng, tone)) if wood else coat(kit.one("satin", "gloss"), kit.main.rgb)
    outline = (
        shapes.oval(w, d, 2.6 if style == "pill" else 2.2)
        if style in {"pill", "tower"}
        else shapes.rounded_rect(w, d, kit.between(0.03, 0.1), 5)
    )
    if style in {"pill", "tower"}:
        picture, word = kit.pattern(TEXTILES, 768, 384)
        parts.slab(outline, h, 0.1, coat("fabric", picture))
        parts.slab(outline * 0.9, 0.04, 0.015, case, at=(0, 0, h - 0.015))
        parts.slab(outline * 0.96, 0.06, 0.02, case)
        for x in (-0.08, 0, 0.08):
            parts.disc(0.025, 0.02, 0.008, coat("rubber", kit.accent.rgb), (x, 0, h + 0.02))
        return Facts("wireless speaker", "fabric", word)
    parts.slab(outline, h, 0.04, case)
    cone, ring = (
        coat("rubber", (38, 38, 42) if kit.chance(0.6) else kit.second.rgb),
        coat("chrome", palette.STEEL if kit.chance(0.6) else palette.BRASS),
    )
    front = -d / 2
    for x, z, size in _front(kit, style, (w, d, h)):
        bowl = np.asarray(
            [(size, 0.0), (size * 0.94, 0.03), (size * 0.8, 0.03), (size * 0.35, -0.015), (size * 0.3, 0.01), (0, 0.02)]
        )
        parts.place(parts.lathe(bowl, cone, by_length=True), (x, front - 0.004, z), (90, 0, 0))
        loop = parts.tube(shapes.arc((0, 0, 0), size, 0, 352, 40, "xy"), 0.012, ring, loop=True)
        parts.place(loop, (x, front - 0.012, z), (90, 0, 0))
    return Facts("bookshelf speaker" if style == "cabinet" else "retro radio", "wood" if wood else "plastic")


def _front(kit: Kit, style: str, size: shapes.Triple) -> tuple[shapes.Triple, ...]:
    """Cover a radio's front with cloth; returns (x, z, radius) of each cone or knob."""
    w, d, h = size
    if style == "cabinet":
        return ((0.0, h * 0.33, 0.2), (0.0, h * 0.76, 0.1))
    cloth, _ = kit.pattern(TEXTILES, 512, 512)
    grille = parts.slab(shapes.rounded_rect(w * 0.56, h * 0.74, 0.05), 0.03, 0.01, coat("fabric", cloth), flat="xy")
    parts.place(grille, (-w * 0.17, 0.012 - d / 2, h / 2), (90, 0, 0))
    parts.tube(
        shapes.smooth(
            [(-w * 0.4, 0, h - 0.02), (-w * 0.36, 0, h + 0.12), (w * 0.36, 0, h + 0.12), (w * 0.4, 0, h - 0.02)], 28
        ),
        0.02,
        coat("leather", kit.accent.rgb),
    )
    return ((w * 0.3, h * 0.66, 0.09), (w * 0.22, h * 0.24, 0.045), (w * 0.38, h * 0.24, 0.045))
