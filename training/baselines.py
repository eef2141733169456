"""What an embedder must beat: colours alone, and the features of a classifier that somebody else trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.serving import Vectors

# Colours are counted in so many steps a channel, in so many fields a side.
STEPS, FIELDS = 4, 2
TEACHER_PX = 224
POOLED = "AvgPool"


class Colours:
    """A histogram of colours in four fields of the picture."""

    margin = 0.0

    def vectors(self, pictures: Sequence[Image.Image]) -> Vectors:
        """Return a unit vector for each picture."""
        told = []
        for picture in pictures:
            pixels = np.asarray(picture.convert("RGB").resize((64, 64))) // (256 // STEPS)
            codes = (pixels[:, :, 0] * STEPS + pixels[:, :, 1]) * STEPS + pixels[:, :, 2]
            fields = [part for row in np.split(codes, FIELDS) for part in np.split(row, FIELDS, axis=1)]
            counts = np.concatenate([np.bincount(field.ravel(), minlength=STEPS**3) for field in fields])
            told.append(np.sqrt(counts / counts.sum()))
        return np.asarray(told, np.float32)


class Teacher:
    """The pooled features of a quantised TensorFlow Lite classifier, run by ai-edge-litert (not a dependency)."""

    margin = 0.0

    def __init__(self, file: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._run: Any = Interpreter(str(file), num_threads=threads, experimental_preserve_all_tensors=True)
        self._run.allocate_tensors()
        self._input = self._run.get_input_details()[0]["index"]
        pooled = [one for one in self._run.get_tensor_details() if POOLED in one["name"]]
        self._output, (scale, zero) = pooled[0]["index"], pooled[0]["quantization"]
        self._scale, self._zero = scale, zero

    def vectors(self, pictures: Sequence[Image.Image]) -> Vectors:
        """Return a unit vector for each picture."""
        told = []
        for picture in pictures:
            pixels = np.asarray(picture.convert("RGB").resize((TEACHER_PX, TEACHER_PX), Image.Resampling.BILINEAR))
            self._run.set_tensor(self._input, pixels[None])
            self._run.invoke()
            features = (self._run.get_tensor(self._output).ravel().astype(np.float32) - self._zero) * self._scale
            told.append(features / (np.linalg.norm(features) or 1.0))
        return np.asarray(told, np.float32)
