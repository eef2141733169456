import asyncio

import pytest

from tests.simulation.loop import START_S, Deadlock, Livelock, VirtualLoop, run


def now_s() -> float:
    return asyncio.get_running_loop().time()


def test_an_hour_passes_at_once_and_to_the_second() -> None:
    async def sleeper() -> float:
        await asyncio.sleep(3600)
        return now_s()

    assert run(sleeper()) == pytest.approx(START_S + 3600)


def test_sleepers_wake_in_the_order_of_their_times() -> None:
    async def sleepers() -> list[str]:
        woken: list[str] = []

        async def sleep(name: str, for_s: float) -> None:
            await asyncio.sleep(for_s)
            woken.append(name)

        await asyncio.gather(sleep("late", 2), sleep("early", 1), sleep("later", 3), sleep("also late", 2))
        return woken

    assert run(sleepers()) == ["early", "late", "also late", "later"]


def test_a_timeout_comes_at_its_time() -> None:
    async def waiter() -> float:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 5)
        return now_s()

    assert run(waiter()) == pytest.approx(START_S + 5)


def test_waiting_for_what_nobody_does_is_a_deadlock() -> None:
    async def waiter() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run(waiter())


def test_waking_without_end_is_a_livelock() -> None:
    async def spinner() -> None:
        while now_s() < START_S + 1:  # noqa: ASYNC110 - to spin is the point
            await asyncio.sleep(0)

    with pytest.raises(Livelock):
        run(spinner())


def test_tasks_left_behind_are_cancelled() -> None:
    ended: list[str] = []

    async def left() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("left")

    async def leaver() -> asyncio.Task[None]:
        task = asyncio.create_task(left())
        await asyncio.sleep(0)
        return task

    assert run(leaver()).cancelled()
    assert ended == ["left"]


def test_an_exception_that_nobody_looks_at_is_kept() -> None:
    loop = VirtualLoop()

    async def careless() -> None:
        async def fail() -> None:
            raise ValueError("unseen")

        task = asyncio.create_task(fail())
        await asyncio.sleep(1)
        assert task.done()

    try:
        loop.run_until_complete(careless())
        assert any("unseen" in complaint for complaint in loop.complaints)
    finally:
        loop.finish()
