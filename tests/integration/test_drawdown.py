"""The daily drawdown against a real ledger: it turns the switch once, and weakens none."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, cast

import pytest

from consumer.controls.changing import change
from consumer.controls.drawdown import DrawdownWatch
from consumer.controls.live import LiveConfig
from consumer.controls.registry import Registry
from consumer.gate import LedgerGate
from consumer.settings import Settings
from providers.clock import SystemClock
from providers.orders import Balance
from storage import config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.router import ExchangeRouter
    from storage.postgres import Database

REGISTRY = Registry({"bybit", "binance", "mexc"})
SWITCH = "trade:kill_switch:bybit"


class Account:
    """A router to one exchange, of which only the equity matters."""

    def __init__(self, equity: str) -> None:
        self.equity = Decimal(equity)

    def client(self, name: str) -> Account:
        del name
        return self

    async def balances(self) -> Sequence[Balance]:
        return [Balance("USDT", self.equity, self.equity)]


async def watching(database: Database, account: Account) -> DrawdownWatch:
    """A replica's watch; its snapshot is what it is now, as one that lags behind would have it."""
    live = LiveConfig(REGISTRY, 3.0, SystemClock())
    await live.refresh(database)
    router = cast("ExchangeRouter", account)
    return DrawdownWatch(live, database, router, Settings(), LedgerGate(database.ping))


async def switch(database: Database) -> str | None:
    rows = {row.key: row.value for row in await config.list_config(database)}
    return rows.get(SWITCH)


async def put(database: Database, key: str, value: str | None) -> None:
    await change(database, REGISTRY, {key: value}, who="ann")


@pytest.mark.parametrize("thrown", ["on", "reduce_only", "stop!"])
async def test_a_switch_that_is_thrown_already_stays_and_the_drawdown_trips_when_it_is_lifted(
    database: Database, thrown: str
) -> None:
    account = Account("1000")
    await put(database, "trade:max_daily_drawdown_percent", "5")
    watch = await watching(database, account)
    await watch.look("bybit")
    account.equity = Decimal(940)
    # By a hand, and so lately that the watch has not heard of it.
    await database.execute("INSERT INTO config (key, value) VALUES ($1, $2)", SWITCH, thrown)

    await watch.look("bybit")
    assert await switch(database) == thrown, "never made weaker"
    await put(database, SWITCH, "off")
    await watch.look("bybit")
    assert await switch(database) == "reduce_only"
    last = (await config.history(database, key=SWITCH))[0]
    assert (last.who, last.new) == ("drawdown", "reduce_only")
    assert last.why == "bybit lost 6.00 % today, from 1000 to 940 USDT; the limit is 5 %"


async def test_who_has_lifted_it_is_not_overruled_that_day(database: Database) -> None:
    account = Account("1000")
    await put(database, "trade:max_daily_drawdown_percent", "5")
    one, other = [await watching(database, account) for _ in range(2)]
    await one.look("bybit")
    account.equity = Decimal(950)  # at the limit
    await one.look("bybit")
    await other.look("bybit")
    assert await switch(database) == "reduce_only"
    assert len(await config.history(database, key=SWITCH)) == 1, "two replicas, one turn"

    await put(database, SWITCH, None)
    account.equity = Decimal(900)
    for watch in (one, other, await watching(database, account)):  # and one that was restarted
        await watch.look("bybit")
    assert await switch(database) is None


async def test_a_day_that_began_with_nothing_counts_from_the_first_deposit(
    database: Database,
) -> None:
    account = Account("0")
    await put(database, "trade:max_daily_drawdown_percent", "5")
    watch = await watching(database, account)
    for equity, expected in (("0", None), ("1000", None), ("951", None), ("949", "reduce_only")):
        account.equity = Decimal(equity)
        await watch.look("bybit")
        assert await switch(database) == expected, equity
