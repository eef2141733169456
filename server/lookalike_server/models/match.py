"""Says what a cosine means: how likely two pictures show the same product. Knows no networks and no products."""

import math
from dataclasses import dataclass
from enum import Enum

# exp() of more than this overflows; the probability is 0 or 1 long before.
LOG_ODDS_MAX = 500.0


class Level(Enum):
    """A match in words."""

    SAME = "same"
    """Very likely the same product."""
    SIMILAR = "similar"
    """As likely as not another one of its kind."""
    WEAK = "weak"
    """Something of a likeness."""
    NONE = "none"
    """No likeness worth showing as one."""

    @property
    def rank(self) -> int:
        """How far down it is: 0 is the best."""
        return list(Level).index(self)


@dataclass(frozen=True)
class Match:
    """What one cosine means."""

    level: Level
    probability: float
    """That both are the same product, 0 to 1."""


@dataclass(frozen=True)
class Calibration:
    """What one embedder's cosines mean, learned on pictures that it was not trained on.

    The probability is logistic in the cosine; `same_min`, `similar_min` and `weak_min` are the least probabilities of
    the words, 1 >= same_min >= similar_min >= weak_min > 0.
    """

    slope: float
    offset: float
    same_min: float
    similar_min: float
    weak_min: float

    def probability(self, cosine: float) -> float:
        """Return how likely a pair of this cosine is the same product."""
        log_odds = self.slope * cosine + self.offset
        return 1 / (1 + math.exp(-max(-LOG_ODDS_MAX, min(LOG_ODDS_MAX, log_odds))))

    def judge(self, cosine: float) -> Match:
        """Return what a cosine means."""
        likely = self.probability(cosine)
        floors = ((Level.SAME, self.same_min), (Level.SIMILAR, self.similar_min), (Level.WEAK, self.weak_min))
        return Match(next((level for level, floor in floors if likely >= floor), Level.NONE), likely)
