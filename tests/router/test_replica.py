import pytest

from lookalike_router.errors import ShardRefused, ShardTimedOut, ShardUnreachable
from lookalike_router.member import Away, InUse, Member
from tests.router.conftest import SHOP
from tests.router.scripted import ScriptedShard, until

S = 5.0


async def joined() -> tuple[ScriptedShard, Member]:
    shard = ScriptedShard("a")
    member = Member(shard, SHOP)
    await member.join(founding=True, deadline_s=S)
    return shard, member


async def test_a_shard_that_cannot_be_reached_is_away_at_once_and_back_once_it_joins() -> None:
    shard, member = await joined()
    shard.error = ShardUnreachable("a", "is down")
    member.report(shard.error)
    assert isinstance(member.state, Away)
    await until(lambda: shard.joins > 2)

    shard.error = None

    await until(lambda: isinstance(member.state, InUse))
    await member.close()


async def test_one_late_call_puts_no_shard_aside() -> None:
    shard, member = await joined()
    member.report(ShardTimedOut("a", "was late"))
    assert isinstance(member.state, InUse)
    await until(lambda: shard.joins == 2)
    assert isinstance(member.state, InUse)
    await member.close()


async def test_many_reports_make_one_check() -> None:
    shard, member = await joined()
    shard.gate.clear()
    for _ in range(100):
        member.report(ShardTimedOut("a", "was late"))
    await until(lambda: shard.joins == 2)
    shard.gate.set()
    await member.close()
    assert shard.joins == 2


async def test_a_late_shard_whose_check_fails_is_away() -> None:
    shard, member = await joined()
    shard.error = ShardTimedOut("a", "is paused")
    member.report(shard.error)
    await until(lambda: isinstance(member.state, Away))
    await member.close()


async def test_a_shard_that_returns_as_another_stays_away() -> None:
    shard, member = await joined()
    shard.error = ShardRefused("a", "is another")
    member.report(ShardUnreachable("a", "is down"))
    await until(lambda: shard.joins > 2)
    assert isinstance(member.state, Away)
    assert isinstance(member.state.error, ShardRefused)
    await member.close()


async def test_joining_a_shard_that_hangs_ends() -> None:
    shard = ScriptedShard("a")
    shard.gate.clear()
    with pytest.raises(ShardTimedOut):
        await Member(shard, SHOP).join(founding=True, deadline_s=0.01)
