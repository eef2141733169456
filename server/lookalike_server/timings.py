"""Collects where the time of one request goes. Knows no clock and no stage's work."""

from dataclasses import dataclass


@dataclass
class Timings:
    """Milliseconds of wall clock, added up over the stages of one request."""

    queue_ms: float = 0.0
    """Waiting for a thread and for a batch, all stages together."""
    decode_ms: float = 0.0
    detect_ms: float = 0.0
    embed_ms: float = 0.0
    """Cutting and embedding."""
