"""How far a batch's vectors are from what they should be: pytorch-metric-learning's losses, put together.

Each data set has a cosine softmax of its own, as classes of different sets may be the same thing; a supervised
contrastive loss tells the whole batch apart; a teacher's likenesses within the batch may be followed.
"""

from collections.abc import Sequence
from typing import Any

import torch
from pytorch_metric_learning import losses
from torch.nn import functional

from lookalike_server.train.batch import Batch

SCALE, MARGIN = 16.0, 0.1
CONTRAST_WEIGHT, TEMPERATURE = 0.5, 0.1
TEACHER_WEIGHT = 2.0


class Losses(torch.nn.Module):
    """The loss of a batch; its classes' directions are learned along with the network."""

    def __init__(self, classes: Sequence[int], dim: int) -> None:
        super().__init__()
        self.by_space = torch.nn.ModuleList(
            losses.CosFaceLoss(num_classes=max(1, count), embedding_size=dim, margin=MARGIN, scale=SCALE)
            for count in classes
        )
        self.contrast = losses.SupConLoss(temperature=TEMPERATURE)

    def forward(self, vectors: torch.Tensor, batch: Batch, taught: torch.Tensor | None) -> dict[str, torch.Tensor]:
        """Return the parts; their sum is what is learned from. `taught` are a teacher's unit vectors."""
        device = vectors.device
        spaces = torch.tensor(batch.spaces, device=device)
        labels = torch.tensor(batch.labels, device=device)
        by_class = vectors.new_zeros(())
        known = int((labels >= 0).sum())
        for space, loss in enumerate(self.by_space):
            those = (spaces == space) & (labels >= 0)
            if those.any():
                by_class = by_class + loss(vectors[those], labels[those]) * (int(those.sum()) / known)
        contrast: Any = self.contrast(vectors, torch.tensor(batch.instances, device=device))
        parts = {"class": by_class, "contrast": CONTRAST_WEIGHT * contrast}
        if taught is not None:
            difference = functional.mse_loss(vectors @ vectors.T, taught @ taught.T)
            parts["teacher"] = TEACHER_WEIGHT * difference
        return parts

    @torch.no_grad()
    def right(self, vectors: torch.Tensor, batch: Batch) -> float:
        """Return the share of pictures whose own class is the nearest."""
        spaces, labels = torch.tensor(batch.spaces), torch.tensor(batch.labels)
        found = []
        for space, loss in enumerate(self.by_space):
            those = (spaces == space) & (labels >= 0)
            if those.any():
                directions = functional.normalize(loss.W, dim=0)
                nearest = (vectors.detach()[those.to(vectors.device)] @ directions).argmax(1)
                found.append((nearest.cpu() == labels[those]).float())
        return float(torch.cat(found).mean()) if found else 0.0
