"""Gathers what a comparison of replicas finds. Knows no terminal."""

from dataclasses import dataclass, field

from lookalike.shards import VerifyProgress

# A person looks at some of them; `--repair` needs no list.
PRODUCTS_MAX = 100


@dataclass(slots=True)
class Findings:
    """What a comparison has found so far; `product_ids` are the first that differ, at most PRODUCTS_MAX."""

    next_slot: int
    slots: int = 0
    rows: int = 0
    differing: int = 0
    repaired: int = 0
    product_ids: list[str] = field(default_factory=list)
    skipped_replicas: list[str] = field(default_factory=list)
    finished: bool = False

    def add(self, progress: VerifyProgress) -> None:
        """Take in one report."""
        self.next_slot = progress.next_slot
        self.slots = progress.slots_done
        self.rows = progress.rows
        self.differing = progress.differing_total
        self.repaired = progress.repaired_total
        self.finished = progress.done
        self.product_ids.extend(progress.differing_product_ids[: PRODUCTS_MAX - len(self.product_ids)])
        self.skipped_replicas.extend(one for one in progress.skipped_replicas if one not in self.skipped_replicas)

    @property
    def unrepaired(self) -> int:
        """Return how many products still differ."""
        return self.differing - self.repaired
