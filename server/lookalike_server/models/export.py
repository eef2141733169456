"""Turns YOLO detectors and ResNets in torch into archives that the server serves.

Needs the extra `lookalike[models]` (torch, torchvision, ultralytics, onnx), and imports it only when
called: the server itself never does. Knows nothing of how models are trained or served.
A .pt file is a pickle: opening one runs what it holds, so export only files you trust.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lookalike_server.errors import ServerError
from lookalike_server.image import Picture
from lookalike_server.models import manifest as manifests
from lookalike_server.models.pack import pack
from lookalike_server.models.pca import Projection

DIM = 256
EMBEDDER_SIDE_PX = 224
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# A detector of any size is fed no padding; smaller ones have fewer places to look at than the 300 they answer with.
FREE_SIZE_PX_MIN = 256

# onnxruntime and torch may differ by rounding, never by more.
AGREEMENT_MIN = 0.999

# The head of a ResNet that was not trained for this: fixed, so that two exports give equal vectors.
PROJECTION_SEED = 20260101

RESNETS = re.compile(r"(wide_)?resnet\d+(_2)?|resnext\d+_\d+x\d+d")


class ExportError(ServerError):
    """A model cannot be exported; the message says what to do."""


@dataclass(frozen=True)
class Facts:
    """What an archive says about its model beside how to run it."""

    name: str
    version: str = "0.1.0"
    licence: str = "unknown: see where the weights come from"
    trained_on: str = "unknown: see where the weights come from"
    metrics: Mapping[str, float | str] = field(default_factory=dict)
    half_weights: bool = False
    """Store the weights as 16-bit floats: half the file; they are widened when the model is loaded."""


def export_detector(weights: str, out: Path, size_px: int = 640, facts: Facts | None = None) -> Path:
    """Write the YOLO detector `weights` (.pt, .yaml for random weights, or .onnx) as the archive `out`.

    A name that ultralytics knows, such as "yolo26n.pt", is downloaded where the network allows.
    """
    facts = facts or Facts(name=Path(weights).stem)
    if size_px < 32 or size_px % 32:
        raise ExportError(f"the input size of a YOLO is a multiple of 32 pixels, not {size_px}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        if weights.endswith(".onnx"):
            classes = _copy_onnx(Path(weights), path, facts.half_weights)
        else:
            classes = _trace_yolo(weights, path, size_px, facts.half_weights)
        name, shape, output, rows = _detector_faces(path, size_px)
        head = "end2end" if rows[-1] == 6 else "yolo"  # even at 32 px a raw head has 21 columns
        if head == "yolo" and rows[1] != 4 + len(classes):
            raise ExportError(f"{weights} gives {rows}, not 1x300x6 or 1x{4 + len(classes)}xN: not a YOLO detector")
        entry = {
            "kind": "detector",
            "input": _input(name, shape[3], shape[2], (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
            "output": output,
            "head": head,
            "classes": list(classes),
        }
        return _pack(path, out, facts, entry)


def export_embedder(
    name_or_weights: str,
    out: Path,
    weights: str | None = None,
    random: bool = False,
    facts: Facts | None = None,
    projection: Projection | None = None,
) -> Path:
    """Write an embedder as the archive `out`: a torchvision ResNet by name, or a checkpoint of `train embedder`.

    A ResNet takes ImageNet weights (downloaded), the state dict in the file `weights`, or, with `random`, none;
    its pooled features are brought to 256 numbers by `projection`, or else by a fixed orthogonal matrix.
    """
    if RESNETS.fullmatch(name_or_weights):
        net, entry = _resnet(name_or_weights, weights, random, projection)
    elif projection is not None:
        raise ExportError(f"{name_or_weights} is no torchvision ResNet: only the last layer of those is fitted")
    elif Path(name_or_weights).is_file():
        net, entry = _trained(Path(name_or_weights))
    else:
        raise ExportError(f"{name_or_weights} is neither a torchvision ResNet (such as resnet50) nor a file")
    facts = facts or Facts(name=Path(name_or_weights).stem + ("-random" if random else ""))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        _trace_embedder(net, path, entry["input"]["width"], facts.half_weights)
        return _pack(path, out, facts, entry)


def _need(module: str) -> Any:
    """Import a module of the extra, or say how to get it."""
    # ultralytics would otherwise install what a checkpoint asks for, unasked.
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    try:
        return __import__(module, fromlist=["_"])
    except ImportError as error:
        raise ExportError(f"{module} is missing: pip install 'lookalike[models]'") from error


def _input(name: str, width: int, height: int, mean: Sequence[float], std: Sequence[float]) -> dict[str, Any]:
    """Return how a manifest describes the model's input."""
    colours = {"mean": list(mean), "std": list(std), "color": "RGB", "range": 1.0}
    return {"name": name, "width": width, "height": height, "fit": "letterbox", **colours}


def _copy_onnx(source: Path, path: Path, half_weights: bool) -> tuple[str, ...]:
    """Copy an ONNX detector; return its classes from ultralytics' metadata."""
    if not source.is_file():
        raise ExportError(f"{source} does not exist")
    path.write_bytes(source.read_bytes())
    metadata = _session(path).get_modelmeta().custom_metadata_map
    names = re.findall(r"\d+: ['\"](.*?)['\"](?=[,}])", metadata.get("names", ""))
    if not names:
        raise ExportError(f"{source} does not name its classes: export it with ultralytics, format='onnx'")
    if half_weights:
        _halve_weights(path)
    return tuple(names)


def _trace_yolo(weights: str, path: Path, size_px: int, half_weights: bool) -> tuple[str, ...]:
    """Export a YOLO by ultralytics to `path`, prove it, and return its classes."""
    ultralytics = _need("ultralytics")
    try:
        model = ultralytics.YOLO(weights, task=None)
        net = model.model.float().eval()
    except Exception as error:  # whatever unpickling a stranger's file may raise
        raise ExportError(f"{weights} is not a YOLO that ultralytics reads: {error}") from error
    if model.task != "detect":
        raise ExportError(f"{weights} is a YOLO for the task {model.task!r}; the server needs one that detects")
    names = {int(number): str(name) for number, name in model.names.items()}
    net.pt_path = str(path.with_suffix(".pt"))  # where ultralytics derives the name of its file from
    try:
        free = size_px >= FREE_SIZE_PX_MIN
        model.export(format="onnx", imgsz=size_px, dynamic=free, nms=False, device="cpu", verbose=False)
    except Exception as error:
        raise ExportError(f"ultralytics could not export {weights}: {error}") from error
    if half_weights:
        _halve_weights(path)
    _check_detector(net, path, size_px)
    return tuple(names[number] for number in sorted(names))


def _check_detector(net: Any, path: Path, size_px: int) -> None:
    """Refuse an ONNX detector that sees other things than torch does."""
    torch = _need("torch")
    x = np.random.default_rng(0).random((1, 3, size_px, size_px), np.float32)
    session = _session(path)
    found = session.run(None, {session.get_inputs()[0].name: x})[0]
    head = net.model[-1]
    served_alone = getattr(head, "one2one_cv2", None) is not None
    if served_alone:
        head.end2end = True
        head.postprocess = lambda rows: rows  # all anchors (1, n, 4 + classes), before the best 300 are taken
    with torch.no_grad():
        wanted = net(torch.from_numpy(x))
    wanted = (wanted[0] if isinstance(wanted, tuple | list) else wanted).numpy()
    if served_alone:
        agreement = _twins(found[0], wanted[0])
    else:
        agreement = float(_cosines(found.reshape(1, -1), wanted.reshape(1, -1)).min())
    if not agreement >= AGREEMENT_MIN:
        raise ExportError(f"onnxruntime and torch disagree on this detector: {agreement:.4f} < {AGREEMENT_MIN}")


def _twins(rows: npt.NDArray[np.float32], anchors: npt.NDArray[np.float32]) -> float:
    """Return the share of `rows` (n, 6) that some anchor (m, 4 + classes) gives: near ties may come in any order."""
    boxes = np.abs(rows[:, None, :4] - anchors[None, :, :4]).max(2) < 1  # pixels
    scores = np.abs(rows[:, 4, None] - anchors[:, 4 + rows[:, 5].astype(int)].T) < 0.01
    return float((boxes & scores).any(1).mean())


def _detector_faces(path: Path, size_px: int) -> tuple[str, list[int], str, list[int]]:
    """Return name and shape of a detector's input and output, `size_px` for sides that it leaves free."""
    session = _session(path)
    given, taken = session.get_inputs()[0], session.get_outputs()[0]
    if len(given.shape) != 4:
        raise ExportError(f"the detector's input is {given.shape}, not pictures")
    shape = [1, 3, *(side if isinstance(side, int) else size_px for side in given.shape[2:])]
    rows = session.run([taken.name], {given.name: np.zeros(shape, np.float32)})[0]
    return given.name, shape, taken.name, list(rows.shape)


def pooled_features(
    name: str, pictures: Iterable[Picture], weights: str | None = None, random: bool = False
) -> npt.NDArray[np.float32]:
    """Return the pooled features (n, d) of pictures, as the last layer of an exported ResNet gets them."""
    torch = _need("torch")
    if not RESNETS.fullmatch(name):
        raise ExportError(f"{name} is no torchvision ResNet (such as resnet50)")
    net = _backbone(name, weights, random).float().eval()
    net.fc = torch.nn.Identity()
    fit = manifests.parse_input(_imagenet_input()).fit
    with torch.no_grad():
        rows = [net(torch.from_numpy(picture.tensor(fit)[0][None])).numpy() for picture in pictures]
    return np.concatenate(rows) if rows else np.zeros((0, 0), np.float32)


def _imagenet_input() -> dict[str, Any]:
    """Return how a manifest describes the input of a torchvision ResNet."""
    return _input("images", EMBEDDER_SIDE_PX, EMBEDDER_SIDE_PX, IMAGENET_MEAN, IMAGENET_STD)


def _resnet(
    name: str, weights: str | None, random: bool, projection: Projection | None = None
) -> tuple[Any, dict[str, Any]]:
    """Return a torchvision ResNet with a 256-d head, and its part of the manifest."""
    torch = _need("torch")
    net = _backbone(name, weights, random)
    features = net.fc.in_features
    if projection is None:
        net.fc = torch.nn.Linear(features, DIM, bias=False)
        square = np.random.default_rng(PROJECTION_SEED).standard_normal((features, DIM))
        net.fc.weight = torch.nn.Parameter(torch.from_numpy(np.linalg.qr(square)[0].T.astype(np.float32)))
    else:
        if projection.weight.shape != (DIM, features):
            raise ExportError(f"the projection is for {projection.weight.shape[1]} features, {name} has {features}")
        linear = torch.nn.Linear(features, DIM)
        linear.weight = torch.nn.Parameter(torch.from_numpy(projection.weight))
        linear.bias = torch.nn.Parameter(torch.from_numpy(projection.bias))
        net.fc = torch.nn.Sequential(_unit(), linear)  # learned on features of unit length
    entry = {"kind": "embedder", "input": _imagenet_input(), "output": "embedding", "dim": DIM}
    return torch.nn.Sequential(net, _unit()), entry


def _backbone(name: str, weights: str | None, random: bool) -> Any:
    """Return a torchvision ResNet with its weights, or random ones."""
    torchvision, torch = _need("torchvision"), _need("torch")
    if random and weights:
        raise ExportError("give either weights or random, not both")
    torch.manual_seed(PROJECTION_SEED)
    try:
        net = torchvision.models.get_model(name, weights=None if random or weights else "DEFAULT")
    except ValueError as error:
        raise ExportError(f"torchvision {torchvision.__version__} has no {name}") from error
    except OSError as error:
        raise ExportError(
            f"the ImageNet weights of {name} could not be downloaded ({error}); download them elsewhere and give the "
            "file as weights, or ask for random weights"
        ) from error
    if weights:
        _load_weights(net, weights)
    return net


def _load_weights(net: Any, weights: str) -> None:
    """Load a state dict into a torchvision ResNet; the classifier may be of any size."""
    torch = _need("torch")
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        state = {key: value for key, value in state.items() if not key.startswith("fc.")}
        missing, unknown = net.load_state_dict(state, strict=False)
    except Exception as error:
        raise ExportError(f"{weights} is not a state dict of this ResNet: {error}") from error
    if unknown or [key for key in missing if not key.startswith("fc.")]:
        raise ExportError(f"{weights} is a state dict of another network: {[*missing, *unknown][:3]} do not match")


def _unit() -> Any:
    """Return a layer that brings vectors to unit length."""
    torch = _need("torch")

    class Unit(torch.nn.Module):  # type: ignore[name-defined,misc,unused-ignore]
        """Divides each vector by its length."""

        def forward(self, x: Any) -> Any:
            """Return (n, d) unit vectors."""
            return torch.nn.functional.normalize(x)

    return Unit()


def _trained(path: Path) -> tuple[Any, dict[str, Any]]:
    """Return the network of a checkpoint of `train embedder`, and its part of the manifest."""
    torch = _need("torch")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        resnet = _need("lookalike_server.models.resnet")
        net = resnet.build(state.get("backbone", "resnet18-half"))
        net.load_state_dict(state["embedder"])
        side, mean, std = int(state["side_px"]), _colours(state["mean"]), _colours(state["std"])
        margin = float(state.get("margin", 0.0))
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(f"{path} is not a checkpoint of `train embedder`: {error}") from error
    entry = _input("images", side, side, mean, std)
    return net, {"kind": "embedder", "input": entry, "output": "embedding", "dim": DIM, "margin": margin}


def _colours(value: float | Sequence[float]) -> tuple[float, ...]:
    """Return one value of 0 to 255, or one for each colour, as three of 0 to 1."""
    each = value if isinstance(value, list | tuple) else (value,) * 3
    return tuple(float(one) / 255 for one in each)


def _trace_embedder(net: Any, path: Path, side_px: int, half_weights: bool) -> None:
    """Export an embedder with any number of pictures a call, and prove it."""
    torch = _need("torch")
    _need("onnx")
    net = net.float().eval()
    pictures = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 3, side_px, side_px)).astype(np.float32))
    axes = {"images": {0: "n"}, "embedding": {0: "n"}}
    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["embedding"], "dynamic_axes": axes}
    _quietly(lambda: torch.onnx.export(net, pictures, str(path), opset_version=17, dynamo=False, **names))
    if half_weights:
        _halve_weights(path)
    with torch.no_grad():
        wanted = net(pictures).numpy()
    session = _session(path)
    for count in (1, 3):
        found = session.run(["embedding"], {"images": pictures[:count].numpy()})[0]
        agreement = _cosines(found, wanted[:count]).min()
        if found.shape != (count, DIM) or not agreement >= AGREEMENT_MIN:
            raise ExportError(f"onnxruntime and torch disagree on this embedder: cosine {agreement:.4f}")


def _quietly(work: Callable[[], object]) -> None:
    """Run `work` without the warnings that tracing prints about itself."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        work()


def _cosines(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the cosine of each row of `first` with the same row of `second`."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.asarray((first * second).sum(1) / np.maximum(lengths, 1e-12), np.float32)


def _session(path: Path) -> Any:
    """Open an ONNX file on the CPU."""
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(f"{path.name} is not a model that onnxruntime opens: {error}") from error


def _halve_weights(path: Path) -> None:
    """Store large weights as 16-bit floats, each with a cast that onnxruntime folds as it loads."""
    onnx = _need("onnx")
    model = onnx.load(str(path))
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < 256:
            continue
        wide, name = onnx.numpy_helper.to_array(tensor), tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(wide.astype(np.float16), name + "_half"))
        casts.append(onnx.helper.make_node("Cast", [name + "_half"], [name], to=onnx.TensorProto.FLOAT))
    for node in reversed(casts):
        model.graph.node.insert(0, node)
    onnx.save(model, str(path))


def _pack(path: Path, out: Path, facts: Facts, entry: Mapping[str, Any]) -> Path:
    """Write manifest and model as a zip archive, stored, with times that make equal archives equal bytes."""
    content = path.read_bytes()
    manifest = {
        "schema": 1,
        "name": facts.name,
        "version": facts.version,
        "file": "model.onnx",
        "sha256": hashlib.sha256(content).hexdigest(),
        **entry,
        "licence": facts.licence,
        "metrics": dict(facts.metrics),
        "trained_on": facts.trained_on,
    }
    return pack(out, manifest, content)
