"""What a model says of itself, and whether that makes sense. Knows no files and no networks."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from lookalike_server.errors import BadModel
from lookalike_server.image import Fit
from lookalike_server.models.match import Calibration

Word = TypeVar("Word", bound=Enum)

SCHEMA = 1
# The width of the shards' vector column.
DIM = 256
# A side of 2,048 px is 50 MB of input for one picture: larger is a mistake.
SIDE_PX_MAX = 2048
# Rows carry the model's id beside each vector, and this much of the network's SHA-256 in it.
DIGEST_HEX = 8
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
# A box with more around it shows more of other things than of its own.
MARGIN_MAX = 0.5
# Whether the aspect is kept, with grey around, or the picture is stretched.
FITS = {"letterbox": True, "stretch": False}
SHA256 = re.compile(r"[0-9a-f]{64}")


class Kind(Enum):
    """What a model is for."""

    DETECTOR = "detector"
    EMBEDDER = "embedder"


class Head(Enum):
    """How a detector's numbers are to be read; pixels are those of its input."""

    END2END = "end2end"
    """(1, n, 6): left, top, right, bottom, score, class; already without doubles."""
    YOLO = "yolo"
    """(1, 4 + classes, n): centre x, centre y, width, height, one score per class; with doubles."""


@dataclass(frozen=True)
class Input:
    """What the network is fed: float32 (n, 3, height, width)."""

    name: str
    fit: Fit

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape for one picture."""
        return 1, 3, self.fit.height, self.fit.width


@dataclass(frozen=True)
class DetectorFace:
    """What is special to a detector."""

    head: Head
    classes: tuple[str, ...]


@dataclass(frozen=True)
class EmbedderFace:
    """What is special to an embedder."""

    dim: int
    calibration: Calibration | None = None
    """What its cosines mean; None where nobody has measured it."""
    margin: float = 0.0
    """So much of a box's width and height it is shown beyond each side, 0 to MARGIN_MAX."""


@dataclass(frozen=True)
class Manifest:
    """One model."""

    name: str
    version: str
    file: str
    sha256: str
    input: Input
    output: str
    face: DetectorFace | EmbedderFace
    licence: str
    trained_on: str
    metrics: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The model as "name@version+digest", so that two networks under one version are not taken for one."""
        return f"{self.name}@{self.version}+{self.sha256[:DIGEST_HEX]}"

    @property
    def kind(self) -> Kind:
        """What it is for."""
        return Kind.DETECTOR if isinstance(self.face, DetectorFace) else Kind.EMBEDDER


def parse(text: str | bytes) -> Manifest:
    """Read manifest.json, or raise BadModel that names the entry that is wrong."""
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise BadModel(f"manifest.json is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise BadModel("manifest.json is not a JSON object")
    if raw.get("schema") != SCHEMA:
        raise BadModel(f"manifest.json has schema {raw.get('schema')!r}; this version of lookalike reads {SCHEMA}")
    return Manifest(
        name=matching(raw, "name", NAME),
        version=matching(raw, "version", NAME),
        file=matching(raw, "file", NAME),
        sha256=matching(raw, "sha256", SHA256),
        input=parse_input(entry(raw, "input", dict)),
        output=entry(raw, "output", str),
        face=parse_face(raw),
        licence=entry(raw, "licence", str),
        trained_on=str(raw.get("trained_on", "")),
        metrics=raw.get("metrics") or {},
    )


def parse_input(raw: dict[str, Any]) -> Input:
    """Read the entry "input": value p of 0 to 255 becomes (p / 255 * range - mean) / std."""
    width, height = entry(raw, "width", int), entry(raw, "height", int)
    if not (0 < width <= SIDE_PX_MAX and 0 < height <= SIDE_PX_MAX):
        raise BadModel(f"manifest.json: the input is {width} x {height} px; sides are 1 to {SIDE_PX_MAX}")
    if raw.get("color") != "RGB":
        raise BadModel(f"manifest.json: color is {raw.get('color')!r}; only RGB is served")
    if raw.get("fit") not in FITS:
        raise BadModel(f"manifest.json: fit is {raw.get('fit')!r}, not one of {', '.join(FITS)}")
    mean, std, span = rgb(raw, "mean"), rgb(raw, "std"), number(raw, "range")
    if not all(std):
        raise BadModel("manifest.json: std holds a 0")
    scale = span / 255 / std[0], span / 255 / std[1], span / 255 / std[2]
    bias = -mean[0] / std[0], -mean[1] / std[1], -mean[2] / std[2]
    return Input(entry(raw, "name", str), Fit(width, height, FITS[raw["fit"]], scale, bias))


def parse_face(raw: dict[str, Any]) -> DetectorFace | EmbedderFace:
    """Read what is special to the manifest's kind."""
    if choice(raw, "kind", Kind) is Kind.EMBEDDER:
        dim = entry(raw, "dim", int)
        if dim != DIM:
            raise BadModel(f"manifest.json: dim is {dim}; the shards keep vectors of {DIM} numbers")
        return EmbedderFace(dim, parse_match(raw), parse_margin(raw))
    classes = entry(raw, "classes", list)
    if not classes or not all(isinstance(name, str) for name in classes):
        raise BadModel("manifest.json: classes must be a list of one or more names")
    return DetectorFace(choice(raw, "head", Head), tuple(classes))


def parse_margin(raw: dict[str, Any]) -> float:
    """Read the entry "margin", which an embedder may lack."""
    margin = number(raw, "margin") if "margin" in raw else 0.0
    if not 0 <= margin <= MARGIN_MAX:
        raise BadModel(f"manifest.json: margin is {margin}, not 0 to {MARGIN_MAX} of a box's side")
    return margin


def parse_match(raw: dict[str, Any]) -> Calibration | None:
    """Read the entry "match", which an embedder may lack."""
    if raw.get("match") is None:
        return None
    said = entry(raw, "match", dict)
    names = ("slope", "offset", "same_min", "similar_min", "weak_min")
    one = Calibration(*(number(said, name) for name in names))
    finite = math.isfinite(one.slope) and math.isfinite(one.offset)
    if not (finite and one.slope > 0 and 1 >= one.same_min >= one.similar_min >= one.weak_min > 0):
        raise BadModel(
            "manifest.json: match must have a slope above 0 and 1 >= same_min >= similar_min >= weak_min > 0; "
            "fit it again with `lookalike-server models calibrate`"
        )
    return one


def entry(raw: dict[str, Any], name: str, kind: type) -> Any:
    """Return an entry of the right type."""
    value = raw.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BadModel(f"manifest.json: {name} is {value!r}, not a JSON {kind.__name__}")
    return value


def matching(raw: dict[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    """Return a text entry of the right shape."""
    value: str = entry(raw, name, str)
    if not pattern.fullmatch(value):
        raise BadModel(f"manifest.json: {name} is {value!r}, which is not of the form {pattern.pattern}")
    return value


def number(raw: dict[str, Any], name: str) -> float:
    """Return a number entry."""
    return float(entry(raw, name, int) if isinstance(raw.get(name), int) else entry(raw, name, float))


def rgb(raw: dict[str, Any], name: str) -> tuple[float, float, float]:
    """Return an entry of three numbers."""
    values = entry(raw, name, list)
    if len(values) != 3 or not all(isinstance(value, int | float) for value in values):
        raise BadModel(f"manifest.json: {name} is {values!r}, not three numbers")
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def choice(raw: dict[str, Any], name: str, words: type[Word]) -> Word:
    """Return an entry that is one of a few words."""
    value = raw.get(name)
    try:
        return words(value)
    except ValueError as error:
        known = ", ".join(repr(word.value) for word in words)
        raise BadModel(f"manifest.json: {name} is {value!r}, not one of {known}") from error
