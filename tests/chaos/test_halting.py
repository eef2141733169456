"""Halts made-up routers at steps, and lets them go."""

import asyncio
from pathlib import Path

from tests.chaos.halting import POLL_S, Halts, halted


async def waits(task: "asyncio.Task[None]", turns: int = 3) -> bool:
    done, _ = await asyncio.wait([task], timeout=turns * POLL_S)
    return not done


async def test_the_first_router_at_an_armed_step_waits_until_it_is_let_go_and_nobody_else_does(tmp_path: Path) -> None:
    halts = Halts(tmp_path)
    halt = halts.arm("flip")
    await halted(tmp_path, "router 1", "copy")
    assert halt.router == ""
    first = asyncio.create_task(halted(tmp_path, "router 1", "flip"))
    assert await waits(first)
    await halted(tmp_path, "router 2", "flip")
    assert halt.router == "router 1"
    halt.release()
    await first


async def test_what_was_armed_before_halts_nobody_once_something_else_is(tmp_path: Path) -> None:
    halts = Halts(tmp_path)
    old, new = halts.arm("copy"), halts.arm("clean")
    await halted(tmp_path, "router 1", "copy")
    halts.disarm()
    await halted(tmp_path, "router 1", "clean")
    assert (old.router, new.router) == ("", "")
