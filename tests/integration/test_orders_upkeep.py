"""`orders resolve` and `orders verify`; a worker's rights in the database."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from consumer.settings import Settings
from storage import postgres, roles
from storage.errors import LedgerUnavailable, MigrationError
from storage.notifications import Notifications, Topic
from storage.orders import get_events, get_order
from storage.probing import prove_writable
from storage.resolving import RESOLUTIONS
from storage.retelling import faults
from storage.states import OrderState
from tests.support.commands import Commands
from tests.support.databases import WORKER
from tests.support.ledgers import WAY_TO, bring, open_ledger
from tests.support.messages import trade

if TYPE_CHECKING:
    from storage.postgres import Database
    from tests.support.world import World

S = OrderState


@pytest.mark.parametrize("state", RESOLUTIONS)
async def test_a_person_resolves_a_quarantined_order(
    database: Database, database_url: str, state: OrderState
) -> None:
    await bring(open_ledger(database), "r1", S.QUARANTINED)
    await Notifications(database).want(Topic)
    commands = Commands(Settings(database_url=database_url))
    arguments = ("orders", "resolve", "r1", "--as", state.lower(), "--who", "ann")

    assert (await commands.run(*arguments, "--why", " ")).exit_code == 2
    await commands.good(*arguments, "--why", "seen in the app")

    row = await get_order(database, "r1")
    assert row is not None
    assert (row.state, row.code, row.message) == (state, "RESOLVED", "seen in the app")
    assert (row.check_at is None) == (state is not S.ACCEPTED)
    assert row.filled_quantity == (Decimal("0.005") if state is S.FILLED else 0)
    *_, event = await get_events(database, "r1")
    assert (event.before, event.after) == (S.QUARANTINED, state)
    assert (event.detail["who"], event.detail["why"]) == ("ann", "seen in the app")
    told = await database.fetch("SELECT topic, request_id FROM outbox WHERE topic IS NOT NULL")
    topic = {S.FILLED: "executed", S.ACCEPTED: "quarantined"}.get(state, "failed")
    assert [tuple(row) for row in told] == [(topic, "r1")]
    again = await commands.run(*arguments, "--why", "once more")
    assert again.exit_code == 1
    assert str(state) in again.err
    assert (
        await commands.run("orders", "resolve", "r2", *arguments[3:], "--why", "x")
    ).exit_code == 4
    await commands.good("orders", "verify")


async def test_every_state_is_told_again_from_its_events(
    database: Database, database_url: str
) -> None:
    ledger = open_ledger(database)
    for state in WAY_TO:
        await bring(ledger, state, state)
    commands = Commands(Settings(database_url=database_url))
    report = (await commands.good("orders", "verify", "--json")).json
    assert report == {"orders": len(WAY_TO), "differing": {}}

    await database.execute("UPDATE orders SET filled_quantity = 7 WHERE request_id = 'FILLED'")
    ran = await commands.run("orders", "verify", "--json")
    assert ran.exit_code == 1
    assert ran.json["differing"] == {"FILLED": ["filled_quantity is 7, the events tell 0"]}
    row = await get_order(database, "FILLED")
    assert row is not None
    assert faults(row, []) == ["there are no events"]


async def test_the_role_of_workers_cannot_touch_the_history(world: World) -> None:
    """What it can do, every other test shows: workers, commands and the API have this role."""
    owner = world.database
    commands = Commands(world.settings)
    ran = await commands.good("migrate", "--role", WORKER, DATABASE_URL=world.owner_url)
    assert "a worker's rights" in ran.out
    assert WORKER in await roles.granted(owner)  # gets what a new version's migrations add
    with pytest.raises(MigrationError, match="no role"):
        await roles.grant(owner, "nobody_at_all")
    with pytest.raises(MigrationError, match="superuser"):
        await roles.grant(owner, (await owner.fetch("SELECT current_user AS me"))[0]["me"])

    running = await world.start_worker()
    message = trade()
    await world.publish(message, b"poison")
    await world.reached([message["requestId"]], "FILLED")
    await world.dead_letters(1)
    assert await running.stop() == 0
    assert not [line for line in running.events() if line.get("level") in ("error", "critical")]

    # Even without the triggers that refuse it as well.
    for table in ("order_events", "fills", "config_history"):
        await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    role = await postgres.connect(world.settings, give_up_after=30)
    try:
        for statement in (
            "UPDATE order_events SET after_state = 'FILLED'",
            "DELETE FROM order_events",
            "TRUNCATE order_events",
            "UPDATE fills SET price = 1",
            "DELETE FROM fills",
            "DELETE FROM orders",
            "TRUNCATE orders",
            "DELETE FROM dead_letters",
            "UPDATE config_history SET who = 'x'",
            "DROP TRIGGER order_events_guard ON order_events",
            "ALTER TABLE orders ADD COLUMN x text",
            "CREATE TABLE mine (x text)",
            "INSERT INTO schema_migrations (name, checksum) VALUES ('x', 'y')",
        ):
            with pytest.raises(LedgerUnavailable, match=r"permission denied|must be owner"):
                await role.execute(statement)
    finally:
        await role.aclose()
        for table in ("order_events", "fills", "config_history"):
            await owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


async def test_a_worker_without_its_rights_takes_nothing_until_it_has_them(world: World) -> None:
    await world.database.execute(f"REVOKE INSERT ON order_events FROM {WORKER}")
    running = await world.start_worker()
    message = trade()
    await world.publish(message)
    await running.says("ledger unreachable, trading paused")
    role = await postgres.connect(world.settings, give_up_after=30)
    try:
        with pytest.raises(LedgerUnavailable, match="permission denied"):
            await prove_writable(role)  # so it stays paused
    finally:
        await role.aclose()
    assert await world.orders() == []
    assert world.truth == []

    await roles.grant(world.database, WORKER)

    await world.reached([message["requestId"]], "FILLED", within=60)
