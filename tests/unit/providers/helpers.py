"""Stand-ins for tests of the providers: a clock, an instrument, a client, raw HTTP servers."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from providers.exchange import MarkPrice, SymbolSetup
from providers.orders import (
    Action,
    Balance,
    Fill,
    Instrument,
    MarginMode,
    OrderView,
    Position,
    PositionMode,
    PreparedOrder,
    TradeRequest,
)
from providers.outcomes import OutcomeClass, Placement, PlacementKind, permitted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from providers.outcomes import Permit

START = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)  # 1700000000000 ms

BTC = Instrument(
    symbol="BTCUSDT",
    venue_symbol="BTCUSDT",
    tradable=True,
    tick=Decimal("0.10"),
    lot=Decimal("0.001"),
    min_quantity=Decimal("0.001"),
    max_quantity=Decimal(1190),
    max_market_quantity=Decimal(500),
    min_notional=Decimal(5),
    min_price=Decimal("0.10"),
    max_price=Decimal("1999999.80"),
    min_leverage=1,
    max_leverage=100,
)


def btc(**changes: Any) -> Instrument:  # noqa: ANN401 - any field
    return replace(BTC, **changes)


def request(
    action: Action = Action.LONG,
    quantity: str = "0.005",
    **changes: Any,  # noqa: ANN401 - any field
) -> TradeRequest:
    return TradeRequest("BTCUSDT", action, Decimal(quantity), **changes)


class FakeClock:
    """A clock that moves when told to; wall and monotonic time can be moved apart."""

    def __init__(self) -> None:
        self.wall = START
        self.seconds = 1000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.seconds += seconds


@dataclass
class FakeClient:
    """An `ExchangeClient` that answers from its fields and writes down what it was asked."""

    clock: FakeClock = field(default_factory=FakeClock)
    instruments: dict[str, Instrument] = field(default_factory=lambda: {"BTCUSDT": BTC})
    setup: SymbolSetup = field(
        default_factory=lambda: SymbolSetup(PositionMode.ONE_WAY, Decimal(10), MarginMode.CROSS)
    )
    open_positions: list[Position] = field(default_factory=list)
    mark: Decimal = Decimal(20000)
    calls: list[tuple[object, ...]] = field(default_factory=list)
    failing: dict[str, Exception] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    called: asyncio.Condition = field(default_factory=asyncio.Condition)

    name = "fake"
    acceptance_window = timedelta(seconds=6)

    async def _called(self, *call: object) -> None:
        self.calls.append(call)
        async with self.called:
            self.called.notify_all()
        if self.gate is not None:
            await self.gate.wait()
        failure = self.failing.get(str(call[0]))
        if failure is not None:
            raise failure

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10), self.called:
            await self.called.wait_for(condition)

    def count(self, name: str) -> int:
        return sum(call[0] == name for call in self.calls)

    async def start(self) -> None:
        await self._called("start")

    async def aclose(self) -> None:
        await self._called("aclose")

    async def server_time(self) -> datetime:
        return self.clock.now()

    async def instrument(self, symbol: str) -> Instrument:
        return self.instruments[symbol]

    async def refresh_instruments(self) -> None:
        await self._called("refresh_instruments")

    async def mark_price(self, symbol: str) -> MarkPrice:
        await self._called("mark_price", symbol)
        return MarkPrice(self.mark, self.clock.now())

    async def symbol_setup(self, symbol: str) -> SymbolSetup:
        await self._called("symbol_setup", symbol)
        return self.setup

    async def set_leverage(
        self, symbol: str, leverage: int, margin_mode: MarginMode | None
    ) -> None:
        await self._called("set_leverage", symbol, leverage, margin_mode)
        self.setup = replace(self.setup, leverage=Decimal(leverage))

    async def set_margin_mode(self, symbol: str, mode: MarginMode, leverage: int | None) -> None:
        await self._called("set_margin_mode", symbol, mode, leverage)
        self.setup = replace(self.setup, margin_mode=mode)

    async def positions(self, symbol: str | None = None) -> Sequence[Position]:
        await self._called("positions", symbol)
        return list(self.open_positions)

    async def balances(self) -> Sequence[Balance]:
        return []

    async def reserve(self, order: PreparedOrder) -> None:
        await self._called("reserve", order)

    async def place(self, order: PreparedOrder, permit: Permit = permitted) -> Placement:
        await self._called("place", order)
        assert permit() is None
        return Placement(PlacementKind.ACCEPTED, OutcomeClass.ACCEPTED)

    async def find_order(self, symbol: str, client_order_id: str) -> OrderView | None:
        await self._called("find_order", symbol, client_order_id)
        return None

    async def open_orders(self, symbol: str | None = None) -> Sequence[OrderView]:
        await self._called("open_orders", symbol)
        return []

    async def fills(self, symbol: str, order: OrderView) -> Sequence[Fill]:
        await self._called("fills", symbol, order)
        return []

    async def cancel(self, symbol: str, client_order_id: str) -> None:
        await self._called("cancel", symbol, client_order_id)


@dataclass
class RawServer:
    """A bare TCP server on loopback that counts the whole requests it has read."""

    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def read_request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        whole = head + await reader.readexactly(length)
        async with self.changed:
            self.requests.append(whole)
            self.changed.notify_all()
        return whole

    async def until(self, condition: Callable[[RawServer], bool]) -> None:
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: condition(self))


@contextlib.asynccontextmanager
async def raw_server(
    handle: Callable[[RawServer, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[RawServer]:
    """Serve each connection with `handle` until the block ends."""
    state = RawServer()
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        state.connections += 1
        try:
            await handle(state, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def http_answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body
