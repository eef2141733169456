import threading
from itertools import count
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch", reason="needs pip install 'lookalike[models]'")

from lookalike_server.train.learning import AHEAD, multiplies_halves, prefetched  # noqa: E402 - after the skip


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


@pytest.mark.parametrize(
    ("known", "expected"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx512_bf16": False, "avx2": True}, False)],
)
def test_only_a_processor_that_multiplies_sixteen_bits_is_given_them(
    monkeypatch: pytest.MonkeyPatch, known: dict[str, bool], expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    assert multiplies_halves("cpu") is expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert multiplies_halves("cpu") is False
    assert multiplies_halves("cuda") is True
