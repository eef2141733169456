"""Draws profiles, outlines and paths as arrays of points. Pure numpy: knows no Blender and no materials."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]  # (n, 2) or (n, 3), or rings (m, n, 3)
Pair = tuple[float, float]
Triple = tuple[float, float, float]


def fillet(corners: Sequence[Pair], radius: float, steps: int = 5) -> Points:
    """Return the open polyline through `corners` with each inner corner rounded by about `radius`."""
    points = np.asarray(corners, dtype=float)
    out = [points[0]]
    for before, here, after in zip(points[:-2], points[1:-1], points[2:], strict=True):
        to_before, to_after = before - here, after - here
        # Half of an edge at most, so that the roundings of its two ends never cross.
        reach_b = min(radius, np.linalg.norm(to_before) * 0.49)
        reach_a = min(radius, np.linalg.norm(to_after) * 0.49)
        start = here + to_before / max(np.linalg.norm(to_before), 1e-9) * reach_b
        end = here + to_after / max(np.linalg.norm(to_after), 1e-9) * reach_a
        t = np.linspace(0, 1, steps + 1)[:, None]
        out.extend((1 - t) ** 2 * start + 2 * t * (1 - t) * here + t**2 * end)
    out.append(points[-1])
    return np.asarray(out)


def smooth(knots: Sequence[Sequence[float]] | Points, count: int = 32, closed: bool = False) -> Points:
    """Return `count` points of the Catmull-Rom curve through `knots` (any dimension)."""
    points = np.asarray(knots, dtype=float)
    if closed:
        padded = np.vstack([points[-1:], points, points[:2]])
    else:
        padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    spans = len(padded) - 3
    where = np.linspace(0, spans, count, endpoint=not closed)
    index = np.minimum(where.astype(int), spans - 1)
    t = (where - index)[:, None]
    a, b, c, d = (padded[index + k] for k in range(4))
    return np.asarray(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))


def oval(width: float, depth: float, power: float = 2.0, count: int = 48) -> Points:
    """Return a closed superellipse (n, 2) from the front, anticlockwise; power 2 is an ellipse, 6 nearly a box."""
    angle = np.linspace(0, 2 * math.pi, count, endpoint=False) - math.pi / 2
    c, s = np.cos(angle), np.sin(angle)
    x = np.sign(c) * np.abs(c) ** (2 / power) * width / 2
    y = np.sign(s) * np.abs(s) ** (2 / power) * depth / 2
    return np.stack([x, y], axis=1)


def rounded_rect(width: float, depth: float, radius: float, steps: int = 4) -> Points:
    """Return a closed rounded rectangle (n, 2), anticlockwise from its front left corner."""
    radius = min(radius, width * 0.499, depth * 0.499)
    x, y = width / 2 - radius, depth / 2 - radius
    out: list[Pair] = []
    for cx, cy, start in ((x, -y, -90), (x, y, 0), (-x, y, 90), (-x, -y, 180)):
        turn = np.radians(np.linspace(start, start + 90, steps + 1))
        out.extend(zip(cx + radius * np.cos(turn), cy + radius * np.sin(turn), strict=True))
    # Begins where the front's straight edge begins, so that u = 0 is the front's left side.
    return np.roll(np.asarray(out), 1, axis=0)


def lift(outline: Points, z: float, scale: float = 1.0, shift: Pair = (0.0, 0.0)) -> Points:
    """Return a flat outline (n, 2) as a ring (n, 3) at height `z`."""
    flat = outline * scale + np.asarray(shift)
    return np.column_stack([flat, np.full(len(flat), z)])


def inset(outline: Points, amount: float) -> Points:
    """Return a convex outline around the origin, moved inwards by about `amount`."""
    half = np.abs(outline).max(axis=0)
    return outline * np.maximum((half - amount) / np.maximum(half, 1e-9), 0.02)


def revolve(profile: Points, segments: int = 48) -> Points:
    """Return the rings (m, n, 3) of a profile of (radius, height) turned about z."""
    angle = np.linspace(0, 2 * math.pi, segments, endpoint=False) - math.pi / 2
    radius = np.maximum(profile[:, :1], 1e-4)
    ring_z = np.repeat(profile[:, 1:], segments, axis=1)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), ring_z], axis=2)


def slab_rings(outline: Points, height: float, edge: float, steps: int = 4) -> Points:
    """Return the rings of an upright slab over `outline`, its upper and lower edges rounded by `edge`."""
    edge = min(edge, height * 0.49)
    turn = np.radians(np.linspace(-90, 0, steps + 1))
    lower = [lift(inset(outline, edge * (1 - math.cos(a))), edge * (1 + math.sin(a))) for a in turn]
    upper = [ring * (1, 1, -1) + (0, 0, height) for ring in lower[::-1]]
    return np.asarray(lower + upper)


def sweep_rings(path: Points, section: Points, sizes: Points | None = None, up: Triple = (0.0, 0.0, 1.0)) -> Points:
    """Return the rings of a flat `section` (n, 2) carried along `path` (m, 3), scaled by `sizes` (m,)."""
    tangents = np.gradient(path, axis=0)
    tangents /= np.maximum(np.linalg.norm(tangents, axis=1, keepdims=True), 1e-9)
    side = np.cross(tangents[0], np.asarray(up))
    if np.linalg.norm(side) < 1e-3:
        side = np.cross(tangents[0], np.asarray((1.0, 0.0, 0.0)))
    rings = []
    for k, tangent in enumerate(tangents):
        side = side - tangent * float(side @ tangent)  # carried on, not recomputed: no sudden twists
        side /= max(float(np.linalg.norm(side)), 1e-9)
        over = np.cross(side, tangent)
        size = 1.0 if sizes is None else float(sizes[k])
        rings.append(path[k] + size * (section[:, :1] * side + section[:, 1:] * over))
    return np.asarray(rings)


def arc(centre: Triple, radius: float, start_deg: float, end_deg: float, count: int = 24, plane: str = "xz") -> Points:
    """Return an arc about `centre` in the plane named by two of x, y, z."""
    angle = np.radians(np.linspace(start_deg, end_deg, count))
    out = np.tile(np.asarray(centre, dtype=float), (count, 1))
    out[:, "xyz".index(plane[0])] += radius * np.cos(angle)
    out[:, "xyz".index(plane[1])] += radius * np.sin(angle)
    return out


def around(count: int, radius: float, start_deg: float = 45.0) -> list[Pair]:
    """Return `count` places evenly round a circle."""
    angles = [math.radians(start_deg + k * 360 / count) for k in range(count)]
    return [(radius * math.cos(a), radius * math.sin(a)) for a in angles]
