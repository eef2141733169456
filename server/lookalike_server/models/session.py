"""Runs one network on onnxruntime: float32 arrays in, float32 arrays out. Knows no pictures; its only user."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnxruntime

from lookalike_server.errors import BadModel
from lookalike_server.models.manifest import Manifest

FloatArray = npt.NDArray[np.float32]

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
# Of onnxruntime's severities: its errors come as exceptions too, its warnings are about its own optimisations.
FATAL_ONLY = 4
BATCH, HEIGHT, WIDTH = 0, 2, 3  # axes of the input
# Runs at once that share the cores; more would only take them from each other.
RUNS_MAX = 2


class Crowd:
    """Counts the runs under way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs = 0

    @contextmanager
    def joined(self) -> Iterator[bool]:
        """Count one run more in the block; yield whether it is alone."""
        with self._lock:
            self._runs += 1
            alone = self._runs == 1
        try:
            yield alone
        finally:
            with self._lock:
                self._runs -= 1


@dataclass(frozen=True)
class Runtime:
    """On what the networks run."""

    providers: tuple[str, ...] = ("cpu",)
    """"cpu", "cuda", "tensorrt" or onnxruntime's own names, the preferred one first."""
    threads: int = 0
    """Threads for a run that is alone; 0: one for each core."""
    crowd: Crowd = field(default_factory=Crowd, compare=False, repr=False)
    """Shared by the networks that run on the same cores."""

    @property
    def threads_alone(self) -> int:
        """Threads of a run that is alone."""
        return self.threads or os.cpu_count() or 1

    @property
    def threads_shared(self) -> int:
        """Threads of each of several runs at once."""
        return max(1, self.threads_alone // RUNS_MAX)

    def names(self) -> list[str]:
        """Return onnxruntime's names of the providers, or raise BadModel if one is not installed."""
        names = [PROVIDERS.get(name, name) for name in self.providers]
        installed = onnxruntime.get_available_providers()
        for name in names:
            if name not in installed:
                raise BadModel(
                    f"this onnxruntime has no {name}, only {', '.join(installed)}; install another build of it"
                )
        return names


class Session:
    """One loaded network with one input and one output of interest.

    It is loaded twice, for a run on all cores and for a run on its share of them: threads of one run wait for each
    other, so two runs on a core each do more work than one on two, and a lone one is quicker on two.
    """

    def __init__(self, content: bytes, manifest: Manifest, runtime: Runtime) -> None:
        self._input, self._output = manifest.input, manifest.output
        self._crowd = runtime.crowd
        names = runtime.names()
        self.on_cpu = names[0] == PROVIDERS["cpu"]
        try:
            self._session = loaded(content, names, runtime.threads_alone)
            shares = self.on_cpu and runtime.threads_shared < runtime.threads_alone
            self._shared = loaded(content, names, runtime.threads_shared) if shares else self._session
        # onnxruntime's errors have no common base but this one.
        except Exception as error:
            raise BadModel(f"{manifest.id}: onnxruntime cannot load {manifest.file}: {error}") from error
        free = self._check_input(manifest)
        self.batches = BATCH in free
        """Whether it takes several pictures at once."""
        self.any_size = {HEIGHT, WIDTH} <= free
        """Whether it takes pictures of other sizes than the manifest's."""
        if self._output not in {output.name for output in self._session.get_outputs()}:
            raise BadModel(f"{manifest.id}: {manifest.file} has no output {self._output!r}, which the manifest names")

    def run(self, inputs: FloatArray) -> FloatArray:
        """Return the output for (n, 3, height, width); n is 1 unless the network `batches`."""
        with self._crowd.joined() as alone:
            session = self._session if alone else self._shared
            output: FloatArray = session.run([self._output], {self._input.name: inputs})[0]
        return output

    def probe(self) -> FloatArray:
        """Return the output for one grey picture, which also warms the network up."""
        grey = np.full(self._input.shape, 0.5, np.float32)
        try:
            return self.run(grey)
        except Exception as error:  # as above
            raise BadModel(
                f"the network cannot run on a picture of the size that its manifest says: {error}"
            ) from error

    def _check_input(self, manifest: Manifest) -> set[int]:
        """Return which axes of the input the network leaves free; raise BadModel if it takes something else."""
        inputs = {node.name: node for node in self._session.get_inputs()}
        if list(inputs) != [self._input.name]:
            found = ", ".join(inputs)
            raise BadModel(f"{manifest.id}: {manifest.file} takes {found}; the manifest says {self._input.name}")
        node = inputs[self._input.name]
        wanted = self._input.shape
        # A size that the network leaves free is a name or None.
        fits = len(node.shape) == 4 and all(
            size == want for size, want in zip(node.shape, wanted, strict=True) if isinstance(size, int)
        )
        if not fits or node.type != "tensor(float)":
            raise BadModel(f"{manifest.id}: {manifest.file} takes {node.type} {node.shape}; the manifest says {wanted}")
        return {axis for axis, size in enumerate(node.shape) if not isinstance(size, int)}


def loaded(content: bytes, providers: list[str], threads: int) -> onnxruntime.InferenceSession:
    """Load a network for runs on so many threads."""
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = FATAL_ONLY
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    # Threads spin while they wait for the next operator, and by default for a while after the last: the detector's then
    # take the cores from the embedder, which halves the speed of one after the other on two cores.
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(content, settings, providers=providers)
