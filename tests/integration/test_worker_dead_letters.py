"""Messages that must not be traded: where they end up, with which words, and untouched."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import pytest_asyncio

from storage.orders import get_order
from storage.states import OrderState
from tests.support.messages import encode, trade
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pamqp.common import FieldValue

    from tests.conftest import NewWorld
    from tests.support.amqp import Got
    from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = trade()


def raw(**fields: str) -> bytes:
    """A good message in which the JSON text of some fields is replaced."""
    texts = {name: json.dumps(value) for name, value in GOOD.items()}
    texts |= {"requestId": json.dumps(str(uuid4())), **fields}
    return ("{" + ",".join(f'"{name}":{text}' for name, text in texts.items()) + "}").encode()


MALFORMED: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "NOT_JSON", "empty"),
    "blanks": (b" \n\t ", "NOT_JSON", "empty"),
    "no JSON": (b"LONG 0.005 BTCUSDT", "NOT_JSON", "not JSON"),
    "half a JSON": (encode(GOOD)[:-20], "NOT_JSON", "not JSON"),
    "two JSONs": (encode(GOOD) * 2, "NOT_JSON", "not JSON"),
    "a byte order mark": (b"\xef\xbb\xbf" + encode(GOOD), "NOT_JSON", "byte order mark"),
    "UTF-16": (encode(GOOD).decode().encode("utf-16"), "NOT_UTF8", "not UTF-8"),
    "Latin-1": (raw(requestId='"é"').decode().encode("latin-1"), "NOT_UTF8", "0xe9"),
    "random bytes": (b"\xff" + os.urandom(65_000), "NOT_UTF8", "not UTF-8"),
    "64 KiB and one": (b" " * 65_537, "TOO_LARGE", "65537 bytes; at most 65536"),
    "10 MB": (os.urandom(10_000_000), "TOO_LARGE", "10000000 bytes"),
    "an array": (encode([GOOD]), "NOT_AN_OBJECT", "JSON array"),
    "a number": (b"7", "NOT_AN_OBJECT", "JSON number"),
    "null": (b"null", "NOT_AN_OBJECT", "JSON null"),
    "brackets without end": (b"[" * 60_000, "NOT_JSON", ""),
    "nested too deeply": (b'{"a":' * 9_000 + b"1" + b"}" * 9_000, "NOT_JSON", "nested"),
    "an empty object": (b"{}", "VALIDATION_ERROR", "requestId: is missing"),
    "no quantity": (encode(trade(quantity=None)), "VALIDATION_ERROR", "quantity: is missing"),
    "no request id": (encode(trade(requestId=None)), "VALIDATION_ERROR", "requestId: is missing"),
    "an unknown field": (encode(trade(qty=1)), "VALIDATION_ERROR", "qty: unknown field"),
    "a field twice": (raw() [:-1] + b',"symbol":"ETHUSDT"}', "VALIDATION_ERROR", "more than once"),
    "quantity 0": (raw(quantity="0"), "VALIDATION_ERROR", "greater than zero"),
    "quantity -1": (raw(quantity="-1"), "VALIDATION_ERROR", "greater than zero"),
    "quantity NaN": (raw(quantity="NaN"), "VALIDATION_ERROR", "quantity"),
    "quantity of infinity": (raw(quantity="Infinity"), "VALIDATION_ERROR", "quantity"),
    "quantity true": (raw(quantity="true"), "VALIDATION_ERROR", "quantity"),
    "quantity as words": (raw(quantity='"a lot"'), "VALIDATION_ERROR", "quantity"),
    "quantity 1e999999999": (raw(quantity="1e999999999"), "VALIDATION_ERROR", "quantity"),
    "leverage 1e999999999": (raw(leverage="1e999999999"), "VALIDATION_ERROR", "leverage"),
    "queuedAt 1e999999999": (raw(queuedAt="1e999999999"), "VALIDATION_ERROR", "queuedAt"),
    "a number of 5000 digits": (raw(quantity="9" * 5000), "VALIDATION_ERROR", "quantity"),
    "leverage 126": (raw(leverage="126"), "VALIDATION_ERROR", "leverage"),
    "leverage 1.5": (raw(leverage="1.5"), "VALIDATION_ERROR", "leverage"),
    "an unknown action": (raw(action='"BUY"'), "VALIDATION_ERROR", "action"),
    "an odd symbol": (raw(symbol='"BTC USDT;"'), "VALIDATION_ERROR", "symbol"),
    "LIMIT without a price": (raw(orderType='"LIMIT"'), "VALIDATION_ERROR", "price"),
    "a time without a zone": (raw(expiresAt='"2026-01-31T12:00:00"'), "VALIDATION_ERROR", "zone"),
    "half a surrogate as value": (raw(requestId='"\\ud800"'), "VALIDATION_ERROR", "requestId"),
    "half a surrogate as name": (
        raw()[:-1] + b',"\\ud800":1}', "VALIDATION_ERROR", "valid Unicode",
    ),
    "half a surrogate twice": (b'{"\\ud800":1,"\\ud800":2}', "VALIDATION_ERROR", "more than once"),
    "NUL in the request id": (raw(requestId='"a\\u0000b"'), "VALIDATION_ERROR", "requestId"),
    "a request id of 129": (raw(requestId=json.dumps("x" * 129)), "VALIDATION_ERROR", "requestId"),
    "an envelope with more": (
        encode({"requestId": "r", "payload": GOOD, "more": 1}), "VALIDATION_ERROR", "more",
    ),
    "an envelope of two ids": (
        encode({"requestId": "other", "payload": GOOD}), "VALIDATION_ERROR", "differs",
    ),
    "a field's name of 60000": (raw(**{"x" * 60_000: "1"}), "VALIDATION_ERROR", "unknown field"),
}  # fmt: skip


class Letters:
    """The dead letters of a world, by message id, as they come."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.by_id: dict[str, list[Got]] = {}

    async def of(self, message_id: str) -> Got:
        """Wait for the one dead letter of a message."""

        async def came() -> list[Got] | None:
            for letter in await self.world.amqp.drain(self.world.topology.dead_letter_queue):
                self.by_id.setdefault(letter.message_id or "", []).append(letter)
            return self.by_id.get(message_id)

        try:
            (letter,) = await eventually(came, within=15, what=f"the dead letter of {message_id}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.world.workers[-1].text[-4000:]}") from None
        return letter

    async def after_publishing(
        self,
        message: Mapping[str, object] | bytes,
        headers: Mapping[str, FieldValue] | None = None,
    ) -> Got:
        """Publish a message and wait for its dead letter; its body must be the same."""
        message_id = str(uuid4())
        body = message if isinstance(message, bytes) else encode(message)
        await self.world.amqp.publish(
            body,
            self.world.topology.queue,
            exchange=self.world.topology.exchange,
            message_id=message_id,
            headers=headers,
        )
        letter = await self.of(message_id)
        assert letter.body == body
        assert letter.persistent
        return letter


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def letters(new_module_world: NewWorld) -> Letters:
    """One worker for all tests here."""
    world = await new_module_world()
    await world.start_worker()
    return Letters(world)


@pytest.mark.parametrize("kind", MALFORMED)
async def test_what_is_no_trade_message_is_buried_as_it_came(letters: Letters, kind: str) -> None:
    body, reason, words = MALFORMED[kind]

    letter = await letters.after_publishing(body)

    assert letter.headers["trade-reason"] == reason
    assert words in str(letter.headers["trade-error"])
    assert len(str(letter.headers["trade-error"])) <= 1000
    assert letter.headers["trade-attempts"] == 1


async def test_bad_messages_never_hold_up_the_good_ones_around_them(letters: Letters) -> None:
    world = letters.world
    bad = {str(uuid4()): body for body, _, _ in MALFORMED.values()}
    good = [trade(symbol="ETHUSDT", quantity="0.01") for _ in bad]

    for (message_id, body), message in zip(bad.items(), good, strict=True):
        await world.amqp.publish(
            body, world.topology.queue, exchange=world.topology.exchange, message_id=message_id
        )
        await world.publish(message)

    await world.reached([one["requestId"] for one in good], "FILLED")
    for message_id, body in bad.items():
        assert (await letters.of(message_id)).body == body
    assert world.workers[0].exit_code is None


async def test_a_dead_letter_says_what_when_and_whose(letters: Letters) -> None:
    before = datetime.now(UTC)
    message = trade(exchange="kraken")

    letter = await letters.after_publishing(
        message,
        {
            "producer": "strategy-7",
            "x-trace": "theirs",
            "trade-reason": "an earlier death",
            "long": "l" * 5000,
            "number": 7,
        },
    )

    # The broker counts deliveries of a quorum queue in a header of its own.
    headers = {k: v for k, v in letter.headers.items() if k != "x-delivery-count"}
    failed_at = datetime.fromisoformat(str(headers.pop("trade-failed-at")))
    batch_at = datetime.fromisoformat(str(headers.pop("trade-batch-at")))
    assert batch_at <= failed_at
    assert before <= failed_at <= datetime.now(UTC)
    # Letters of the tests before may share its batch, so its place in it is not fixed.
    assert headers.pop("trade-batch-order") in range(10)
    (settled,) = [
        one
        for one in letters.world.workers[0].events("settled")
        if one.get("request_id") == message["requestId"]
    ]
    assert str(headers["trade-error"]).startswith("unknown exchange 'kraken'; known here: ")
    assert headers == {
        "producer": "strategy-7",
        "number": 7,
        "trade-reason": "UNKNOWN_EXCHANGE",
        "trade-error": "unknown exchange 'kraken'; known here: binance, bybit, mexc",
        "trade-batch-id": settled["batch_id"],
        "trade-exchange": "kraken",
        "trade-attempts": 1,
        "trade-request-id": message["requestId"],
    }
    row = await letters.world.order(message["requestId"])
    assert (row.state, row.code) == (OrderState.DENIED, "UNKNOWN_EXCHANGE")
    await eventually(
        lambda: _dead_lettered(letters.world, message["requestId"]), what="the mark in the ledger"
    )


async def test_the_same_id_for_another_trade_is_refused_and_the_first_one_stands(
    letters: Letters,
) -> None:
    world = letters.world
    first = trade()
    await world.publish(first)
    (before,) = await world.reached([first["requestId"]], "FILLED")

    for change in ({"quantity": "0.006"}, {"action": "SHORT"}, {"symbol": "ETHUSDT"},
                   {"leverage": 11}, {"expiresAt": "2099-01-01T00:00:00Z"}):  # fmt: skip
        letter = await letters.after_publishing({**first, **change})
        assert letter.headers["trade-reason"] == "DUPLICATE_REQUEST"
        assert "a new trade needs a new requestId" in str(letter.headers["trade-error"])

    assert len(world.placed(first["requestId"])) == 1
    assert await world.order(first["requestId"]) == before


async def test_a_refusal_of_the_exchange_is_told_with_its_code(letters: Letters) -> None:
    message = trade(quantity="400", leverage=2)  # far more than the account can back

    letter = await letters.after_publishing(message)

    assert letter.headers["trade-reason"] == "EXCHANGE_REJECTED"
    assert str(letter.headers["trade-error"]).startswith("bybit 110007: ")
    row = await letters.world.order(message["requestId"])
    assert (row.state, row.code, row.sends) == (OrderState.REJECTED, "110007", 1)
    assert letters.world.placed(message["requestId"]) == []


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"quantity": "0.0001"}, "BELOW_MIN_QUANTITY"),
        ({"symbol": "NOSUCHUSDT"}, "UNKNOWN_SYMBOL"),
        ({"leverage": 125, "symbol": "DOTUSDT", "quantity": "10"}, "LEVERAGE_TOO_HIGH"),
    ],
)
async def test_what_breaks_a_rule_of_the_instrument_is_never_sent(
    letters: Letters, fields: dict[str, object], reason: str
) -> None:
    message = trade(**fields)

    letter = await letters.after_publishing(message)

    assert letter.headers["trade-reason"] == reason
    assert (await letters.world.order(message["requestId"])).state is OrderState.DENIED
    assert letters.world.creates(message["requestId"]) == []


async def test_a_trade_that_expired_before_it_came_is_never_sent(letters: Letters) -> None:
    message = trade(expiresAt=(datetime.now(UTC) - timedelta(seconds=1)).isoformat())

    letter = await letters.after_publishing(message)

    assert letter.headers["trade-reason"] == "EXPIRED"
    assert "expiresAt" in str(letter.headers["trade-error"])
    row = await letters.world.order(message["requestId"])
    assert (row.state, row.sends) == (OrderState.EXPIRED, 0)
    assert letters.world.creates(message["requestId"]) == []


async def test_a_refused_trade_that_comes_again_is_buried_once(letters: Letters) -> None:
    message = trade(exchange="kraken")
    await letters.after_publishing(message)
    await eventually(lambda: _dead_lettered(letters.world, message["requestId"]), what="the mark")

    await letters.world.publish(message)

    def settled() -> list[dict[str, object]] | None:
        found = [
            one
            for one in letters.world.workers[0].events("settled")
            if one.get("request_id") == message["requestId"]
        ]
        return found if len(found) == 2 else None

    _, again = await eventually(settled, what="the second settlement")
    assert (again["settlement"], again["outcome"]) == ("ack", "already_done")


async def test_without_credentials_nothing_is_tried(new_module_world: NewWorld) -> None:
    world = await new_module_world(bybit_api_key=None, bybit_api_secret=None)
    await world.start_worker()

    letter = await Letters(world).after_publishing(trade(exchange="BYBIT"))

    assert letter.headers["trade-reason"] == "NOT_CONFIGURED"
    assert "not configured for bybit" in str(letter.headers["trade-error"])
    assert world.truth == []


async def test_nothing_is_left_behind(letters: Letters) -> None:
    await letters.world.empty()
    await asyncio.sleep(0)
    assert await letters.world.amqp.drain(letters.world.topology.dead_letter_queue) == []
    assert all(len(found) == 1 for found in letters.by_id.values())


async def _dead_lettered(world: World, request_id: object) -> bool:
    row = await get_order(world.database, str(request_id))
    return row is not None and row.dead_lettered_at is not None
