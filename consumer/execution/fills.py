"""Reading the fills of orders, and the positions that came of them, into the ledger.

Never in an order's way: an order is finished once the exchange says so, and its fills are read
afterwards, again and again until they add up to what was filled. While half of an exchange's
request limit is in use, closes and look-ups have the rest, and this waits: a minute at most.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from consumer.execution.listed import listed_fills
from consumer.execution.meaning import next_look
from providers.errors import ProviderError
from providers.exchange import TellsLoad, offers
from providers.orders import OrderStatus, OrderView, Side
from storage.errors import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from consumer.gate import LedgerGate
    from providers.clock import Clock
    from providers.orders import Fill
    from providers.router import ExchangeRouter
    from storage.fills import Fills
    from storage.orders import OrderRow

_log = structlog.get_logger(__name__)
_BORROW = timedelta(seconds=10)  # also until the next try if the exchange could not be asked
_MOST = 50
_AT_ONCE = 4
# Of a list. More would keep the event loop from orders for too long.
_KEPT_AT_ONCE = 8
_INTERVAL = 0.5  # seconds; also the least time between two looks at an account's positions
_AFTER_A_FAULT = 5.0  # seconds
_PATIENCE = timedelta(seconds=60)  # with an exchange that is busy


class FillReader:
    """Reads fills that are due, and have been for as long as `left_for` says."""

    def __init__(
        self,
        fills: Fills,
        router: ExchangeRouter,
        gate: LedgerGate,
        clock: Clock,
        left_for: Callable[[], timedelta] = timedelta,
    ) -> None:
        self._left_for = left_for
        self._fills = fills
        self._router = router
        self._gate = gate
        self._clock = clock
        self._looks: dict[str, int] = {}  # of orders whose fills are not complete
        # Accounts whose positions are to be read, and since when.
        self._behind: dict[tuple[str, str], datetime] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._gate.wait_open()
            try:
                await self.read_some()
            except LedgerUnavailable as error:
                self._gate.report(error)
            except Exception:  # noqa: BLE001 - if it ended here, no fill would be read
                _log.exception("reading fills failed, going on")
                await asyncio.sleep(_AFTER_A_FAULT)
            await asyncio.sleep(_INTERVAL)

    async def read_some(self) -> None:
        """Read what is due, once, and the positions of the accounts where something was filled."""
        due = await self._fills.due(_MOST, _BORROW, self._left_for())
        at_leisure = [row for row in due if self._at_leisure(row)]
        listed = await listed_fills(self._router, at_leisure, view_of)
        places, keeping = asyncio.Semaphore(_AT_ONCE), asyncio.Semaphore(_KEPT_AT_ONCE)

        async def one(row: OrderRow) -> bool:
            fills = listed.get(row.request_id)
            if fills is not None:
                async with keeping:
                    return await self._keep(row, fills)
            async with places:
                fills = await self._read(row)
            # Without the place: what is read meanwhile is kept in the same statement.
            return fills is not None and await self._keep(row, fills)

        news = await asyncio.gather(*(one(row) for row in due))
        for row, filled in zip(due, news, strict=True):
            if filled:
                self._behind.setdefault((row.exchange, row.account), self._clock.now())
        for (exchange, account), since in sorted(self._behind.items()):
            if not self._busy(exchange, since):
                del self._behind[exchange, account]
                await self._read_positions(exchange, account)

    def _at_leisure(self, row: OrderRow) -> bool:
        """True if an order's exchange can be asked for many fills at once now."""
        try:
            return not self._busy(row.exchange, row.updated_at)
        except ProviderError:  # it is not set up here any more
            return False

    def _busy(self, exchange: str, since: datetime) -> bool:
        """True if what has been wanted since then had better wait."""
        client = self._router.client(exchange)
        patient = self._clock.now() - since < _PATIENCE
        return patient and offers(client, TellsLoad) and client.busy

    async def _read(self, row: OrderRow) -> Sequence[Fill] | None:
        """Read one order's fills; None if the exchange can't be asked: there may be some."""
        try:
            if self._busy(row.exchange, row.updated_at):
                return None
            return await self._router.client(row.exchange).fills(row.symbol, view_of(row))
        except ProviderError as error:
            _log.debug("fills not read", request_id=row.request_id, error=str(error))
            return None

    async def _keep(self, row: OrderRow, fills: Sequence[Fill]) -> bool:
        """Keep one order's fills; True if it has any."""
        looks = self._looks.get(row.request_id, 0)
        if await self._fills.record(row, fills, next_look(looks)):
            self._looks.pop(row.request_id, None)
        else:
            self._looks[row.request_id] = looks + 1
        return bool(fills)

    async def _read_positions(self, exchange: str, account: str) -> None:
        read_at = self._clock.now()
        try:
            positions = await self._router.client(exchange).positions()
        except ProviderError as error:
            _log.warning("positions not read", exchange=exchange, error=str(error))
            return
        await self._fills.put_positions(exchange, account, positions, read_at)


def view_of(row: OrderRow) -> OrderView:
    """Rebuild what the exchange showed of an order from the ledger. Pure."""
    return OrderView(
        client_order_id=row.client_order_id,
        exchange_order_id=row.exchange_order_id or "",
        symbol=row.symbol,
        side=Side(row.side or Side.BUY),
        status=OrderStatus.FILLED,
        quantity=row.order_quantity or row.quantity,
        filled_quantity=row.filled_quantity,
        average_price=row.average_price,
        fee=row.fee,
        fee_currency=row.fee_currency,
        reject_reason=None,
        updated_at=row.updated_at,
    )
