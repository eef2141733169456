"""Imports a feed into a shop and counts what became of it. Knows no terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from lookalike.cli.failed import FailedRows
from lookalike.cli.feed import Feed
from lookalike.cli.rows import Entry, Rejected, blame
from lookalike.client import Client
from lookalike.types import Done, Failed, Outcome, Product, UpsertOutcome, UpsertResult


@dataclass(slots=True)
class Tally:
    """What became of a feed so far."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0
    rows_failed: int = 0
    images_embedded: int = 0
    images_reused: int = 0
    began_s: float = field(default_factory=time.monotonic)

    @property
    def stored(self) -> int:
        """Return how many products the shop has as the feed says."""
        return self.created + self.updated + self.unchanged

    @property
    def products(self) -> int:
        """Return how many products were dealt with."""
        return self.stored + self.failed

    def add(self, result: UpsertResult) -> None:
        """Count a product that is stored."""
        self.images_embedded += result.images_embedded
        self.images_reused += result.images_reused
        match result.outcome:
            case UpsertOutcome.CREATED:
                self.created += 1
            case UpsertOutcome.UNCHANGED:
                self.unchanged += 1
            case _:
                self.updated += 1


class Import:
    """One import of one feed; what fails goes to `failed`."""

    def __init__(self, client: Client, feed: Feed, failed: FailedRows) -> None:
        self.tally = Tally()
        self._client = client
        self._feed = feed
        self._failed = failed
        self._waiting: dict[int, Entry] = {}  # by the product's number in the stream

    def run(self, tell: Callable[[Tally], None]) -> None:
        """Import everything; call `tell` after each product."""
        with closing(self._client.import_products(self._products(tell))) as outcomes:
            for outcome in outcomes:
                self._settle(outcome)
                tell(self.tally)

    def _products(self, tell: Callable[[Tally], None]) -> Iterator[Product]:
        number = 0
        for entry in self._feed:
            if isinstance(entry, Rejected):
                self._failed.add(entry.problems)
                self.tally.failed += 1
                self.tally.rows_failed += len(entry.problems)
                tell(self.tally)
                continue
            self._waiting[number] = entry
            number += 1
            yield entry.product

    def _settle(self, outcome: Outcome[Product, UpsertResult]) -> None:
        entry = self._waiting.pop(outcome.index)
        match outcome:
            case Done(result=result):
                self.tally.add(result)
                self.tally.rows_failed += len(entry.repeats)
                self._failed.add(entry.repeated)
            case Failed(error=error):
                self.tally.failed += 1
                self.tally.rows_failed += len(entry.rows)
                self._failed.add(blame(entry, error))
