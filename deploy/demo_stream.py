"""The messages of the demo: good trades, a duplicate, a malformed one, a burst, a rejected one.

Pure. Everything is told apart by its request id.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum


class Part(StrEnum):
    """What a message is there to show."""

    GOOD = "good"
    DUPLICATE = "duplicate"
    MALFORMED = "malformed"
    BURST = "burst"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Planned:
    """A message to publish and the pause before it, in seconds."""

    part: Part
    request_id: str
    fields: dict[str, object]
    pause: float

    def body(self, queued_at: str) -> bytes:
        """The message as a producer writes it."""
        return json.dumps(
            {"requestId": self.request_id, **self.fields, "queuedAt": queued_at}
        ).encode()


_PACE = 0.15  # seconds: below the 10 orders a second that Bybit, and the sandbox, allow
_BURST = 25

_GOOD: tuple[dict[str, object], ...] = (
    {"action": "LONG", "symbol": "BTCUSDT", "quantity": 0.005, "leverage": 10},
    {"exchange": "binance", "action": "SHORT", "symbol": "ETHUSDT", "quantity": "0.15",
     "leverage": 5},
    {"exchange": "mexc", "action": "LONG", "symbol": "SOL-USDT", "quantity": 3, "leverage": 5},
    {"action": "LONG", "symbol": "xrp/usdt", "quantity": 120},
    {"action": "LONG", "symbol": "BTC_USDT", "quantity": 100, "quantityUnit": "quote",
     "leverage": 10},
    {"action": "CLOSE_LONG", "symbol": "BTCUSDT", "quantity": 0.005},
    {"action": "SHORT", "symbol": "DOGEUSDT", "quantity": 900},
    {"exchange": "binance", "action": "CLOSE", "symbol": "ETHUSDT", "quantity": 1},
    {"exchange": "binance", "action": "LONG", "symbol": "ETHUSDT", "quantity": 0.2},
    {"action": "LONG", "symbol": "BTCUSDT", "quantity": 0.003, "orderType": "LIMIT",
     "price": 97000, "timeInForce": "IOC"},
    {"action": "CLOSE_SHORT", "symbol": "DOGEUSDT", "quantity": 900},
    {"exchange": "mexc", "action": "CLOSE", "symbol": "SOLUSDT", "quantity": 10},
)  # fmt: skip


def stream() -> list[Planned]:
    """Give the messages in the order in which they are published."""
    good = [
        Planned(Part.GOOD, f"good-{number:02}", fields, _PACE)
        for number, fields in enumerate(_GOOD, start=1)
    ]
    again = Planned(Part.DUPLICATE, good[0].request_id, good[0].fields, _PACE)
    malformed = Planned(
        Part.MALFORMED,
        "malformed-01",
        {"action": "LONG", "symbol": "BTCUSDT", "quantity": -1, "colour": "red"},
        _PACE,
    )
    # A hundred bitcoin at leverage 1 cost more than the account's million.
    rejected = Planned(
        Part.REJECTED,
        "rejected-01",
        {"action": "LONG", "symbol": "BTCUSDT", "quantity": 100, "leverage": 1},
        _PACE,
    )
    symbols = ("BTCUSDT", "ETHUSDT", "XRPUSDT", "SOLUSDT", "DOGEUSDT")
    quantities = ("0.002", "0.05", "40", "1", "300")
    burst = [
        Planned(
            Part.BURST,
            f"burst-{number + 1:02}",
            {
                "action": "LONG",
                "symbol": symbols[number % len(symbols)],
                "quantity": quantities[number % len(symbols)],
            },
            1.0 if number == 0 else 0.0,
        )
        for number in range(_BURST)
    ]
    return [*good[:6], again, malformed, *good[6:], *burst, rejected]
