"""Turns measurements into the figures that are printed: percentiles and slopes. Pure."""

from collections.abc import Sequence

HOUR_S = 3600.0


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of the values (0 to 1) do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def slope_per_hour(samples: Sequence[tuple[float, float]]) -> float:
    """Return how fast a value grows, by least squares over (seconds, value); 0 of fewer than two."""
    if len(samples) < 2:
        return 0.0
    mean_s = sum(at_s for at_s, _ in samples) / len(samples)
    mean = sum(value for _, value in samples) / len(samples)
    spread = sum((at_s - mean_s) ** 2 for at_s, _ in samples)
    return HOUR_S * sum((at_s - mean_s) * (value - mean) for at_s, value in samples) / spread if spread else 0.0
