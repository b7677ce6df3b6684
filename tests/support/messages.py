"""Trade messages as producers write them."""

from __future__ import annotations

import json
from uuid import uuid4


def trade(**fields: object) -> dict[str, object]:
    """A market LONG of a little BTC with a new request id, changed by `fields`; None removes."""
    message: dict[str, object] = {
        "requestId": str(uuid4()),
        "action": "LONG",
        "symbol": "BTCUSDT",
        "quantity": "0.005",
        "leverage": 10,
        **fields,
    }
    return {name: value for name, value in message.items() if value is not None}


def encode(message: object) -> bytes:
    """A message's body."""
    return json.dumps(message).encode()
