"""Merges what shards found into products. Pure: knows no network and no deadline."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lookalike_router.answer import ProductHit
from lookalike_router.columns import opened
from lookalike_router.shard import Candidate
from lookalike_router.slots import slot_of


@dataclass(slots=True)
class Group:
    """One product as far as it was found: its newest version's pictures and the best of them."""

    best: Candidate
    images: set[str]

    def add(self, candidate: Candidate) -> None:
        """Take one more picture of the product; a newer version drops what was found of older ones."""
        if candidate.version != self.best.version:
            if candidate.version > self.best.version:
                self.best, self.images = candidate, {candidate.image_id}
            return
        self.images.add(candidate.image_id)
        if (-candidate.score, candidate.image_id) < (-self.best.score, self.best.image_id):
            self.best = candidate


def merge(
    answers: Iterable[tuple[str, Sequence[Candidate]]],
    owners: Sequence[str],
    limit: int,
    score_min: float | None = None,
) -> list[Group]:
    """Return the `limit` best products of (shard, what it found): by score, ties by id, each once.

    A candidate counts only if its slot belongs to the shard that found it, so that reads stay exact while rows are
    copied between shards; a newer version of a product wins over a better score of an older one.
    """
    groups: dict[str, Group] = {}
    for shard, found in answers:
        for candidate in found:
            if owners[slot_of(candidate.product_id)] != shard:
                continue
            group = groups.get(candidate.product_id)
            if group is None:
                groups[candidate.product_id] = Group(candidate, {candidate.image_id})
            else:
                group.add(candidate)
    kept = (group for group in groups.values() if score_min is None or group.best.score >= score_min)
    return sorted(kept, key=lambda group: (-group.best.score, group.best.product_id))[:limit]


def unsure(
    answers: Mapping[str, Sequence[Candidate]],
    asked: Mapping[str, int],
    merged: Sequence[Group],
    limit: int,
    score_min: float | None = None,
) -> list[str]:
    """Return the shards whose rows beyond those they returned might still belong among the `limit` best products."""
    last = merged[limit - 1].best.score if len(merged) >= limit else None
    return [
        shard
        for shard, found in answers.items()
        if len(found) >= asked[shard]  # else the shard has no more
        and (last is None or found[-1].score >= last)  # at a tie, an id that sorts first may be among the unseen
        and (score_min is None or found[-1].score >= score_min)
    ]


def hits(merged: Iterable[Group]) -> list[ProductHit]:
    """Return merged products as the answer carries them."""
    return [_hit(group.best, len(group.images)) for group in merged]


def _hit(best: Candidate, images: int) -> ProductHit:
    attributes, picture = opened(best.document)
    return ProductHit(best.product_id, best.image_id, best.score, images, attributes, picture)
