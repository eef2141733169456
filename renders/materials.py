"""Builds Blender materials: a finish (glaze, leather, steel ...) over a colour or a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from PIL import Image

from renders.palette import Rgb, linear

Material = Any


@dataclass(frozen=True)
class Finish:
    """How a surface takes light; `bump` names the relief, `grain` is how many bumps fit in one unit."""

    rough: float
    metal: float = 0.0
    coat: float = 0.0
    clear: float = 0.0
    sheen: float = 0.0
    bump: str = ""
    grain: float = 40.0
    relief: float = 0.2


FINISHES: dict[str, Finish] = {
    "glaze": Finish(0.12, coat=0.5),
    "stoneware": Finish(0.55, bump="noise", grain=60, relief=0.12),
    "matte": Finish(0.6),
    "gloss": Finish(0.22, coat=0.3),
    "satin": Finish(0.38),
    "rubber": Finish(0.75, bump="noise", grain=200, relief=0.05),
    "steel": Finish(0.28, metal=1.0),
    "chrome": Finish(0.08, metal=1.0),
    "brushed": Finish(0.4, metal=1.0, bump="brushed", grain=60, relief=0.06),
    "enamel": Finish(0.2, coat=0.6, bump="noise", grain=9, relief=0.03),
    "leather": Finish(0.48, bump="cells", grain=70, relief=0.25),
    "fabric": Finish(0.9, sheen=0.4, bump="weave", grain=90, relief=0.35),
    "canvas": Finish(0.85, bump="weave", grain=140, relief=0.3),
    "plush": Finish(0.95, sheen=0.9, bump="noise", grain=120, relief=0.7),
    "knit": Finish(0.95, sheen=0.5, bump="weave", grain=30, relief=0.8),
    "card": Finish(0.5),
    "paper": Finish(0.7, bump="noise", grain=30, relief=0.05),
    "wood": Finish(0.45, coat=0.15),
    "wax": Finish(0.5, sheen=0.2),
    "clay": Finish(0.85, bump="noise", grain=50, relief=0.25),
    "glass": Finish(0.04, clear=0.75, coat=0.3),
    "terry": Finish(1.0, sheen=0.6, bump="noise", grain=160, relief=0.9),
}


def coat(finish: str, paint: Rgb | Image.Image, repeat: tuple[float, float] = (1.0, 1.0)) -> Material:
    """Return a material of that finish in a plain colour, or with a picture `repeat`ed over the UV map."""
    how = FINISHES[finish]
    made = bpy.data.materials.new(finish)
    made.use_nodes = True
    nodes, links = made.node_tree.nodes, made.node_tree.links
    shader = nodes["Principled BSDF"]
    values = {"Roughness": how.rough, "Metallic": how.metal, "Coat Weight": how.coat, "Sheen Weight": how.sheen}
    for name, value in (values | {"Transmission Weight": how.clear}).items():
        shader.inputs[name].default_value = value
    if isinstance(paint, tuple):
        shader.inputs["Base Color"].default_value = linear(paint)
    else:
        texture = nodes.new("ShaderNodeTexImage")
        texture.image = _image(paint)
        mapping, place = nodes.new("ShaderNodeMapping"), nodes.new("ShaderNodeTexCoord")
        mapping.inputs["Scale"].default_value = (repeat[0], repeat[1], 1.0)
        links.new(place.outputs["UV"], mapping.inputs["Vector"])
        links.new(mapping.outputs["Vector"], texture.inputs["Vector"])
        links.new(texture.outputs["Color"], shader.inputs["Base Color"])
    if how.bump:
        _relief(made, how)
    return made


def glow(rgb: Rgb, strength: float) -> Material:
    """Return a material that gives light."""
    made = coat("matte", rgb)
    shader = made.node_tree.nodes["Principled BSDF"]
    shader.inputs["Emission Color"].default_value = linear(rgb)
    shader.inputs["Emission Strength"].default_value = strength
    return made


def _image(picture: Image.Image) -> Any:
    """Return a picture as a Blender image that lives in memory only."""
    rgba = np.asarray(picture.convert("RGBA"), dtype=np.float32)[::-1] / 255.0
    image = bpy.data.images.new("paint", picture.width, picture.height)
    image.pixels.foreach_set(np.ascontiguousarray(rgba).ravel())
    image.pack()
    return image


def _relief(made: Material, how: Finish) -> None:
    """Add the finish's bumps to a material."""
    nodes, links = made.node_tree.nodes, made.node_tree.links
    place, bump = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeBump")
    bump.inputs["Strength"].default_value = how.relief
    bump.inputs["Distance"].default_value = 0.02
    if how.bump == "cells":
        source, height = nodes.new("ShaderNodeTexVoronoi"), "Distance"
        source.inputs["Scale"].default_value = how.grain
        links.new(place.outputs["Object"], source.inputs["Vector"])
    elif how.bump == "weave":
        source, height = nodes.new("ShaderNodeTexChecker"), "Fac"
        source.inputs["Scale"].default_value = how.grain
        links.new(place.outputs["UV"], source.inputs["Vector"])
    else:
        source, height = nodes.new("ShaderNodeTexNoise"), "Fac"
        source.inputs["Scale"].default_value = how.grain
        source.inputs["Detail"].default_value = 2.0
        links.new(place.outputs["Object"], source.inputs["Vector"])
        if how.bump == "brushed":
            stretch = nodes.new("ShaderNodeMapping")
            stretch.inputs["Scale"].default_value = (1.0, 1.0, 12.0)
            links.new(place.outputs["Object"], stretch.inputs["Vector"])
            links.new(stretch.outputs["Vector"], source.inputs["Vector"])
    links.new(source.outputs[height], bump.inputs["Height"])
    links.new(bump.outputs["Normal"], nodes["Principled BSDF"].inputs["Normal"])
