"""How far a batch's vectors are from what they should be: pytorch-metric-learning's losses, put together.

Each data set has a cosine softmax of its own, as classes of different sets may be the same thing; a supervised
contrastive loss tells the whole batch apart, by class where there is one; a teacher's likenesses of different things in
the batch may be followed (Passalis and Tefas, Learning Deep Representations with Probabilistic Knowledge Transfer,
ECCV 2018).
"""

from collections.abc import Sequence
from typing import Any

import torch
from pytorch_metric_learning import losses
from torch.nn import functional

from lookalike_server.train.batch import Batch

SCALE, MARGIN, SMOOTHING = 16.0, 0.1, 0.1
CONTRAST_WEIGHT, TEMPERATURE = 0.5, 0.1
TEACHER_WEIGHT = 1.0
# A teacher's cosines of different things are closer together than ours may be, so less heat tells them apart.
TEACHER_TEMPERATURE = 0.05
# Far below any cosine over a temperature: the softmax gives it nothing, and its difference from another such is 0.
NEVER = -1e4


class Losses(torch.nn.Module):
    """The loss of a batch; its classes' directions are learned along with the network."""

    def __init__(self, classes: Sequence[int], dim: int) -> None:
        super().__init__()
        self.by_space = torch.nn.ModuleList(
            losses.CosFaceLoss(num_classes=max(1, count), embedding_size=dim, margin=MARGIN, scale=SCALE)
            for count in classes
        )
        for loss in self.by_space:
            loss.cross_entropy = torch.nn.CrossEntropyLoss(reduction="none", label_smoothing=SMOOTHING)
        self.contrast = losses.SupConLoss(temperature=TEMPERATURE)

    def forward(self, vectors: torch.Tensor, batch: Batch, taught: torch.Tensor | None) -> dict[str, torch.Tensor]:
        """Return the parts; their sum is what is learned from.

        `taught` are a teacher's unit vectors, zero for pictures that it says nothing of. That two pictures show the
        same is known better than it knows.
        """
        device = vectors.device
        spaces = torch.tensor(batch.spaces, device=device)
        labels = torch.tensor(batch.labels, device=device)
        by_class = vectors.new_zeros(())
        known = int((labels >= 0).sum())
        for space, loss in enumerate(self.by_space):
            those = (spaces == space) & (labels >= 0)
            if those.any():
                by_class = by_class + loss(vectors[those], labels[those]) * (int(those.sum()) / known)
        instances = torch.tensor(batch.instances, device=device)
        # A class is one thing across the batch; what has none is like its own instance alone.
        things = torch.where(labels >= 0, spaces * (labels.max() + 1) + labels, -1 - instances)
        contrast: Any = self.contrast(vectors, things)
        parts = {"class": by_class, "contrast": CONTRAST_WEIGHT * contrast}
        if taught is not None:
            asked = taught.any(1)
            parts["teacher"] = TEACHER_WEIGHT * unlike_the_teacher(vectors[asked], taught[asked], instances[asked])
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


def unlike_the_teacher(vectors: torch.Tensor, taught: torch.Tensor, instances: torch.Tensor) -> torch.Tensor:
    """Return how far the likenesses of different things are from a teacher's: its softmax over each row of the batch.

    The Kullback-Leibler divergence, mean of the rows. Without two different things there is nothing to compare: 0.
    """
    same = instances[:, None] == instances
    if same.all():
        return vectors.new_zeros(())
    ours = (vectors @ vectors.T / TEMPERATURE).masked_fill(same, NEVER)
    its = (taught @ taught.T / TEACHER_TEMPERATURE).masked_fill(same, NEVER)
    return functional.kl_div(ours.log_softmax(1), its.softmax(1), reduction="batchmean")
