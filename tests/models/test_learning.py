import threading
from itertools import count

import pytest

pytest.importorskip("torch", reason="needs pip install 'lookalike[models]'")

from lookalike_server.train.learning import AHEAD, prefetched


def test_batches_come_in_order_and_are_made_only_a_little_ahead() -> None:
    made = count()
    with prefetched(lambda: next(made)) as queue:
        assert [queue.get() for _ in range(20)] == list(range(20))
    assert next(made) <= 20 + AHEAD + 2


def test_the_thread_ends_with_the_block() -> None:
    before = threading.active_count()
    with prefetched(lambda: 1) as queue:
        queue.get()
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
