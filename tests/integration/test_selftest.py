"""`trade-worker controls selftest`, as an operator runs it; and on a control that does not act."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumer.controls import limits
from tests.support.commands import Commands

if TYPE_CHECKING:
    import pytest

    from tests.support.world import World


async def test_every_control_acts_and_nothing_is_left_behind(world: World) -> None:
    ran = await Commands(world.settings).good(
        "controls", "selftest", "--json", DATABASE_URL=world.owner_url
    )

    controls = {one["control"] for one in ran.json}
    assert all(one["acted"] for one in ran.json)
    assert {
        "trade:kill_switch", "trade:max_leverage", "trade:max_order_quantity",
        "trade:max_order_notional", "trade:max_position_size", "trade:price_band_percent",
        "trade:max_orders_per_symbol", "trade:max_signal_age_seconds", "trade:symbols",
        "trade:max_daily_drawdown_percent", "exchanges:bybit:enabled",
        "exchanges:routing:BTCUSDT", "exchanges:default_routing", "config",
    } <= controls  # fmt: skip
    schemas = await world.database.fetch(
        "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'selftest%'"
    )
    assert not schemas
    assert not await world.orders()
    assert not world.truth
    assert not await world.database.fetch("SELECT * FROM config")


async def test_a_role_that_may_make_no_schema_is_told_so(world: World) -> None:
    ran = await Commands(world.settings).run("controls", "selftest")

    assert (ran.exit_code, "may not make a schema" in ran.err) == (1, True)


async def test_a_control_that_does_not_act_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "leverage_denial", lambda *_: None)

    ran = await Commands(world.settings).run("controls", "selftest", DATABASE_URL=world.owner_url)

    assert ran.exit_code == 1
    assert "trade:max_leverage, over" in ran.err
    assert "NO" in ran.out


async def test_controls_are_listed_with_what_they_are_set_to(world: World) -> None:
    commands = Commands(world.settings)
    await commands.good("config", "set", "trade:max_leverage:BTCUSDT", "20", "--why", "a test")

    ran = await commands.good("controls", "show", "--json")

    values = {one["key"]: one["value"] for one in ran.json}
    assert values["trade:max_leverage:BTCUSDT"] == "20"
    assert values["trade:kill_switch"] is None
