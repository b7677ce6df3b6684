"""What answers look like, for the OpenAPI document: one trade, and what became of another.

Tests hold them against the answers of a real worker.
"""

from __future__ import annotations

REQUEST_ID = "c7f1b1de-2f5e-4a4e-8f0e-1b9d4f6b2a10"

ORDER: dict[str, object] = {
    "requestId": REQUEST_ID, "state": "FILLED", "code": None,
    "message": None, "exchange": "bybit", "account": "default", "symbol": "BTCUSDT",
    "action": "LONG",
    "requested": {
        "requestId": REQUEST_ID, "action": "LONG",
        "symbol": "BTCUSDT", "quantity": "0.005", "leverage": 10, "orderType": "MARKET",
        "quantityUnit": "base", "account": "default",
    },
    "side": "BUY", "orderType": "MARKET", "quantity": "0.005", "price": None,
    "reduceOnly": False, "clientOrderId": "tw-5s4pbkgzmo6zqzgdoytlkavd6m",
    "exchangeOrderId": "1321052653536515584", "filledQuantity": "0.005",
    "averagePrice": "64250.1", "fee": "0.17668", "feeCurrency": "USDT", "attempts": 1,
    "sends": 1, "queuedAt": "2026-01-31T12:00:00.000000+00:00",
    "receivedAt": "2026-01-31T12:00:00.002104+00:00",
    "sentAt": "2026-01-31T12:00:00.009877+00:00",
    "finishedAt": "2026-01-31T12:00:00.121003+00:00", "deadLetteredAt": None,
    "secondsToWire": 0.009877,
}  # fmt: skip

EVENT: dict[str, object] = {
    "at": "2026-01-31T12:00:00.004310+00:00", "before": "RECEIVED", "after": "SENDING",
    "fence": 1, "attempt": 1, "code": None, "message": None,
    "detail": {"side": "BUY", "exchange": "bybit", "quantity": "0.005", "orderType": "MARKET"},
}  # fmt: skip

RESULT: dict[str, object] = {
    "orderId": "1321052653536515584", "clientOrderId": "tw-5s4pbkgzmo6zqzgdoytlkavd6m",
    "status": "Filled", "exchange": "bybit", "symbol": "BTCUSDT", "side": "BUY",
    "quantity": "0.005", "price": "64250.1", "executedQty": "0.005", "fee": "0.17668",
    "feeCurrency": "USDT", "code": None, "message": None,
}  # fmt: skip

POSITION: dict[str, object] = {
    "exchange": "bybit", "symbol": "BTCUSDT", "side": "LONG", "quantity": "0.005",
    "entryPrice": "64250.1", "leverage": "10", "closable": None, "marginMode": None,
}  # fmt: skip

SIGNAL: dict[str, object] = {
    "id": 41, "signalId": "0b4a8f5e-7a8e-4f0e-9f52-6d2f6a1d7e33",
    "signaledAt": "2026-01-31T12:00:00+00:00",
    "receivedAt": "2026-01-31T12:00:00.310000+00:00", "symbol": "BTCUSDT", "signalType": "LONG",
    "source": "strategy-7", "exchange": None, "price": "64250.1",
}  # fmt: skip

LETTER: dict[str, object] = {
    "id": 17, "headers": {"trade-reason": "EXCHANGE_REJECTED", "trade-attempts": 1},
    "contentType": "application/json", "messageId": "m-17", "reason": "EXCHANGE_REJECTED",
    "error": "bybit 110007: ab not enough for new order. Add margin, or trade less.",
    "attempts": 1, "requestId": "8a1f0a4b-6d8e-4f0c-9f52-0d2f6a1d7e33", "exchange": "bybit",
    "symbol": "ETHUSDT", "action": "LONG", "replayOf": None,
    "batchId": "5f0c2f6f0a9d4a7e8f2b1c3d4e5f6071",
    "batchAt": "2026-01-31T12:00:00.100000+00:00", "batchOrder": 2,
    "failedAt": "2026-01-31T12:00:00.180000+00:00",
    "collectedAt": "2026-01-31T12:00:00.250000+00:00", "state": "waiting", "changedAt": None,
    "changedBy": None, "changedWhy": None, "result": None, "replayMessageId": None, "size": 142,
}  # fmt: skip

BODY = '{"requestId": "8a1f0a4b-…", "action": "LONG", "symbol": "ETHUSDT", "quantity": "0.1"}'

GROUP: dict[str, object] = {
    "reason": "EXCHANGE_REJECTED",
    "error": "bybit 110007: ab not enough for new order. Add margin, or trade less.",
    "count": 12, "requests": 12, "firstAt": "2026-01-31T11:58:02+00:00",
    "lastAt": "2026-01-31T12:00:00.180000+00:00", "example": 17,
}  # fmt: skip

STATS: dict[str, object] = {
    "waiting": 12, "oldestWaiting": "2026-01-31T11:58:02+00:00", "oldestWaitingSeconds": 118.2,
    "byState": {"waiting": 12, "replayed": 3}, "byReason": {"EXCHANGE_REJECTED": 12},
    "byExchange": {"bybit": 12},
}  # fmt: skip

REPLAYED: dict[str, object] = {
    "dryRun": True, "total": 2, "published": 1, "reopened": 1, "alreadyDone": 0,
    "refused": {"STALE": 1},
    "refusedExamples": [
        {"id": 18, "code": "STALE", "why": "expiresAt was 2026-01-31T12:05:00Z; --allow-stale …"}
    ],
    "stopped": False, "left": 0,
}  # fmt: skip

CONFIG: dict[str, object] = {
    "key": "trade:max_leverage", "value": "10", "updatedAt": "2026-01-31T09:00:00+00:00",
    "updatedBy": "ann",
}  # fmt: skip

FAILURE: dict[str, object] = {
    "success": False, "requestId": REQUEST_ID, "result": None,
    "error": {
        "code": "VALIDATION_ERROR",
        "message": "quantity: Quantity parameter must be greater than zero.", "details": None,
    },
}  # fmt: skip
