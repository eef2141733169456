import platform
import subprocess
import sys
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


@pytest.mark.parametrize("multiplies", [True, False])
def test_only_a_gpu_that_multiplies_sixteen_bits_is_given_them(
    monkeypatch: pytest.MonkeyPatch, multiplies: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation or multiplies)
    assert multiplies_halves("cuda") is multiplies


FAULTS = """
import resource, sys
import numpy as np
from lookalike_server.train.learning import keep_memory
if sys.argv[1] == "kept":
    keep_memory()
np.ones(1 << 23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    np.ones(1 << 23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library does as it likes")
def test_memory_that_was_freed_is_taken_again_without_asking_for_pages() -> None:
    kept, returned = (
        int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True, text=True).stdout)
        for how in ("kept", "returned")
    )
    assert returned > 8 * (64 << 20) / 2**21  # of a page each, however large they are
    assert kept < returned / 8
