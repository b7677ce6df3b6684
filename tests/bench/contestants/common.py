"""What every contestant does in the same way: read its surroundings, sign, and write two rows.

Nothing of trade-worker is imported here: the contestants run in an environment of their own.
"""

from __future__ import annotations

import hmac
import os
import time

import orjson

AMQP_URL = os.environ["AMQP_URL"]
DATABASE_URL = os.environ["DATABASE_URL"]
QUEUE = os.environ["TRADE_QUEUE"]
CREATE_URL = os.environ["BYBIT_BASE_URL"] + "/v5/order/create"
KEY = os.environ["BYBIT_API_KEY"]
SECRET = os.environ["BYBIT_API_SECRET"].encode()
PREFETCH = 40  # as a worker of ours has it by default

TABLE = """
CREATE TABLE IF NOT EXISTS plain_orders (
    request_id        text PRIMARY KEY,
    client_order_id   text NOT NULL UNIQUE,
    payload           jsonb NOT NULL,
    state             text NOT NULL,
    intended_at       timestamptz NOT NULL DEFAULT now(),
    exchange_order_id text,
    finished_at       timestamptz
)
"""
INTENT = (
    "INSERT INTO plain_orders (request_id, client_order_id, payload, state) "
    "VALUES ($1, $2, $3, 'SENDING')"
)
OUTCOME = (
    "UPDATE plain_orders SET state = $2, exchange_order_id = $3, finished_at = now() "
    "WHERE request_id = $1"
)


def order_body(client_order_id: str, symbol: str, action: str, quantity: str) -> bytes:
    """The body of the order."""
    return orjson.dumps(
        {
            "category": "linear",
            "symbol": symbol,
            "side": "Buy" if action == "LONG" else "Sell",
            "orderType": "Market",
            "qty": quantity,
            "positionIdx": 0,
            "reduceOnly": False,
            "orderLinkId": client_order_id,
        }
    )


def signed(body: bytes) -> dict[str, str]:
    """The headers of a signed request."""
    now = str(time.time_ns() // 1_000_000)
    message = f"{now}{KEY}5000".encode() + body
    return {
        "X-BAPI-API-KEY": KEY,
        "X-BAPI-TIMESTAMP": now,
        "X-BAPI-RECV-WINDOW": "5000",
        "X-BAPI-SIGN": hmac.digest(SECRET, message, "sha256").hex(),
        "Content-Type": "application/json",
    }


def outcome(answer: bytes) -> tuple[str, str | None]:
    """The state and the exchange's order id that an answer means."""
    found = orjson.loads(answer)
    if found["retCode"] != 0:
        return "REJECTED", None
    return "ACCEPTED", found["result"]["orderId"]
