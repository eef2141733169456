"""Makes a model that can learn of an archive that cannot: the way back from ONNX to torch.

Exporting folds each batch norm into the convolution before it. Here every batch norm is put back as what changes
nothing: its statistics are measured on pictures, and its scale and shift undo them. Knows both models' modules.
"""

import re
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

# How export.py names weights that are stored as 16-bit floats.
HALF = "_half"
# The head's branch that is not served, and has no weights in an archive.
UNSERVED_BRANCH = re.compile(r"^(model\.\d+)\.(cv[23])\.(?=\d)")


@torch.no_grad()
def thaw_detector(model: Any, archive: Path, pictures: torch.Tensor) -> None:
    """Give an untrained `model` the weights of an archive of the same network; raise KeyError where it is another.

    `pictures` (n, 3, side, side) are what batch norms are measured on. The branch that learns from many boxes per
    product, which is not served, begins as a copy of the one that is.
    """
    folded = _stored(_graph(archive))
    hooks = []
    for name, module in model.named_modules():
        stored = UNSERVED_BRANCH.sub(r"\1.one2one_\2.", name)
        if isinstance(module, torch.nn.Conv2d):
            module.weight.copy_(folded[f"{stored}.weight"])
            if module.bias is not None:
                module.bias.copy_(folded[f"{stored}.bias"])
        elif isinstance(module, torch.nn.BatchNorm2d):
            shift = folded[f"{stored.removesuffix('.bn')}.conv.bias"]
            hooks.append(module.register_forward_pre_hook(partial(_neutralise, shift)))
    _run_through(model, pictures, hooks)


@torch.no_grad()
def thaw_embedder(model: Any, archive: Path, pictures: torch.Tensor) -> None:
    """Give an untrained lean ResNet the weights of an archive of the same; raise ValueError where it is another.

    `pictures` (n, 3, side, side) are what batch norms are measured on. Its convolutions have no names in an archive,
    but lie there in the order in which they are run, which is that of the modules.
    """
    graph = _graph(archive)
    folded = _stored(graph)
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    convolutions = [module for module in model.modules() if isinstance(module, torch.nn.Conv2d)]
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    if [folded[node.input[1]].shape for node in nodes] != [one.weight.shape for one in convolutions]:
        raise ValueError(f"{archive} holds another network than this one")
    hooks = []
    for node, convolution, norm in zip(nodes, convolutions, norms, strict=True):
        convolution.weight.copy_(folded[node.input[1]])
        hooks.append(norm.register_forward_pre_hook(partial(_neutralise, folded[node.input[2]])))
    (linear,) = (node for node in graph.node if node.op_type == "MatMul")
    model.head[0].weight.copy_(folded[linear.input[1]].T)
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(model.head[1], name).copy_(folded[f"head.1.{name}"])
    model.power.copy_(folded["power"])
    _run_through(model, pictures, hooks)


def _graph(archive: Path) -> Any:
    """Return the ONNX graph of an archive."""
    with zipfile.ZipFile(archive) as file:
        return onnx.load_model_from_string(file.read("model.onnx")).graph


def _stored(graph: Any) -> dict[str, torch.Tensor]:
    """Return a graph's weights by name, in 32 bits."""
    return {
        one.name.removesuffix(HALF): torch.from_numpy(numpy_helper.to_array(one).astype(np.float32))
        for one in graph.initializer
    }


def _run_through(model: Any, pictures: torch.Tensor, hooks: list[Any]) -> None:
    """Let the hooks set each norm just before it is used, so that what follows sees what the archive would give it."""
    model.eval()
    model(pictures)
    for hook in hooks:
        hook.remove()


def _neutralise(shift: torch.Tensor, norm: Any, given: tuple[torch.Tensor]) -> None:
    """Make a batch norm add `shift` to what it is given, and do nothing else."""
    norm.running_var.copy_(given[0].var((0, 2, 3)))
    norm.running_mean.copy_(given[0].mean((0, 2, 3)))
    norm.weight.copy_((norm.running_var + norm.eps).sqrt())
    norm.bias.copy_(norm.running_mean + shift)
