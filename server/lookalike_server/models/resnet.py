"""The embedders' networks in torch: ResNets that end in a unit vector.

Imported by training and by export.py alone: the server itself runs ONNX and never needs torch.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

# Channels of the four stages: half of ResNet-18's; a third of its time, and enough for one shop.
WIDTHS = (32, 64, 128, 256)
DIM = 256
# Blocks in each stage of what `lean` builds; torchvision builds the others.
DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
TORCHVISION = ("resnet18", "resnet34", "resnet50")
# A lean network of ordinary width has these channels.
FULL_WIDTH = 64


class Block(nn.Module):
    """Two 3x3 convolutions and a short cut; an average pool goes before a short cut that shrinks."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        nn.init.zeros_(self.bn2.weight)  # each block begins as its short cut
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            pool = [nn.AvgPool2d(stride)] if stride != 1 else []
            self.shortcut = nn.Sequential(*pool, nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Head(nn.Module):
    """A network that ends in generalised-mean pooling, a linear layer and batch norm; subclasses bring the features."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor(3.0))
        self.head = nn.Sequential(nn.Linear(features, DIM, bias=False), nn.BatchNorm1d(DIM))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (n, 3, side, side) to features (n, c, h, w)."""
        raise NotImplementedError

    def vectors(self, x: torch.Tensor) -> torch.Tensor:
        """Map features to unit vectors (n, 256)."""
        pooled = x.clamp(min=1e-6).pow(self.power).mean((2, 3)).pow(1 / self.power)
        return functional.normalize(self.head(pooled))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures to unit vectors."""
        return self.vectors(self.features(x))


class Embedder(Head):
    """A lean ResNet of any width and depth; maps pictures (n, 3, side, side) to unit vectors (n, 256)."""

    def __init__(self, widths: Sequence[int] = WIDTHS, depths: Sequence[int] = DEPTHS["resnet18"]) -> None:
        super().__init__(widths[-1])
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 7, 2, 3, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )
        blocks, inputs = [], widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            blocks.append(Block(inputs, width, 1 if stage == 0 else 2))
            blocks += [Block(width, width, 1) for _ in range(depth - 1)]
            inputs = width
        self.stages = nn.Sequential(*blocks)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features, (n, c, h, w)."""
        return self.stages(self.stem(x))


class TorchvisionEmbedder(Head):
    """A ResNet as torchvision builds it, with our head, so that its published weights fit."""

    def __init__(self, backbone: Any) -> None:
        super().__init__(backbone.fc.in_features)
        self.stages = nn.Sequential(*list(backbone.children())[:-2])  # without its pooling and its classifier

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features, (n, c, h, w)."""
        return self.stages(x)


def build(backbone: str) -> Head:
    """Return a network with random weights: resnet18, resnet34, resnet50, or lean ones such as resnet18-half.

    Raise ValueError for a name that is none. Lean widths are a percentage of the usual one, as in resnet34-25%, or
    half.
    """
    name, _, width = backbone.partition("-")
    if not width and name in TORCHVISION:
        import torchvision

        return TorchvisionEmbedder(torchvision.models.get_model(name, weights=None))
    share = {"half": 50, "full": 100}.get(width) or (int(width[:-1]) if width[:-1].isdecimal() else 0)
    if name not in DEPTHS or not 1 <= share <= 400 or (width.endswith("%") is (width in ("half", "full"))):
        raise ValueError(
            f"{backbone!r} is no network; there are {', '.join(TORCHVISION)}, and lean ones: resnet18-half, "
            "resnet34-25%"
        )
    first = max(8, round(FULL_WIDTH * share / 100))
    return Embedder([first * 2**stage for stage in range(4)], DEPTHS[name])
