"""Parts of a picture in fractions of its upright width and height. Knows no pixels' colours and no models."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Box:
    """A rectangle; 0 is left or top, 1 is right or bottom, and it is never empty."""

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        # Written so that NaN, which compares false with everything, is refused too.
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            raise ValueError(f"{self} is not inside the picture: 0 <= left < right <= 1 and 0 <= top < bottom <= 1")

    @property
    def area(self) -> float:
        """The part of the picture it covers, 0 to 1."""
        return (self.right - self.left) * (self.bottom - self.top)

    def holds(self, point: "Point") -> bool:
        """Say whether `point` lies in it, its edges included."""
        return self.left <= point.x <= self.right and self.top <= point.y <= self.bottom

    def grown(self, margin: float) -> "Box":
        """Return it with `margin` of its width and height more on each side, where the picture has that."""
        x, y = margin * (self.right - self.left), margin * (self.bottom - self.top)
        return Box(max(0.0, self.left - x), max(0.0, self.top - y), min(1.0, self.right + x), min(1.0, self.bottom + y))

    def iou(self, other: "Box") -> float:
        """Return intersection over union with `other`, 0 to 1."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        shared = max(0.0, width) * max(0.0, height)
        return shared / (self.area + other.area - shared)


WHOLE_BOX = Box(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Point:
    """A place in the picture, 0 to 1 each way."""

    x: float
    y: float

    def __post_init__(self) -> None:
        if not (0 <= self.x <= 1 and 0 <= self.y <= 1):
            raise ValueError(f"{self} is not inside the picture: x and y are fractions from 0 to 1")


@dataclass(frozen=True)
class Whole:
    """The whole picture."""


Region: TypeAlias = Box | Point | Whole | None
"""What the caller asks to look at; None leaves the choice to the server."""


@dataclass(frozen=True)
class Detection:
    """One product seen; `score` is how sure the detector is, 0 to 1."""

    box: Box
    score: float
    label: str


def at_point(detections: Iterable[Detection], point: Point) -> Detection | None:
    """Return the smallest detection that holds `point`, or None."""
    return min((seen for seen in detections if seen.box.holds(point)), key=lambda seen: seen.box.area, default=None)
