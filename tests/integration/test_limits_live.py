"""Limits on opening orders, held by two workers at once against a real ledger and exchange."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from consumer.controls.changing import change
from consumer.controls.registry import Registry
from storage.orders import get_events
from storage.states import OrderState
from tests.support.messages import trade
from tests.support.together import Together
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import NewWorld
    from tests.support.together import UnderWay
    from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

together = Together()
REGISTRY = Registry({"bybit", "binance", "mexc"})


async def _two_workers(new_world: NewWorld, keys: dict[str, str | None]) -> World:
    world = await new_world(retry_delays=",".join(["300ms"] * 15))
    await change(world.database, REGISTRY, keys, who="test", why="a test")
    workers = [world.launch(concurrent_batches=1) for _ in range(2)]
    await asyncio.gather(*(one.consuming(within=60) for one in workers))
    return world


@together
async def two_workers_never_take_more_than_is_left_of_a_position(new_world: NewWorld) -> None:
    """0.005 BTC are about 470 USDT: five of twenty fit into 2,500, whoever places them.

    One may be refused that would have fitted: what fills in the very moment of looking counts
    twice, on the safe side.
    """
    world = await _two_workers(new_world, {"trade:max_position_size": "2500"})
    messages = [trade() for _ in range(20)]
    await asyncio.gather(*(world.publish(one) for one in messages))
    rows = await world.reached(
        [one["requestId"] for one in messages], "FILLED", "DENIED", within=60
    )

    assert 4 <= len(world.truth) <= 5
    held = sum(row.filled_quantity for row in rows)
    assert held * max(row.average_price or 0 for row in rows) <= 2500
    denied = [row for row in rows if row.state is OrderState.DENIED]
    assert len(denied) == 20 - len(world.truth)
    assert {row.code for row in denied} == {"MAX_POSITION_SIZE"}
    event = (await get_events(world.database, denied[0].request_id))[-1]
    verdict = event.detail["denied"]
    assert isinstance(verdict, dict)
    assert (verdict["control"], verdict["limit"]) == ("trade:max_position_size", "2500")
    assert Decimal(str(verdict["value"])) > 2500

    close = trade(action="CLOSE_LONG", leverage=None, quantity=str(held))
    await world.publish(close)
    await world.reached([close["requestId"]], "FILLED")  # never blocked by a limit
    again = trade()
    await world.publish(again)
    await world.reached([again["requestId"]], "FILLED")  # and there is room again


@together
async def every_other_limit_denies_what_is_over_it_and_passes_what_is_not(
    new_world: NewWorld,
) -> None:
    world = await _two_workers(
        new_world,
        {
            "trade:max_leverage": "20",
            "trade:max_order_quantity:ETHUSDT": "0.2",
            "trade:max_order_notional": "1000",
            "trade:price_band_percent": "2",
            "trade:max_orders_per_symbol:XRPUSDT": "2/60s",
        },
    )
    price = await _price(world, "BTCUSDT")
    far = str((price * Decimal("0.96")).quantize(Decimal("0.1")))
    near = str((price * Decimal("0.99")).quantize(Decimal("0.1")))
    eth = {"symbol": "ETHUSDT", "quantity": "0.21"}
    xrp = {"symbol": "XRPUSDT", "quantity": "50"}
    wanted = {
        "MAX_LEVERAGE": trade(leverage=21),
        "MAX_ORDER_QUANTITY": trade(**eth),
        "MAX_ORDER_NOTIONAL": trade(quantity="0.02"),
        "PRICE_BAND": trade(orderType="LIMIT", price=far),
    }
    passed = [
        trade(leverage=20),
        trade(**{**eth, "quantity": "0.2"}),
        trade(orderType="LIMIT", price=near),
        trade(**xrp),
        trade(**xrp),
    ]
    await asyncio.gather(*(world.publish(one) for one in (*wanted.values(), *passed)))
    await world.reached([one["requestId"] for one in passed], "FILLED", "ACCEPTED", within=60)
    third = trade(**xrp)
    await world.publish(third)
    wanted["MAX_ORDERS_PER_SYMBOL"] = third

    rows = await world.reached([one["requestId"] for one in wanted.values()], "DENIED", within=60)
    assert {row.code: row.request_id for row in rows} == {
        code: str(one["requestId"]) for code, one in wanted.items()
    }
    for row in rows:
        assert row.message is not None
        assert "trade:" in row.message
        assert not world.placed(row.request_id)
    letters = await world.amqp.take(world.topology.dead_letter_queue, len(rows))
    assert {str(one.headers["trade-reason"]) for one in letters} == set(wanted)


@together
async def a_day_that_lost_too_much_opens_nothing_more_until_a_person_says_so(
    new_world: NewWorld,
) -> None:
    """The account has 1,000,000 and began the day with more."""
    world = await new_world(retry_delays=",".join(["300ms"] * 15), equity_interval=0.2)
    await world.database.execute(
        "INSERT INTO equity_days (exchange, account, day, currency, start, latest) VALUES "
        "('bybit', 'default', (now() AT TIME ZONE 'UTC')::date, 'USDT', 1100000, 1100000)"
    )
    first = await world.start_worker()
    held = trade()
    await world.publish(held)
    await world.reached([held["requestId"]], "FILLED")  # no limit, no halt

    await change(world.database, REGISTRY, {"trade:max_daily_drawdown_percent": "5"}, who="test")
    (halted,) = await eventually(lambda: _switches(world), what="the halt")
    assert (halted["key"], halted["value"]) == ("trade:kill_switch:bybit", "reduce_only")
    assert halted["updated_by"] == "drawdown"
    await first.stop()
    second = await world.start_worker()  # a restart changes nothing

    refused, close = trade(), trade(action="CLOSE_LONG", leverage=None)
    await world.publish(refused)
    (row,) = await world.reached([refused["requestId"]], "DENIED")
    assert row.code == "KILL_SWITCH_ACTIVE"
    await world.publish(close)
    await world.reached([close["requestId"]], "FILLED")

    await change(world.database, REGISTRY, {"trade:kill_switch:bybit": "off"}, who="a person")
    await second.says("config changed", times=1)
    again = trade()
    await world.publish(again)
    await world.reached([again["requestId"]], "FILLED")  # the day's halt is over, by a person
    (switch,) = await _switches(world)
    assert switch["value"] == "off"


async def _switches(world: World) -> list[Any]:
    return await world.database.fetch("SELECT * FROM config WHERE key LIKE 'trade:kill_switch:%'")


async def _price(world: World, symbol: str) -> Decimal:
    """The mark price, read from the event of an order that a limit needed it for."""
    probe = trade(symbol=symbol)
    await world.publish(probe)
    (row,) = await world.reached([probe["requestId"]], "FILLED", within=60)
    rows = await world.database.fetch(
        "SELECT detail FROM order_events WHERE request_id = $1 AND after_state = 'SENDING'",
        row.request_id,
    )
    return Decimal(json.loads(rows[0]["detail"])["weighed"]["mark"])


under_way = together.fixture()


@pytest.mark.parametrize("flow", together.names)
async def test_together(under_way: UnderWay, flow: str) -> None:
    await under_way[flow]
