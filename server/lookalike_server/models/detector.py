"""Finds products in pictures with a YOLO network. Knows no files, no queues and no shop."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lookalike_server.errors import BadModel
from lookalike_server.image import Frame, Picture
from lookalike_server.models.manifest import DetectorFace, Head, Manifest
from lookalike_server.models.session import FloatArray, Session
from lookalike_server.regions import Box, Detection

# Below this a YOLO's boxes are mostly wrong; ultralytics' own default.
SCORE_MIN = 0.25
# A shopper taps one of a handful; a shelf has dozens.
DETECTIONS_MAX = 20
# Two boxes that share more than this are one product seen twice, whatever their classes.
SAME_IOU = 0.6
# Doubles are sought among the best only: it takes n² comparisons.
CANDIDATES_MAX = 300
# A box below 1 % of the side shows nothing that could be embedded.
SIDE_MIN = 0.01
# The coarsest grid of a YOLO: sides of its input are multiples of it. A network that takes any size is not fed the grey
# that would make a photo square: a quarter of the work for one of 4:3.
STRIDE = 32


@dataclass(frozen=True, eq=False)
class DetectorInput:
    """One picture as the network wants it, (3, height, width), and where in that it lies."""

    tensor: FloatArray
    frame: Frame


class Detector:
    """A loaded YOLO; any thread may use it."""

    def __init__(
        self,
        manifest: Manifest,
        session: Session,
        *,
        score_min: float = SCORE_MIN,
        detections_max: int = DETECTIONS_MAX,
    ) -> None:
        if not isinstance(manifest.face, DetectorFace):
            raise BadModel(f"{manifest.id} is an {manifest.kind.value}, not a detector")
        self.id = manifest.id
        # On a CPU a batch is no faster than one picture after another, and takes many times the memory.
        self.batches = session.batches and not session.on_cpu
        """Whether several pictures go through the network at once."""
        self._face = manifest.face
        self._fit = replace(manifest.input.fit, multiple=STRIDE if session.any_size else 0)
        self._session = session
        self._score_min = score_min
        self._detections_max = detections_max
        check_output(manifest, session.probe().shape)

    def prepare(self, picture: Picture) -> DetectorInput:
        """Scale a picture to the network's input."""
        return DetectorInput(*picture.tensor(self._fit))

    def run(self, inputs: Sequence[DetectorInput]) -> list[tuple[Detection, ...]]:
        """Return what each picture shows, best first."""
        if self.batches and len({one.tensor.shape for one in inputs}) == 1:
            outputs = list(self._session.run(np.stack([one.tensor for one in inputs])))
        else:
            outputs = [self._session.run(one.tensor[None])[0] for one in inputs]
        return [self._read(output, one.frame) for output, one in zip(outputs, inputs, strict=True)]

    def _read(self, output: FloatArray, frame: Frame) -> tuple[Detection, ...]:
        rows = read_yolo(output) if self._face.head is Head.YOLO else output
        rows = rows[rows[:, 4] >= self._score_min]  # NaN is dropped too
        rows = rows[np.argsort(-rows[:, 4], kind="stable")][:CANDIDATES_MAX]
        boxes = fractions(rows[:, :4], frame)
        large = ((boxes[:, 2:] - boxes[:, :2]) >= SIDE_MIN).all(axis=1)
        rows, boxes = rows[large], boxes[large]
        kept = distinct(boxes)[: self._detections_max]
        return tuple(
            Detection(Box(*boxes[at].tolist()), min(1.0, float(rows[at, 4])), self._face.classes[int(rows[at, 5])])
            for at in kept
            if 0 <= rows[at, 5] < len(self._face.classes)
        )


def check_output(manifest: Manifest, shape: tuple[int, ...]) -> None:
    """Raise BadModel if a detector's output cannot be read as its manifest says."""
    face = manifest.face
    assert isinstance(face, DetectorFace)
    columns = 4 + len(face.classes)
    fits = {
        Head.END2END: len(shape) == 3 and shape[2] == 6,
        Head.YOLO: len(shape) == 3 and shape[1] == columns,
    }[face.head]
    if not fits:
        wanted = "(1, n, 6)" if face.head is Head.END2END else f"(1, {columns}, n)"
        raise BadModel(f"{manifest.id}: the output has shape {shape}; head {face.head.value!r} means {wanted}")


def read_yolo(output: FloatArray) -> FloatArray:
    """Turn (4 + classes, n) into (n, 6): left, top, right, bottom, best score and its class."""
    centres, sizes, scores = output[:2], output[2:4], output[4:]
    best = scores.argmax(axis=0)
    top_scores = np.take_along_axis(scores, best[None], axis=0)
    return np.concatenate([centres - sizes / 2, centres + sizes / 2, top_scores, best[None].astype(np.float32)]).T


def fractions(boxes: FloatArray, frame: Frame) -> npt.NDArray[np.float64]:
    """Turn (n, 4) boxes in pixels of the input into fractions of the picture in it, cut at its edges."""
    offset = np.array([frame.left, frame.top, frame.left, frame.top], np.float64)
    size = np.array([frame.width, frame.height, frame.width, frame.height], np.float64)
    return np.clip((boxes - offset) / size, 0.0, 1.0)


def distinct(boxes: npt.NDArray[np.float64]) -> list[int]:
    """Return which of (n, 4) boxes, best first, overlap no better one by more than SAME_IOU."""
    corner = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    shared = np.clip(np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - corner, 0, None).prod(axis=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    same = shared > SAME_IOU * (areas[:, None] + areas[None] - shared)
    kept: list[int] = []
    gone = np.zeros(len(boxes), bool)
    for at in range(len(boxes)):
        if not gone[at]:
            kept.append(at)
            gone |= same[at]
    return kept
