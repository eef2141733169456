import asyncio

import pytest

from lookalike_server.turns import Turns


async def test_turns_of_one_name_come_in_the_order_in_which_they_were_asked_for() -> None:
    turns, done = Turns(), []

    async def work(n: int) -> None:
        async with turns.turn("mug"):
            done.append(f"{n} begins")
            await asyncio.sleep(0)
            done.append(f"{n} ends")

    await asyncio.gather(*(work(n) for n in range(3)))
    assert done == [f"{n} {what}" for n in range(3) for what in ("begins", "ends")]


async def test_other_names_do_not_wait() -> None:
    turns = Turns()
    async with asyncio.timeout(10), turns.turn("mug"), turns.turn("cup"):
        pass


async def test_a_name_is_forgotten_after_its_last_turn_also_when_that_fails_or_is_given_up() -> None:
    turns = Turns()

    async def fails() -> None:
        async with turns.turn("mug"):
            waiting = asyncio.create_task(turns.turn("mug").__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            raise ValueError("failed")

    with pytest.raises(ValueError, match="failed"):
        await fails()
    assert not turns._queues
