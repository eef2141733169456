"""The operators' page shows how the shop is, and refreshes itself."""

import os
import signal
from collections.abc import Callable

from playwright.sync_api import expect

from lookalike import Client, RebalancePin, SlotRange
from tests.web.shopfront import Shopfront
from tests.web.shopper import DESKTOP, PHONE, Shopper

Open = Callable[..., Shopper]


def test_it_shows_shards_the_map_and_the_last_hour(shoppers: Open) -> None:
    shoppers(PHONE).sample(1)
    for scheme, device in (("light", DESKTOP), ("dark", PHONE)):
        operator = shoppers(device, color_scheme=scheme)
        operator.visit("/ops")
        expect(operator.page.locator("#health")).to_have_text("all 3 shards healthy")
        expect(operator.page.locator("#replicas tr")).to_have_count(6)
        expect(operator.page.locator("#map path")).to_have_count(3)
        expect(operator.page.locator("#searches rect").first).to_be_attached()
        operator.shot("ops")
        assert operator.barriers() == []


def test_it_shows_a_rebalance_and_how_far_it_is(shoppers: Open, shopfront: Shopfront) -> None:
    operator = shoppers(DESKTOP)
    operator.visit("/ops")
    expect(operator.page.locator("#job")).to_be_hidden()
    with Client(shopfront.server.address) as shop:
        first = next(shard for shard in shop.topology().shards if shard.name == "c").slot_ranges[0]
        pin = RebalancePin("a", SlotRange(first.first, first.first))
        assert shop.rebalance.start(pins=[pin], batch_slots=64) is not None
        expect(operator.page.locator("#job-state")).to_contain_text("is done")
        expect(operator.page.locator("#job-figures")).to_contain_text("slots moved")
        operator.shot("ops-job")
        assert operator.barriers() == []


def test_it_notices_a_shard_that_is_lost(shoppers: Open, shopfront: Shopfront) -> None:
    operator = shoppers(DESKTOP)
    operator.visit("/ops")
    expect(operator.page.locator("#health")).to_have_text("all 3 shards healthy")
    shard = shopfront.shards["c"]
    os.kill(shard.pid, signal.SIGKILL)
    shard.stop()
    try:
        expect(operator.page.locator("#health")).to_contain_text("c unreachable")
        operator.shot("ops-lost")
        assert operator.barriers() == []
    finally:
        shard.start()
        shard.wait_ready(60)
    expect(operator.page.locator("#health")).to_have_text("all 3 shards healthy")
