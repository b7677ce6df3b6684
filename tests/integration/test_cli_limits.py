"""`trade-worker limits` against a real database."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from consumer.settings import Settings
from providers.clock import SystemClock
from providers.limits import bybit
from providers.limits.plan import Plan, Rules
from storage.rate_limits import SharedLimiter
from tests.support.commands import Commands

if TYPE_CHECKING:
    from storage.postgres import Database

PLAN = Plan(bybit.QUOTA, "api.example", "default", Rules())


@pytest.fixture
def commands(database_url: str) -> Commands:
    return Commands(Settings(database_url=database_url))


async def test_limits_in_use_and_cool_downs_are_shown_and_ended(
    database: Database, commands: Commands
) -> None:
    assert "no limit was asked for" in (await commands.good("limits", "show")).out

    limiter = SharedLimiter(database, Rules(), SystemClock(), uuid4(), replicas=2, timeout=5)
    want = PLAN.want("POST", "/v5/order/create", of_all=True, urgent=False)
    for _ in range(12):
        await limiter.take(want, 60.0)
    limiter.cool_down(PLAN.address, 60.0, "http-403: access too frequent")
    await limiter.aclose()

    shown = (await commands.good("limits", "show", "--json")).json
    limits = {row["bucket"]: row for row in shown["limits"]}
    create = limits["bybit@api.example default order/create"]
    assert create["units"] == 10
    assert create["used"] + create["waiting"] <= 12
    assert create["waiting"] <= 3
    assert [row["scope"] for row in shown["cool_downs"]] == [PLAN.address]
    text = (await commands.good("limits", "show", "--exchange", "bybit")).out
    assert "access too frequent" in text
    assert "order/create" in text
    assert "order/create" not in (await commands.good("limits", "show", "--exchange", "mexc")).out

    ended = await commands.good("limits", "clear-cooldown", "bybit", "--why", "a new address")
    assert ended.out == f"ended: {PLAN.address}\n"
    again = await commands.run("limits", "clear-cooldown", "bybit", "--why", "once more")
    assert (again.exit_code, "no cool-down of bybit" in again.err) == (4, True)


async def test_published_limits_are_listed_with_overrides(database_url: str) -> None:
    settings = Settings(
        database_url=database_url,
        rate_limit_overrides="bybit:order/create=20",
    )
    rows = {
        row["limit"]: row
        for row in (await Commands(settings).good("limits", "published", "--json")).json
    }
    assert (rows["bybit:order/create"]["units"], rows["bybit:order/create"]["kept"]) == (20, 20)
    assert rows["binance:orders_1m"]["units"] == 1200
    assert rows["mexc:order/create"]["window_ms"] == 2000
