"""What producers publish during a chaos run: good trades with duplicates and poison mixed in. Pure.

A seed determines every message but its instants, which are relative to its publishing.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

_D = Decimal
# Symbol, quantity, tick: small against the sandbox's balances, large against every minimum.
SYMBOLS: tuple[tuple[str, str, str], ...] = (
    ("BTCUSDT", "0.005", "0.1"),
    ("ETHUSDT", "0.1", "0.01"),
    ("SOLUSDT", "1", "0.01"),
    ("XRPUSDT", "50", "0.0001"),
    ("DOGEUSDT", "500", "0.0001"),
    ("LTCUSDT", "1", "0.01"),
)
VENUES = ("bybit", "binance", "mexc")
_VENUE_WEIGHTS = (9, 9, 2)  # MEXC takes far fewer orders a second
Prices = Mapping[str, Decimal]


class Kind(StrEnum):
    """What a message is, and so what may become of it."""

    GOOD = "good"
    DUPLICATE = "duplicate"  # the very bytes of an earlier one
    CONFLICT = "conflict"  # an earlier request id, another trade
    EXPIRING = "expiring"  # may be too late by the time it is sent
    EXPIRED = "expired"  # is too late from the start
    TEST = "test"  # checked, not sent
    UNLISTED = "unlisted"  # a symbol that no exchange has
    MALFORMED = "malformed"
    UNKNOWN_FIELD = "unknown_field"


POISON = frozenset({Kind.MALFORMED, Kind.UNKNOWN_FIELD})
# Of a hundred messages that come beside the good ones.
_BESIDE = {
    Kind.DUPLICATE: 38,
    Kind.CONFLICT: 10,
    Kind.EXPIRING: 22,
    Kind.EXPIRED: 6,
    Kind.TEST: 5,
    Kind.UNLISTED: 4,
    Kind.MALFORMED: 9,
    Kind.UNKNOWN_FIELD: 6,
}
_FIELDS: Mapping[Kind, Mapping[str, object]] = {
    Kind.UNKNOWN_FIELD: {"quantitty": "1"},
    Kind.UNLISTED: {"symbol": "NOSUCHUSDT"},
    Kind.TEST: {"test": True},
}
_BESIDE_SHARE = 0.3  # of all messages


@dataclass(slots=True)
class Message:
    """One message; `body` is made when it is published, and then stays.

    Attributes:
        number: its place in the stream, and its message id.
        fields: None if the body is not made of fields.
        expires_in: seconds from publishing.
        again: the number of the message whose bytes are sent once more.
    """

    number: int
    kind: Kind
    request_id: str | None
    fields: dict[str, object] | None
    raw: bytes = b""
    expires_in: float | None = None
    again: int | None = None
    body: bytes = field(default=b"", init=False)
    expires_at: datetime | None = field(default=None, init=False)

    def made(self, now: datetime) -> bytes:
        """The bytes; the same ones at every call."""
        if not self.body:
            if self.fields is None:
                self.body = self.raw
            else:
                fields = dict(self.fields)
                if self.expires_in is not None:
                    self.expires_at = now + timedelta(seconds=self.expires_in)
                    fields["expiresAt"] = self.expires_at.isoformat()
                self.body = json.dumps(fields).encode()
        return self.body

    @property
    def is_intent(self) -> bool:
        """Whether it asks for a trade of its own."""
        return self.kind not in (*POISON, Kind.DUPLICATE, Kind.CONFLICT)


def stream(seed: int, intents: int, prices: Prices) -> list[Message]:
    """Make the messages of a run, with so many intents to trade among them."""
    draw = random.Random(seed)  # noqa: S311 - reproducible, nothing secret
    kinds, weights = list(_BESIDE), list(_BESIDE.values())
    messages: list[Message] = []
    asked = 0
    while asked < intents:
        good = draw.random() >= _BESIDE_SHARE
        kind = Kind.GOOD if good else draw.choices(kinds, weights)[0]
        earlier = [one for one in messages[-300:] if one.kind is Kind.GOOD]
        if kind in (Kind.DUPLICATE, Kind.CONFLICT) and not earlier:
            continue
        message = _message(draw, len(messages), kind, earlier, prices, seed)
        messages.append(message)
        asked += message.is_intent
    return messages


def _message(
    draw: random.Random,
    number: int,
    kind: Kind,
    earlier: list[Message],
    prices: Prices,
    seed: int,
) -> Message:
    if kind is Kind.DUPLICATE:
        first = draw.choice(earlier)
        return Message(number, kind, first.request_id, None, again=first.number)
    if kind is Kind.CONFLICT:
        first = draw.choice(earlier)
        fields = dict(first.fields or {})
        fields["quantity"] = str(_D(str(fields["quantity"])) * 2)
        return Message(number, kind, first.request_id, fields)
    if kind is Kind.MALFORMED:
        bad = draw.choice([b"", b"{", b"[1]", b"\xff\xfe", b'{"requestId": NaN}', b"null"])
        return Message(number, kind, None, None, raw=bad + b" " * number)
    request_id = f"chaos-{seed}-{number}"
    fields = {**_trade(draw, request_id, prices), **_FIELDS.get(kind, {})}
    expires_in = None
    if kind is Kind.EXPIRED:
        expires_in = -draw.uniform(1, 60)
    elif kind is Kind.EXPIRING:
        expires_in = draw.uniform(0.05, 15)
    return Message(number, kind, request_id, fields, expires_in=expires_in)


def _trade(draw: random.Random, request_id: str, prices: Prices) -> dict[str, object]:
    symbol, quantity, tick = draw.choice(SYMBOLS)
    fields: dict[str, object] = {
        "requestId": request_id,
        "exchange": draw.choices(VENUES, _VENUE_WEIGHTS)[0],
        "symbol": symbol,
        "quantity": str(_D(quantity) * draw.randint(1, 3)),
        "action": draw.choices(
            ["LONG", "SHORT", "CLOSE", "CLOSE_LONG", "CLOSE_SHORT"], [45, 43, 6, 3, 3]
        )[0],
        "leverage": 10,
    }
    if not str(fields["action"]).startswith("CLOSE"):
        long = fields["action"] == "LONG"
        style = draw.random()
        if style < 0.08:  # never fills: cancelled at once
            away = _D("0.98") if long else _D("1.02")
            fields |= _limit(prices[symbol] * away, tick, "IOC")
        elif style < 0.16:  # fills at once
            away = _D("1.02") if long else _D("0.98")
            fields |= _limit(prices[symbol] * away, tick, "GTC")
        elif style < 0.22:
            take, stop = (_D("1.5"), _D("0.6")) if long else (_D("0.6"), _D("1.5"))
            fields["takeProfit"] = str((prices[symbol] * take).quantize(_D(tick)))
            fields["stopLoss"] = str((prices[symbol] * stop).quantize(_D(tick)))
    return fields


def _limit(price: Decimal, tick: str, time_in_force: str) -> dict[str, object]:
    return {
        "orderType": "LIMIT",
        "price": str(price.quantize(_D(tick))),
        "timeInForce": time_in_force,
    }


def wall_clock() -> datetime:
    """The time by which producers say when a message expires."""
    return datetime.now(UTC)
