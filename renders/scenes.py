"""Builds places where a shopper takes a photo: a surface, a wall behind it, clutter, light and a phone's camera."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector

from renders import palette, parts, patterns, props, shapes, stage
from renders.materials import Material, coat
from renders.palette import Rgb

WOODS: tuple[Rgb, ...] = ((196, 150, 96), (104, 66, 40), (222, 186, 130), (150, 100, 64), (80, 60, 50))
MUTED: tuple[Rgb, ...] = (
    (226, 222, 212), (200, 206, 208), (188, 196, 180), (216, 200, 186), (150, 164, 176), (120, 128, 124),
    (232, 226, 200), (176, 148, 132), (96, 108, 120), (205, 190, 205), (240, 240, 238), (70, 84, 92),
)  # fmt: skip


@dataclass(frozen=True)
class Spot:
    """A circle on the surface kept free for a product, and the height of what stands there."""

    x: float
    y: float
    radius: float
    height: float = 1.0


def muted(rng: Random) -> Rgb:
    """Return the colour of a wall or of a floor."""
    return rng.choice(MUTED)


def surface(rng: Random) -> Material:
    """Return a table top, a floor, a carpet, a cloth, a kitchen top."""
    tones = (muted(rng), muted(rng), muted(rng))
    kind = rng.choice(
        ("wood", "wood", "wood", "marble", "terrazzo", "plaid", "carpet", "tiles", "concrete", "paint", "cloth", "sofa")
    )
    match kind:
        case "wood":
            return coat(
                "wood", patterns.wood(rng, rng.choice(WOODS), 1024, 512), (rng.uniform(1, 2), rng.uniform(2, 5))
            )
        case "marble":
            return coat(
                "gloss",
                patterns.paint("marble", rng, ((236, 234, 230), muted(rng), muted(rng)), 1024, 1024),
                (1.5, 1.5),
            )
        case "terrazzo":
            return coat("satin", patterns.paint("terrazzo", rng, tones, 1024, 1024), (3, 3))
        case "plaid" | "cloth":
            pattern = "plaid" if kind == "plaid" else rng.choice(("stripes", "dots", "petals", "checks"))
            return coat("fabric", patterns.paint(pattern, rng, tones, 1024, 1024), (3, 3))
        case "carpet":
            return coat(
                "terry",
                patterns.paint(rng.choice(("clouds", "chevron", "triangles", "plain")), rng, tones, 1024, 1024),
                (1, 1),
            )
        case "tiles":
            return coat("gloss", patterns.paint("checks", rng, tones, 512, 512), (1.0, 1.0))
        case "concrete":
            return coat("clay", patterns.paint("clouds", rng, ((150, 150, 148), (176, 174, 170), (0, 0, 0)), 512, 512))
        case "sofa":
            return coat("knit", rng.choice(palette.COLOURS).rgb)
    return coat("satin", muted(rng))


def wall(rng: Random) -> Material:
    """Return paint, paper, tiles or boards."""
    tones = (muted(rng), muted(rng), muted(rng))
    match rng.choice(("paint", "paint", "paper", "tiles", "boards", "plaster")):
        case "paper":
            return coat(
                "paper",
                patterns.paint(
                    rng.choice(("leaves", "pinstripes", "petals", "triangles", "diagonal")), rng, tones, 1024, 1024
                ),
                (3, 2),
            )
        case "tiles":
            return coat("glaze", patterns.paint("checks", rng, tones, 512, 512), (2.0, 1.5))
        case "boards":
            return coat("wood", patterns.wood(rng, rng.choice(WOODS), 1024, 512), (3, 3))
        case "plaster":
            return coat("clay", patterns.paint("clouds", rng, (tones[0], (236, 234, 228), tones[2]), 512, 512))
    return coat("matte", tones[0])


def furnish(rng: Random, spots: list[Spot], clutter: int) -> None:
    """Build the surface, the wall with things on it, and `clutter` props that leave the spots free and seen."""
    _sheet(14, 10, surface(rng), (0, 1.0, -0.001))
    far = rng.uniform(1.7, 3.6)
    parts.place(_sheet(14, 8, wall(rng)), (0, far, 3.0), (90, 0, 0))
    if rng.random() < 0.5:
        parts.box((14, 0.08, rng.uniform(0.15, 0.4)), 0.02, coat("satin", muted(rng)), (0, far - 0.05, 0))
    for _ in range(rng.randint(0, 4)):
        _on_wall(rng, far)
    taken: list[Spot] = []
    for _ in range(clutter):
        for _try in range(12):
            x, y = rng.gauss(0, 1.3), rng.uniform(-1.0, far - 0.4)
            prop = rng.choice(props.FLAT if rng.random() < 0.5 else props.TALL)
            if _free(x, y, prop in props.FLAT, spots, taken):
                taken.append(_put(rng, prop, x, y))
                break


def _sheet(width: float, depth: float, material: Material, at: shapes.Triple = (0, 0, 0)) -> parts.Object:
    """Lay a flat rectangle."""
    w, d = width / 2, depth / 2
    rings = np.asarray([[(-w, -d, 0), (w, -d, 0)], [(-w, d, 0), (w, d, 0)]], dtype=float)
    return parts.place(parts.loft(rings, material, flat="xy", sheet=True), at)


def _free(x: float, y: float, flat: bool, spots: list[Spot], taken: list[Spot]) -> bool:
    """Say whether a prop here would touch a product or another prop, or hide a product."""
    for spot in spots:
        if math.hypot(x - spot.x, y - spot.y) < spot.radius + 0.5:
            return False
        if not flat and y < spot.y and abs(x - spot.x) < spot.radius + 0.5:
            return False
    return all(math.hypot(x - other.x, y - other.y) > other.radius + 0.3 for other in taken)


def _put(rng: Random, prop: props.Prop, x: float, y: float) -> Spot:
    before = {o.name for o in bpy.context.scene.objects}
    radius = prop(rng)
    handle = bpy.data.objects.new("clutter", None)
    bpy.context.scene.collection.objects.link(handle)
    for made in [o for o in bpy.context.scene.objects if o.name not in before and o is not handle]:
        made.parent = handle
    size = rng.uniform(0.7, 1.25)
    handle.location, handle.scale = (x, y, 0), (size, size, size)
    handle.rotation_euler = (0, 0, rng.uniform(0, 6.28))
    return Spot(x, y, radius * size)


def _on_wall(rng: Random, far: float) -> None:
    """Hang a picture, a board or a curtain on the wall."""
    x, z = rng.uniform(-2.4, 2.4), rng.uniform(1.1, 2.2)
    match rng.choice(("picture", "picture", "shelf", "curtain")):
        case "picture":
            w, h = rng.uniform(0.5, 1.0), rng.uniform(0.5, 1.1)
            parts.box(
                (w, 0.05, h),
                0.01,
                coat("satin", rng.choice(((30, 30, 30), (230, 226, 216), (150, 106, 66)))),
                (x, far - 0.04, z),
            )
            tones = (muted(rng), rng.choice(palette.COLOURS).rgb, muted(rng))
            art = patterns.paint(rng.choice(("blocks", "clouds", "waves", "marble", "gradient")), rng, tones, 256, 256)
            parts.box((w * 0.84, 0.02, h * 0.84), 0.004, coat("paper", art), (x, far - 0.075, z + h * 0.08))
        case "shelf":
            parts.box(
                (rng.uniform(0.8, 2.0), 0.35, 0.06),
                0.01,
                coat("wood", patterns.wood(rng, rng.choice(WOODS))),
                (x, far - 0.18, z),
            )
            for k in range(rng.randint(0, 3)):
                parts.box(
                    (0.2, 0.2, rng.uniform(0.15, 0.4)),
                    0.02,
                    coat("satin", muted(rng)),
                    (x - 0.3 + 0.3 * k, far - 0.18, z + 0.06),
                )
        case _:
            t = np.linspace(-0.5, 0.5, 60)
            line = np.column_stack([t * 1.2, 0.06 * np.sin(t * 60), np.zeros(60)])
            rings = np.asarray([line + np.array([x, far - 0.15, z]) for z in (0.0, 4.0)])
            parts.loft(rings, coat("fabric", rng.choice((muted(rng), rng.choice(palette.COLOURS).rgb))), sheet=True)


def aim(rng: Random, width: float, target_z: float, look_up: bool = False) -> float:
    """Place a phone's camera so that `width` units fit across; returns its elevation in degrees."""
    eye = stage.camera()
    elevation, azimuth = rng.uniform(10, 38), rng.uniform(-18, 18)
    spread = math.radians(rng.uniform(36, 52))
    target = Vector((rng.uniform(-0.05, 0.05) * width, 0.0, target_z))
    distance = width / 2 / math.tan(spread / 2)
    eye.location = target + stage.direction(azimuth, elevation) * distance
    look = (target - eye.location).to_track_quat("-Z", "Y").to_matrix().to_4x4()
    eye.matrix_world = (
        Matrix.Translation(eye.location) @ look @ Matrix.Rotation(math.radians(rng.gauss(0, 2.5)), 4, "Z")
    )
    eye.data.sensor_fit, eye.data.sensor_width = "HORIZONTAL", 36.0
    eye.data.lens = 18.0 / math.tan(spread / 2)
    eye.data.shift_x = eye.data.shift_y = 0.0
    eye.data.dof.use_dof = True
    eye.data.dof.focus_distance = distance * rng.uniform(0.97, 1.03)
    eye.data.dof.aperture_fstop = rng.uniform(0.6, 2.5)
    return elevation


def lit(rng: Random) -> stage.Light:
    """Return the light of a room: from a window or a lamp, rarely from behind."""
    return stage.Light(
        azimuth_deg=rng.choice((-1, 1)) * rng.uniform(15, 110),
        elevation_deg=rng.uniform(25, 65),
        warmth=rng.gauss(0.15, 0.4),
        key=rng.uniform(0.7, 2.2),
        sky=rng.uniform(0.35, 0.75),
        size=rng.uniform(0.4, 2.5),
        exposure=rng.gauss(-0.15, 0.25),
    )


def background(rng: Random, width_px: int, height_px: int, samples: int) -> None:
    """Build an empty place with clutter, its camera and light: only to be rendered."""
    open_room(samples, width_px, height_px)
    furnish(rng, [], rng.randint(10, 24))
    aim(rng, rng.uniform(2.4, 4.2), rng.uniform(0.2, 0.6))
    stage.light(lit(rng), rng, (0, 0, 0.4))


def open_room(samples: int, width_px: int, height_px: int) -> Any:
    """Empty Blender for a picture without a transparent film; returns the scene."""
    stage.reset(samples, width_px, height_px, bounces=4)
    scene = bpy.context.scene
    scene.render.film_transparent = False
    return scene
