"""The embedder's network in torch: a ResNet-18 of half width that ends in a unit vector.

Imported by training and by export.py alone: the server itself runs ONNX and never needs torch.
"""

import torch
from torch import nn
from torch.nn import functional

# Channels of the four stages: half of ResNet-18's; a third of its time, and enough for one shop.
WIDTHS = (32, 64, 128, 256)
DIM = 256


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


class Embedder(nn.Module):
    """Maps pictures (n, 3, side, side) to unit vectors (n, 256)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, WIDTHS[0], 7, 2, 3, bias=False),
            nn.BatchNorm2d(WIDTHS[0]),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )
        blocks, inputs = [], WIDTHS[0]
        for stage, width in enumerate(WIDTHS):
            blocks += [Block(inputs, width, 1 if stage == 0 else 2), Block(width, width, 1)]
            inputs = width
        self.stages = nn.Sequential(*blocks)
        self.power = nn.Parameter(torch.tensor(3.0))
        self.head = nn.Sequential(nn.Linear(WIDTHS[-1], DIM, bias=False), nn.BatchNorm1d(DIM))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the vectors: generalised-mean pooling, a linear layer, batch norm, unit length."""
        x = self.stages(self.stem(x))
        pooled = x.clamp(min=1e-6).pow(self.power).mean((2, 3)).pow(1 / self.power)
        return functional.normalize(self.head(pooled))
