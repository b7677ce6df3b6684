"""A local exchange that costs next to nothing: it answers like Bybit V5 and notes when orders came.

    python -m tests.bench.exchange        # prints its port

Orders are filled at once, each signature is checked. What it saw is told at `/bench/seen`: of each
order its client id and the moment at which the first byte of its request was read, in nanoseconds
of the machine's monotonic clock, which all processes share. No asyncio streams, no framework: it
shares two cores with what is measured.
"""

from __future__ import annotations

import asyncio
import hmac
import sys
import time
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs

import orjson
import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "bench-key"
SECRET = "bench-secret"
SYMBOLS = tuple(f"T{number:03}USDT" for number in range(50))
PRICE = "100"
_SECRET_BYTES = SECRET.encode()


class Book:
    """What was placed."""

    def __init__(self) -> None:
        self.waiting: list[tuple[int, Connection]] = []
        self.reset()

    def reset(self) -> dict[str, object]:
        """Forget everything."""
        self.arrived: dict[str, int] = {}
        self.orders: dict[str, dict[str, object]] = {}  # by client id
        self.by_id: dict[str, dict[str, object]] = {}
        self.by_number: list[dict[str, object]] = []
        self.refused = 0
        self.requests = 0
        return {}

    def create(self, body: bytes, arrived: int) -> dict[str, object]:
        """Take an order, and fill it."""
        asked = orjson.loads(body)
        link = asked["orderLinkId"]
        if link in self.orders:
            self.refused += 1
            return _answer({}, 110072, "OrderLinkedID is duplicate")
        order_id = f"b-{len(self.orders)}"
        order = {
            "orderId": order_id,
            "orderLinkId": link,
            "symbol": asked["symbol"],
            "side": asked["side"],
            "orderStatus": "Filled",
            "qty": asked["qty"],
            "cumExecQty": asked["qty"],
            "avgPrice": PRICE,
            "rejectReason": "EC_NoError",
            "updatedTime": str(time.time_ns() // 1_000_000),
        }
        self.orders[link] = self.by_id[order_id] = order
        self.by_number.append(order)
        self.arrived[link] = arrived
        if self.waiting:
            self._tell()
        return _answer({"orderId": order_id, "orderLinkId": link})

    def find(self, query: dict[str, list[str]]) -> dict[str, object]:
        """The order of a client id, or the latest finished ones; nothing rests."""
        if "orderLinkId" in query:
            found = self.orders.get(query["orderLinkId"][0])
            return _answer({"list": [] if found is None else [found]})
        return self._latest(query) if query.get("openOnly") == ["1"] else _answer({"list": []})

    def executions(self, query: dict[str, list[str]]) -> dict[str, object]:
        """The one execution of an order, or of the latest orders."""
        if "orderId" in query:
            order = self.by_id.get(query["orderId"][0])
            return _answer({"list": [] if order is None else [_execution(order)]})
        return self._latest(query, _execution)

    def _latest(
        self,
        query: dict[str, list[str]],
        shape: Callable[[dict[str, object]], dict[str, object]] = lambda order: order,
    ) -> dict[str, object]:
        """A page of orders, latest first; the cursor is how many came before what is left."""
        most = int(query["limit"][0])
        end = int(query.get("cursor", [str(len(self.by_number))])[0])
        begin = max(0, end - most)
        page = [shape(order) for order in reversed(self.by_number[begin:end])]
        return _answer({"list": page, "nextPageCursor": str(begin) if begin else ""})

    def count(self) -> dict[str, object]:
        """How many orders and requests there were."""
        return {
            "orders": len(self.orders),
            "requests": self.requests,
            "refused": self.refused,
        }

    def _tell(self) -> None:
        """Answer those who wait for so many orders."""
        waiting, self.waiting = self.waiting, []
        for count, connection in waiting:
            if not connection.until(count):
                self.waiting.append((count, connection))

    def seen(self) -> dict[str, object]:
        """When each order came."""
        return {"arrived": self.arrived}


class Connection(asyncio.Protocol):
    """One kept-alive connection; a request is answered before the next one is read."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._reads = _reads(book)
        self._buffer = b""
        self._arrived = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Answer nothing more."""
        del error
        self._book.waiting = [one for one in self._book.waiting if one[1] is not self]

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        if not self._buffer:
            self._arrived = time.monotonic_ns()
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = _length(head)
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            path, _, query = target.partition("?")
            if path != "/bench/until":
                self._write(self._answer(method, path, query, head, body))
            elif not self.until(count := int(query.partition("=")[2])):
                self._book.waiting.append((count, self))

    def until(self, count: int) -> bool:
        """Answer if there are so many orders; tells whether there are."""
        there = len(self._book.orders) >= count
        if there:
            self._write(self._book.count())
        return there

    def _write(self, found: dict[str, object]) -> None:
        answer = orjson.dumps(found)
        assert self._transport is not None
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (len(answer), answer)
        )

    def _answer(
        self, method: str, path: str, query: str, head: bytes, body: bytes
    ) -> dict[str, object]:
        self._book.requests += not path.startswith("/bench/")
        if path == "/v5/order/create" and method == "POST":
            if not _signed(head, body):
                self._book.refused += 1
                return _answer({}, 10004, "Error sign")
            return self._book.create(body, self._arrived)
        read = self._reads.get(path)
        return _answer({}, 10001, f"not here: {path}") if read is None else read(parse_qs(query))


def _reads(book: Book) -> dict[str, Callable[[dict[str, list[str]]], dict[str, object]]]:
    """What can be asked, by path."""
    balance = {"accountType": "UNIFIED", "totalEquity": "1000000"}
    return {
        "/v5/market/time": lambda _: _answer({"timeNano": str(time.time_ns())}),
        "/v5/market/instruments-info": lambda _: _answer({"list": [*map(_instrument, SYMBOLS)]}),
        "/v5/market/tickers": lambda query: _answer(
            {"list": [{"symbol": query["symbol"][0], "markPrice": PRICE}]}
        ),
        "/v5/position/list": lambda query: _answer(
            {"list": [*map(_flat, query.get("symbol", []))]}
        ),
        "/v5/account/info": lambda _: _answer({"marginMode": "REGULAR_MARGIN"}),
        "/v5/account/wallet-balance": lambda _: _answer({"list": [balance]}),
        "/v5/order/realtime": book.find,
        "/v5/order/history": book.find,
        "/v5/execution/list": book.executions,
        "/bench/count": lambda _: book.count(),
        "/bench/seen": lambda _: book.seen(),
        "/bench/reset": lambda _: book.reset(),
    }


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"content-length:")
    return 0 if at < 0 else int(lower[at + 15 :].split(b"\r\n", 1)[0])


def _signed(head: bytes, body: bytes) -> bool:
    """Whether a POST is signed as Bybit wants it: HMAC over time, key, window and body."""
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    message = b"".join(
        headers.get(b"x-bapi-" + part, b"") for part in (b"timestamp", b"api-key", b"recv-window")
    )
    wanted = hmac.digest(_SECRET_BYTES, message + body, "sha256").hex().encode()
    return hmac.compare_digest(wanted, headers.get(b"x-bapi-sign", b""))


def _answer(result: dict[str, object], code: int = 0, says: str = "OK") -> dict[str, object]:
    return {"retCode": code, "retMsg": says, "result": result, "time": time.time_ns() // 1_000_000}


def _execution(order: dict[str, object]) -> dict[str, object]:
    return {
        "execId": f"e-{order['orderId']}",
        "orderId": order["orderId"],
        "symbol": order["symbol"],
        "side": order["side"],
        "execType": "Trade",
        "execPrice": PRICE,
        "execQty": order["qty"],
        "execFee": "0.01",
        "feeCurrency": "USDT",
        "isMaker": False,
        "execTime": order["updatedTime"],
    }


def _flat(symbol: str) -> dict[str, object]:
    return {"symbol": symbol, "positionIdx": 0, "side": "", "size": "0", "leverage": "10"}


def _instrument(symbol: str) -> dict[str, object]:
    return {
        "symbol": symbol,
        "settleCoin": "USDT",
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "priceFilter": {"tickSize": "0.1", "minPrice": "0.1", "maxPrice": "1000000"},
        "lotSizeFilter": {
            "qtyStep": "0.001",
            "minOrderQty": "0.001",
            "maxOrderQty": "1000",
            "maxMktOrderQty": "1000",
            "minNotionalValue": "0.1",
        },
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100"},
    }


async def serve() -> None:
    """Serve on a free port of the loop-back address, print it, and go on until killed."""
    book = Book()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(book), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    # When the parent is gone, its end of the pipe is too.
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(serve())
