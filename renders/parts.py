"""Turns arrays of points into smooth, UV-mapped Blender meshes. Knows shapes and materials, but no goods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np
from mathutils import Euler

from renders import shapes
from renders.shapes import Pair, Points, Triple

Object = Any  # bpy has no types
Material = Any
# Edges that bend more than this stay sharp; less, and light runs over them.
SHARP_RAD = math.radians(38)


def loft(
    rings: Points,
    material: Material,
    caps: tuple[bool, bool] = (False, False),
    cap_material: Material = None,
    across: Points | None = None,
    loop: bool = False,
    flat: str = "",
    sheet: bool = False,
) -> Object:
    """Skin rings (m, n, 3); u runs round a ring by length, v from first ring to last, or as `across` (m,) says.

    With `flat` = "xz" the picture is projected along y instead, on front and back alike. A `sheet`'s rings stay open.
    """
    m, n, _ = rings.shape
    steps = np.linalg.norm(np.diff(rings, axis=0), axis=2).mean(axis=1)
    v = np.concatenate([[0], np.cumsum(steps)]) if across is None else across
    v = (v - v.min()) / max(float(np.ptp(v)), 1e-9)
    widest = rings[int(np.argmax(np.ptp(rings.reshape(m, -1), axis=1)))]
    around = np.linalg.norm(np.diff(np.vstack([widest, widest[:1]]), axis=0), axis=1)
    u = np.concatenate([[0], np.cumsum(around)]) / max(float(around.sum()), 1e-9)
    faces: list[list[int]] = []
    uvs: list[Pair] = []
    for i in range(m if loop else m - 1):
        below, above = i * n, (i + 1) % m * n
        top = v[i + 1] if i + 1 < m else 1.0
        for j in range(n - 1 if sheet else n):
            k = (j + 1) % n
            faces.append([below + j, below + k, above + k, above + j])
            uvs += [(u[j], v[i]), (u[j + 1], v[i]), (u[j + 1], top), (u[j], top)]
    sides = len(faces)
    for corners, wanted in zip((range(n - 1, -1, -1), range((m - 1) * n, m * n)), caps, strict=True):
        if wanted:
            edge = rings.reshape(-1, 3)[[*corners]]
            uvs += [tuple(p) for p in _planar(edge)]
            faces.append([*corners])
    if flat:
        seen = _planar(rings.reshape(-1, 3), ("xyz".index(flat[0]), "xyz".index(flat[1])))
        uvs = [tuple(seen[k]) for face in faces for k in face]
    return _object(rings.reshape(-1, 3), faces, uvs, [material, cap_material or material], sides)


def _planar(points: Points, axes: Sequence[int] = ()) -> Points:
    """Return points (n, 3) flattened on two axes, by default their widest, into 0..1."""
    axes = list(axes) or sorted(np.argsort(np.ptp(points, axis=0))[1:])
    flat = points[:, axes]
    return np.asarray((flat - flat.min(axis=0)) / np.maximum(np.ptp(flat, axis=0), 1e-9))


def _object(
    points: Points, faces: list[list[int]], uvs: Sequence[Any], materials: list[Material], sides: int
) -> Object:
    mesh = bpy.data.meshes.new("part")
    mesh.from_pydata(points.tolist(), [], faces)
    layer = mesh.uv_layers.new(name="uv")
    layer.data.foreach_set("uv", np.asarray(uvs, dtype=np.float32).ravel())
    for material in materials:
        mesh.materials.append(material)
    slots = np.zeros(len(faces), dtype=np.int32)
    slots[sides:] = 1
    mesh.polygons.foreach_set("material_index", slots)
    mesh.polygons.foreach_set("use_smooth", np.ones(len(faces), dtype=bool))
    mesh.set_sharp_from_angle(angle=SHARP_RAD)
    mesh.update()
    made = bpy.data.objects.new("part", mesh)
    bpy.context.scene.collection.objects.link(made)
    return made


def lathe(profile: Points, material: Material, segments: int = 48, by_length: bool = False) -> Object:
    """Turn a profile of (radius, height) about z; v follows height, or the profile's length."""
    rings = shapes.revolve(profile, segments)
    # Profiles run upwards and outwards; one that runs downwards is an inside, and its normals still face out.
    across = None if by_length or np.ptp(profile[:, 1]) < 1e-3 else profile[:, 1]
    return loft(rings, material, across=across)


def slab(
    outline: Points,
    height: float,
    edge: float,
    material: Material,
    cap_material: Material = None,
    at: Triple = (0, 0, 0),
    flat: str = "",
) -> Object:
    """Raise an outline into a slab with rounded edges and closed caps."""
    rings = shapes.slab_rings(outline, height, edge)
    return place(loft(rings, material, (True, True), cap_material, across=rings[:, 0, 2], flat=flat), at)


def box(size: Triple, edge: float, material: Material, at: Triple = (0, 0, 0), cap_material: Material = None) -> Object:
    """Make a box with rounded edges, standing on `at`."""
    outline = shapes.rounded_rect(size[0], size[1], edge, steps=3)
    return slab(outline, size[2], edge, material, cap_material, at)


def tube(
    path: Points, radius: float, material: Material, flat: float = 1.0, sizes: Points | None = None, loop: bool = False
) -> Object:
    """Sweep a round (or, with `flat` < 1, a flattened) section along a path."""
    return sweep(path, shapes.oval(2 * radius, 2 * radius * flat, 2.0, 12), material, sizes, loop)


def sweep(
    path: Points,
    section: Points,
    material: Material,
    sizes: Points | None = None,
    loop: bool = False,
    up: Triple = (0.0, 0.0, 1.0),
) -> Object:
    """Sweep a section (n, 2) along a path (m, 3), closed at its ends or into a loop."""
    rings = shapes.sweep_rings(path, section, sizes, up)
    return loft(rings, material, caps=(not loop, not loop), loop=loop)


def ball(radius: float, material: Material, at: Triple = (0, 0, 0), squash: Triple = (1, 1, 1)) -> Object:
    """Make a sphere about `at`, squashed along its axes."""
    angles = np.linspace(-math.pi / 2, math.pi / 2, 20)
    made = lathe(np.stack([np.cos(angles) * radius, np.sin(angles) * radius], axis=1), material, 32)
    made.scale = squash
    return place(made, at)


def disc(radius: float, thick: float, edge: float, material: Material, at: Triple = (0, 0, 0)) -> Object:
    """Make a round plate with rounded edges, standing on `at`."""
    profile = shapes.fillet([(0, 0), (radius, 0), (radius, thick), (0, thick)], edge)
    return place(lathe(profile, material, by_length=True), at)


def place(made: Object, at: Triple = (0, 0, 0), turn_deg: Triple = (0, 0, 0)) -> Object:
    """Move and turn an object; returns it."""
    made.location = at
    made.rotation_euler = Euler([math.radians(a) for a in turn_deg])
    return made


def soften(made: Object, levels: int = 1) -> Object:
    """Round an object by subdivision when it is rendered."""
    modifier = made.modifiers.new("soft", "SUBSURF")
    modifier.levels = modifier.render_levels = levels
    return made


def thicken(made: Object, thickness: float) -> Object:
    """Give a sheet a thickness."""
    modifier = made.modifiers.new("thick", "SOLIDIFY")
    modifier.thickness = thickness
    modifier.offset = 0
    return made
