"""Reading many orders, or the fills of many, with one request where an exchange offers that.

Only orders that are young are asked for in a list: the list begins with the oldest of them. What
a list does not show plainly is looked up alone, as if there were no list.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import structlog

from providers.errors import ProviderError
from providers.exchange import ReadsMany

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from providers.orders import Fill, OrderView
    from providers.router import ExchangeRouter
    from storage.orders import OrderRow

    Read = Callable[[ReadsMany, Sequence[OrderRow], datetime], Awaitable[Mapping[str, "T"]]]

T = TypeVar("T")

_log = structlog.get_logger(__name__)
_YOUNG = timedelta(seconds=60)
_CLOCKS = timedelta(seconds=5)  # that ours and an exchange's may differ by


async def listed_orders(
    router: ExchangeRouter, rows: Sequence[OrderRow]
) -> Mapping[str, OrderView]:
    """Look orders up in lists; gives those that were shown plainly, by request id."""

    async def read(
        client: ReadsMany, some: Sequence[OrderRow], since: datetime
    ) -> Mapping[str, OrderView]:
        wanted = {row.client_order_id: row.symbol for row in some}
        return await client.find_orders(wanted, since)

    # One whose exchange's own id is not known is looked up with more care.
    known = [row for row in rows if row.state.at_exchange and row.exchange_order_id is not None]
    return await _each_exchange(router, known, read)


async def listed_fills(
    router: ExchangeRouter,
    rows: Sequence[OrderRow],
    view_of: Callable[[OrderRow], OrderView],
) -> Mapping[str, Sequence[Fill]]:
    """Read fills from lists; gives those that add up to what was filled, by request id."""

    async def read(
        client: ReadsMany, some: Sequence[OrderRow], since: datetime
    ) -> Mapping[str, Sequence[Fill]]:
        return await client.fills_of_many([view_of(row) for row in some], since)

    known = [row for row in rows if row.filled_quantity and row.exchange_order_id is not None]
    return await _each_exchange(router, known, read)


async def _each_exchange(
    router: ExchangeRouter, rows: Sequence[OrderRow], read: Read[T]
) -> dict[str, T]:
    by_exchange: dict[str, list[OrderRow]] = {}
    for row in rows:
        if row.sent_at is not None:
            by_exchange.setdefault(row.exchange, []).append(row)
    found: dict[str, T] = {}

    async def one(exchange: str, some: list[OrderRow]) -> None:
        try:
            client = router.client(exchange)
            if not isinstance(client, ReadsMany):
                return
            young = _young(some)
            if len(young) < client.worth_listing:
                return
            since = min(row.sent_at for row in young if row.sent_at is not None) - _CLOCKS
            shown = await read(client, young, since)
        except ProviderError:
            return  # each is looked up alone, and says then what is wrong
        except Exception:  # noqa: BLE001 - a defect of a client must not keep orders from being read
            _log.exception("reading a list failed", exchange=exchange)
            return
        for row in young:
            if row.client_order_id in shown:
                found[row.request_id] = shown[row.client_order_id]

    await asyncio.gather(*(one(exchange, some) for exchange, some in by_exchange.items()))
    return found


def _young(rows: Sequence[OrderRow]) -> list[OrderRow]:
    """Pick those that were sent not long before the latest of them. Pure."""
    latest = max(row.sent_at for row in rows if row.sent_at is not None)
    return [row for row in rows if row.sent_at is not None and latest - row.sent_at < _YOUNG]
