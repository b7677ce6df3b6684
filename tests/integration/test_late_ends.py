"""Orders that an exchange takes and that come to nothing: they become dead letters.

A real worker, database and sandbox. The messages were acknowledged when the orders were accepted.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from consumer.contract.decoding import decode
from providers.bybit import PROVIDER
from providers.sandbox.faults import FaultKind
from storage.dead_letters import LetterFilter, get_body, list_letters
from storage.identity import client_order_id, fingerprint
from storage.ledger import Letter
from storage.notifications import Notifications, Topic
from storage.orders import get_order
from storage.states import OrderState
from tests.support.commands import Commands
from tests.support.ledgers import bring, change, open_ledger
from tests.support.messages import encode, trade
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from storage.dead_letters import LetterRow
    from storage.postgres import Database
    from tests.support.world import World

ALL = LetterFilter()
LATER = trade()
RESTING = trade(symbol="ETHUSDT", quantity=0.1, orderType="LIMIT", price=1500)
AT_ONCE = trade(symbol="XRPUSDT", quantity=100, orderType="LIMIT", price=0.5, timeInForce="IOC")


async def letters_of(database: Database, request_id: object) -> list[LetterRow]:
    return list(await list_letters(database, LetterFilter(request_id=str(request_id)), 10))


async def test_a_taken_order_that_comes_to_nothing_is_a_dead_letter(world: World) -> None:
    await Notifications(world.database).want(Topic)
    world.fault(
        FaultKind.REJECT_LATER, request_id=LATER["requestId"], message="EC_NoEnoughBalance", count=1
    )
    await world.start_worker(collect_dead_letters=True)
    await world.publish(LATER, RESTING, AT_ONCE)

    await world.reached([LATER["requestId"]], OrderState.REJECTED)
    await world.reached([AT_ONCE["requestId"]], OrderState.CANCELED)
    await world.reached([RESTING["requestId"]], OrderState.ACCEPTED)
    client = PROVIDER.create_client(world.settings)
    try:
        await client.start()
        await client.cancel("ETHUSDT", client_order_id(str(RESTING["requestId"]), "default"))
    finally:
        await client.aclose()
    await world.reached([RESTING["requestId"]], OrderState.CANCELED)

    # In the same transaction, so there is nothing to wait for.
    (rejected,) = await letters_of(world.database, LATER["requestId"])
    (canceled,) = await letters_of(world.database, RESTING["requestId"])
    assert (rejected.reason, canceled.reason) == ("EXCHANGE_REJECTED", "EXCHANGE_CANCELED")
    assert rejected.error == "bybit: rejected after it was accepted: EC_NoEnoughBalance"
    assert rejected.headers["trade-body"] == "as the ledger keeps it"
    assert (rejected.exchange, rejected.symbol, rejected.action) == ("bybit", "BTCUSDT", "LONG")
    assert await letters_of(world.database, AT_ONCE["requestId"]) == []  # it did as it was told
    # The body is the trade.
    asked = decode(encode(LATER), 65536)
    kept = decode(await get_body(world.database, rejected.id), 65536)
    assert (kept.request_id, fingerprint(kept.terms)) == (
        asked.request_id,
        fingerprint(asked.terms),
    )
    told = await world.database.fetch(
        "SELECT topic FROM outbox WHERE kind = 'notification' AND request_id = $1 ORDER BY topic",
        LATER["requestId"],
    )
    assert [row["topic"] for row in told] == ["dead_lettered", "failed"]

    # The messages again: nothing is sent, and nothing dies twice.
    await world.publish(LATER, RESTING, AT_ONCE)
    await world.empty()

    async def settled() -> bool:
        return len(world.workers[0].events("settled")) == 6

    await eventually(settled, what="the messages that came again")
    assert len(await list_letters(world.database, ALL, 10)) == 2
    assert len(world.truth) == 3

    # As an operator sees it, and takes it up again: under a fresh id, for the old one is spent.
    commands = Commands(world.settings)
    listed = (await commands.good("dlq", "list", "--reason", "EXCHANGE_REJECTED", "--json")).json
    assert [one["requestId"] for one in listed] == [LATER["requestId"]]
    replayed = (
        await commands.good("dlq", "replay", "--all", "--why", "money added", "--json")
    ).json
    assert (replayed["published"], replayed["reopened"], replayed["alreadyDone"]) == (1, 1, 1)
    (row,) = await world.reached([LATER["requestId"]], OrderState.FILLED)
    assert row.filled_quantity == Decimal("0.005")
    assert row.client_order_id != client_order_id(row.request_id, "default")
    world.assert_none_doubled()


async def test_a_record_that_is_repeated_buries_once(database: Database) -> None:
    ledger = open_ledger(database)
    row = await bring(ledger, "r1", OrderState.ACCEPTED)
    said = change(
        row, OrderState.ACCEPTED, OrderState.REJECTED, letter=Letter("EXCHANGE_REJECTED", "no\x00")
    )

    await ledger.record(said)
    await ledger.record(said)

    (letter,) = await letters_of(database, "r1")
    assert letter.error == "no"
    after = await get_order(database, "r1")
    assert after is not None
    assert after.dead_lettered_at == after.finished_at
