"""Puts a product before a camera under lights and renders it. Knows no goods: it is handed their builder's result."""

from __future__ import annotations

import colorsys
import math
import os
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector

from renders.shapes import Points, Triple

Object = Any


@dataclass(frozen=True)
class View:
    """Where the camera stands: angles in degrees, `spread_deg` the angle of view; a wide one is nearer."""

    azimuth_deg: float
    elevation_deg: float
    roll_deg: float = 0.0
    spread_deg: float = 28.0


@dataclass(frozen=True)
class Light:
    """A key light of a colour from a direction, a fill from the other side and the sky's strength."""

    azimuth_deg: float
    elevation_deg: float
    warmth: float  # -1 is blue, 0 white, 1 candle
    key: float
    sky: float
    size: float
    exposure: float = 0.0


def any_view(rng: Random, reach_deg: float = 180.0) -> View:
    """Return a view from up to `reach_deg` to either side of the front, from a little to well above."""
    return View(rng.uniform(-reach_deg, reach_deg), rng.uniform(5, 50), rng.gauss(0, 4), rng.uniform(18, 45))


def any_light(rng: Random) -> Light:
    """Return some indoor or outdoor light."""
    return Light(
        azimuth_deg=rng.uniform(0, 360),
        elevation_deg=rng.uniform(20, 75),
        warmth=rng.gauss(0.1, 0.45),
        key=rng.uniform(0.3, 1.5),
        sky=rng.uniform(0.35, 1.1),
        size=rng.uniform(0.3, 3.0),
        exposure=rng.gauss(-0.1, 0.3),
    )


def reset(samples: int, width: int, height: int, bounces: int = 3) -> None:
    """Empty Blender and set the renderer for a picture of that size with a transparent film."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.film_transparent = True
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.image_settings.compression = 60
    scene.render.use_persistent_data = True
    # One process a core renders more pictures a minute than one process on all of them.
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.view_settings.view_transform = "Standard"
    cycles = scene.cycles
    cycles.samples, cycles.use_adaptive_sampling = samples, False
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.denoising_prefilter, cycles.denoising_quality = "FAST", "FAST"
    # Few lamps: choosing among them by a tree costs more than it saves.
    cycles.use_light_tree = False
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = bounces, 2, 2
    cycles.transmission_bounces, cycles.transparent_max_bounces = 4, 4
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 4.0


def gather(before: set[str], size: float = 1.0) -> Object:
    """Put all objects made since `before` under one handle: standing on the ground, `size` its longest side."""
    scene = bpy.context.scene
    made = [o for o in scene.objects if o.name not in before and o.parent is None]
    points = corners(made)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = size / float((high - low).max())
    handle = bpy.data.objects.new("product", None)
    scene.collection.objects.link(handle)
    middle = Vector(((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]))
    for one in made:
        one.parent = handle
        one.matrix_parent_inverse = Matrix.Translation(-middle)
    handle.scale = (scale, scale, scale)
    bpy.context.view_layer.update()
    return handle


def corners(objects: list[Object]) -> Points:
    """Return the points (n, 3) of these objects in the world, as rendered."""
    graph = bpy.context.evaluated_depsgraph_get()
    found = []
    for one in objects:
        shown = one.evaluated_get(graph)
        if one.type not in {"MESH", "CURVE"}:
            continue
        mesh = shown.to_mesh()
        flat = np.empty(len(mesh.vertices) * 3, dtype=np.float32)
        mesh.vertices.foreach_get("co", flat)
        world = np.asarray(shown.matrix_world)
        found.append(flat.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3])
        shown.to_mesh_clear()
    return np.vstack(found).astype(np.float64)


def family(handle: Object) -> list[Object]:
    """Return all objects under a handle."""
    return list(handle.children_recursive)


def direction(azimuth_deg: float, elevation_deg: float) -> Vector:
    """Return the unit vector towards that side of the sky; azimuth 0 is the front, -y."""
    a, e = math.radians(azimuth_deg - 90), math.radians(elevation_deg)
    return Vector((math.cos(a) * math.cos(e), math.sin(a) * math.cos(e), math.sin(e)))


def camera() -> Object:
    """Return the scene's camera; makes it the first time."""
    scene = bpy.context.scene
    if scene.camera is None:
        scene.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
        scene.collection.objects.link(scene.camera)
    return scene.camera


def frame(points: Points, view: View, margin: float = 0.04) -> None:
    """Aim the camera so that the points just fill the picture."""
    eye = camera()
    middle = Vector(((points.min(axis=0) + points.max(axis=0)) / 2).tolist())
    radius = float(np.linalg.norm(points - np.asarray(middle), axis=1).max())
    distance = radius / math.sin(math.radians(view.spread_deg) / 2)
    eye.location = middle + direction(view.azimuth_deg, view.elevation_deg) * distance
    look = (middle - eye.location).to_track_quat("-Z", "Y").to_matrix().to_4x4()
    eye.matrix_world = Matrix.Translation(eye.location) @ look @ Matrix.Rotation(math.radians(view.roll_deg), 4, "Z")
    local = np.column_stack([points, np.ones(len(points))]) @ np.asarray(eye.matrix_world.inverted()).T
    flat = local[:, :2] / -local[:, 2:3]
    low, high = flat.min(axis=0), flat.max(axis=0)
    render = bpy.context.scene.render
    aspect = render.resolution_x / render.resolution_y
    width = max(float(high[0] - low[0]), float(high[1] - low[1]) * aspect) * (1 + 2 * margin)
    eye.data.sensor_fit, eye.data.sensor_width = "HORIZONTAL", 36.0
    eye.data.lens = 36.0 / width
    centre = (low + high) / 2 / width
    eye.data.shift_x, eye.data.shift_y = float(centre[0]), float(centre[1])


def project(points: Points) -> Points:
    """Return where points (n, 3) lie in the picture, as fractions (n, 2) from its left and top."""
    scene = bpy.context.scene
    graph = bpy.context.evaluated_depsgraph_get()
    width, height = scene.render.resolution_x, scene.render.resolution_y
    lens = np.asarray(camera().calc_matrix_camera(graph, x=width, y=height)) @ np.asarray(
        camera().matrix_world.inverted()
    )
    seen = np.column_stack([points, np.ones(len(points))]) @ lens.T
    flat = seen[:, :2] / seen[:, 3:4]
    return np.column_stack([flat[:, 0] / 2 + 0.5, 0.5 - flat[:, 1] / 2])


def light(how: Light, rng: Random, around: Triple = (0, 0, 0.4)) -> None:
    """Light the scene; the sky has bright and dark parts for smooth surfaces to mirror."""
    scene = bpy.context.scene
    for old in [o for o in scene.objects if o.type == "LIGHT"]:
        bpy.data.objects.remove(old, do_unlink=True)
    _lamp(how.azimuth_deg, how.elevation_deg, 110 * how.key, how.size, tint(how.warmth), around)
    fill = how.azimuth_deg + rng.uniform(120, 240)
    _lamp(fill, rng.uniform(10, 45), 30 * how.key * rng.uniform(0.3, 1.2), 2.5, tint(-how.warmth * 0.3), around)
    _sky(how, rng)
    scene.view_settings.exposure = how.exposure


def tint(warmth: float) -> Triple:
    """Return the colour of light of that warmth, -1 blue to 1 orange."""
    hue, strength = (0.08, min(warmth, 1.2) * 0.45) if warmth > 0 else (0.6, min(-warmth, 1.2) * 0.35)
    return colorsys.hsv_to_rgb(hue, strength, 1.0)


def _lamp(azimuth_deg: float, elevation_deg: float, watts: float, size: float, rgb: Triple, around: Triple) -> None:
    lamp = bpy.data.lights.new("lamp", "AREA")
    lamp.energy, lamp.size, lamp.color = watts, size, rgb
    made = bpy.data.objects.new("lamp", lamp)
    away = direction(azimuth_deg, elevation_deg)
    made.location = Vector(around) + away * 3.0
    made.rotation_euler = away.to_track_quat("Z", "Y").to_euler()
    made.visible_camera = False
    bpy.context.scene.collection.objects.link(made)


def _sky(how: Light, rng: Random) -> None:
    world = bpy.context.scene.world or bpy.data.worlds.new("sky")
    bpy.context.scene.world = world
    # Sky is smooth: drawing a map of its bright parts cost 2 s a picture and bought nothing.
    world.cycles.sampling_method = "NONE"
    world.use_nodes = True
    nodes, links = world.node_tree.nodes, world.node_tree.links
    nodes.clear()
    place, noise, ramp = (nodes.new(f"ShaderNode{kind}") for kind in ("TexCoord", "TexNoise", "ValToRGB"))
    back, out = nodes.new("ShaderNodeBackground"), nodes.new("ShaderNodeOutputWorld")
    noise.inputs["Scale"].default_value = rng.uniform(1.2, 3.0)
    noise.inputs["Detail"].default_value = 1.0
    warm = tint(how.warmth * 0.6)
    for element, (at, value) in zip(ramp.color_ramp.elements, ((0.38, 0.25), (0.62, 1.5)), strict=True):
        element.position = at
        element.color = (value * warm[0], value * warm[1], value * warm[2], 1)
    back.inputs["Strength"].default_value = how.sky
    links.new(place.outputs["Generated"], noise.inputs["Vector"])
    links.new(noise.outputs["Fac"], ramp.inputs["Fac"])
    links.new(ramp.outputs["Color"], back.inputs["Color"])
    links.new(back.outputs["Background"], out.inputs["Surface"])


def shoot(path: Path) -> None:
    """Render to `path`, which appears only when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.stem}.{os.getpid()}.png")
    bpy.context.scene.render.filepath = str(half)
    bpy.ops.render.render(write_still=True)
    half.replace(path)
