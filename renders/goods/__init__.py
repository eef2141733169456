"""The kinds of goods, each with the function that models one from its dice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bpy

from renders import stage
from renders.goods import gear, home, kitchen, pantry, play, wear
from renders.kit import Facts, Kit

Builder = Callable[[Kit], Facts]
BUILDERS: dict[str, Builder] = {
    "mug": kitchen.mug,
    "teapot": kitchen.teapot,
    "vase": kitchen.vase,
    "bowl": kitchen.bowl,
    "pan": kitchen.pan,
    "bottle": kitchen.bottle,
    "carton": pantry.carton,
    "milk": pantry.milk,
    "can": pantry.can,
    "jar": pantry.jar,
    "soap": pantry.soap,
    "perfume": pantry.perfume,
    "candle": pantry.candle,
    "lamp": home.lamp,
    "clock": home.clock,
    "cushion": home.cushion,
    "plant": home.plant,
    "chair": home.chair,
    "stool": home.stool,
    "shoe": wear.shoe,
    "hat": wear.hat,
    "handbag": wear.handbag,
    "backpack": wear.backpack,
    "suitcase": wear.suitcase,
    "sunglasses": gear.sunglasses,
    "headphones": gear.headphones,
    "book": play.book,
    "plush": play.plush,
    "car": play.car,
    "drum": play.drum,
    "ukulele": play.ukulele,
    "speaker": gear.speaker,
}

# Goods with a blank back: nobody photographs a clock or a book from behind.
FRONTED = frozenset({"clock", "speaker", "book"})


def reach_deg(category: str) -> float:
    """Return how far round its front a category is looked at."""
    return 75.0 if category in FRONTED else 180.0


@dataclass(frozen=True)
class Product:
    """A modelled product: its handle in Blender, its dice and what a shop says of it."""

    handle: Any
    kit: Kit
    facts: Facts


def product_id(category: str, seed: int) -> str:
    """Return the id of a product: the same id is the same product."""
    return f"{category}-{seed:04d}"


def build(category: str, seed: int, size: float = 1.0) -> Product:
    """Model a product in the open scene, its longest side `size`."""
    before = {o.name for o in bpy.context.scene.objects}
    kit = Kit(category, seed)
    facts = BUILDERS[category](kit)
    return Product(stage.gather(before, size), kit, facts)
