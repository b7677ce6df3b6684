"""More orders than intents: trading halts by itself. A real worker, database and sandbox."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from providers.bybit import PROVIDER
from providers.mexc import PROVIDER as MEXC
from providers.orders import Action, OrderType, PreparedOrder, Side, TradeRequest
from providers.outcomes import PlacementKind
from providers.preparation import Preparation
from storage import config, config_writing
from storage.foreign import list_foreign
from storage.identity import client_order_id
from storage.notifications import Notifications, Topic
from tests.support.commands import Commands
from tests.support.messages import trade
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import NewWorld
    from tests.support.world import World


def resting(name: str) -> PreparedOrder:
    return PreparedOrder(
        client_order_id=name,
        symbol="BTCUSDT",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal("0.001"),
        reduce_only=False,
        price=Decimal(10000),
    )


async def test_a_foreign_order_is_told_and_one_of_ours_without_an_intent_halts(
    world: World,
) -> None:
    client = PROVIDER.create_client(world.settings)
    try:
        await client.start()
        await client.place(resting("by-hand-1"))
        running = await world.start_worker(audit_interval=0.2)
        (told,) = await running.says("foreign order")
        assert (told["kind"], told["client_order_id"]) == ("foreign", "by-hand-1")
        assert await config.list_config(world.database) == []

        await client.place(resting(client_order_id("nobody-asked", "default")))
        await running.says("trading halted: more orders than intents")
    finally:
        await client.aclose()

    (row,) = await config.list_config(world.database)
    assert (row.key, row.value) == ("trade:kill_switch:bybit", "on")
    assert row.updated_by == "knight-check"

    async def both() -> bool:
        return len(await list_foreign(world.database)) == 2

    await eventually(both, what="the notes")
    # Lifted by a person, it is not halted for the same order again, after a restart neither.
    await config_writing.change(world.database, {row.key: None}, who="me", why="looked at it")
    await running.stop()
    again = await world.start_worker(audit_interval=0.2)
    before = (await list_foreign(world.database))[0].last_seen

    async def seen_again() -> bool:
        return (await list_foreign(world.database))[0].last_seen > before

    await eventually(seen_again, what="another look")
    assert await config.list_config(world.database) == []
    assert again.events("foreign order") == []
    listed = (await Commands(world.settings).good("orders", "foreign", "--json")).json
    assert sorted(one["kind"] for one in listed) == ["extra", "foreign"]
    assert (await Commands(world.settings).run("status", "--json")).json["foreignOrders"] == 2


async def test_a_second_order_under_an_id_is_seen_though_both_were_filled_at_once(
    new_world: NewWorld,
) -> None:
    """MEXC at its worst: it takes one client order id twice. Somebody repeats a request of ours."""
    world = await new_world()
    sandbox = world.sandbox
    sandbox.sandbox.facades["mexc"].variants.set("duplicate_ids", "accepted")
    values = {
        "mexc_api_key": sandbox.key("mexc"),
        "mexc_secret_binding": sandbox.secret("mexc"),
        "mexc_base_url": sandbox.base_url("mexc"),
        "audit_interval": 0.2,
        "recent_orders_interval": 0.2,
    }
    running = await world.start_worker(**values)
    message = trade(exchange="mexc")
    await world.publish(message)
    (row,) = await world.reached([message["requestId"]], "FILLED")
    await running.says("settled")

    async def looked() -> bool:
        rows = await world.database.fetch(
            "SELECT count(*) AS n FROM audits WHERE look = 'recent' AND seen_until > $1",
            row.finished_at,
        )
        return bool(rows[0]["n"] == 2)

    await eventually(looked, what="looks at the finished orders")
    assert await config.list_config(world.database) == []

    client = MEXC.create_client(world.changed(**values))
    try:
        await client.start()
        wanted = TradeRequest("BTCUSDT", Action.LONG, Decimal("0.005"))
        again = await Preparation(client, 60).prepare(wanted, row.client_order_id)
        assert (await client.place(again)).kind is PlacementKind.ACCEPTED
    finally:
        await client.aclose()
    await running.says("trading halted: more orders than intents")

    (switch,) = await config.list_config(world.database)
    assert (switch.key, switch.value) == ("trade:kill_switch:mexc", "on")
    # It outlasts a restart, and it is that exchange alone that is halted. Halting comes before
    # noting: one that ends in between halts once more.
    await running.says("foreign order", 2)
    await running.stop()
    again_running = await world.start_worker(**values)
    refused, other = trade(exchange="mexc"), trade()
    await world.publish(refused, other)
    await world.reached([refused["requestId"]], "DENIED")
    await world.reached([other["requestId"]], "FILLED")
    assert again_running.events("trading halted: more orders than intents") == []


async def test_a_foreign_fill_is_told_and_nothing_is_done_about_it(world: World) -> None:
    await Notifications(world.database).want(Topic)
    client = PROVIDER.create_client(world.settings)
    try:
        await client.start()
        running = await world.start_worker(audit_interval=0.2, recent_orders_interval=0.2)
        by_hand = replace(resting("by-hand-2"), order_type=OrderType.MARKET, price=None)
        await client.place(by_hand)
        (told,) = await running.says("foreign fill")
        held = await client.positions()
    finally:
        await client.aclose()

    assert (told["kind"], told["client_order_id"]) == ("foreign", "by-hand-2")
    assert (told["filled"], told["quantity"]) == ("0.001", "0.001")
    assert [one.quantity for one in held] == [Decimal("0.001")]
    assert await config.list_config(world.database) == []
    (listed,) = (await Commands(world.settings).good("orders", "foreign", "--json")).json
    assert listed["filled_quantity"] == "0.001"
    rows = await world.database.fetch("SELECT detail FROM outbox WHERE topic = 'foreign'")
    assert len(rows) == 1
