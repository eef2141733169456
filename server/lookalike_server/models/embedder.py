"""Turns parts of pictures into unit vectors with a ResNet. Knows no files, no queues and no shop."""

from collections.abc import Sequence

import numpy as np

from lookalike_server.errors import BadModel
from lookalike_server.image import Picture
from lookalike_server.models.manifest import EmbedderFace, Manifest
from lookalike_server.models.session import FloatArray, Session
from lookalike_server.regions import Box

# A vector this short has no direction: only a broken network makes it.
LENGTH_MIN = 1e-12


class Embedder:
    """A loaded ResNet; any thread may use it."""

    def __init__(self, manifest: Manifest, session: Session) -> None:
        if not isinstance(manifest.face, EmbedderFace):
            raise BadModel(f"{manifest.id} is a {manifest.kind.value}, not an embedder")
        self.id = manifest.id
        self.dim = manifest.face.dim
        self.calibration = manifest.face.calibration
        self._fit = manifest.input.fit
        self._margin = manifest.face.margin
        self._session = session
        shape = session.probe().shape
        if shape != (1, self.dim):
            raise BadModel(f"{manifest.id}: the output has shape {shape}; dim {self.dim} means (1, {self.dim})")

    def prepare(self, picture: Picture, boxes: Sequence[Box]) -> list[FloatArray]:
        """Cut parts of a picture, with the margin the network knows, and scale them to its (3, height, width)."""
        return [picture.tensor(self._fit, box.grown(self._margin))[0] for box in boxes]

    def run(self, inputs: Sequence[FloatArray]) -> list[FloatArray]:
        """Return a unit vector (dim,) for each input."""
        if self._session.batches and len(inputs) > 1:
            raw = self._session.run(np.stack(inputs))
        else:
            raw = np.concatenate([self._session.run(one[None]) for one in inputs])
        return list(raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), LENGTH_MIN))
