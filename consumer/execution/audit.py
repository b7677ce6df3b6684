"""Comparing what accounts show with what we intended: foreign orders, and the Knight check.

A foreign order is somebody else's: it is told and noted, what is filled of it too, and left alone.
An order under our own kind of client id that no intent is behind, or a second one under an id,
means that something sends what it should not, perhaps this program: trading on that exchange is
halted by its kill switch, which lasts until a person lifts it. What was noted once halts nothing
again.

Open orders are looked at often. Where the client can list them, finished orders are looked at too,
for one that is filled at once is never open. One worker looks for all.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from consumer.controls.registry import KILL_SWITCH
from providers.errors import ProviderError
from providers.exchange import ListsRecentOrders
from providers.orders import OrderStatus
from storage import audits, config_writing, foreign
from storage.audits import Look
from storage.errors import LedgerUnavailable
from storage.foreign import Intended, Kind, Stranger
from storage.identity import CLIENT_ORDER_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from consumer.gate import LedgerGate
    from consumer.settings import Settings
    from providers.exchange import ExchangeClient
    from providers.orders import OrderView
    from providers.router import ExchangeRouter
    from storage.audits import Turn
    from storage.postgres import Database

_log = structlog.get_logger(__name__)
_ACCOUNT = "default"
_OURS = re.compile(rf"({CLIENT_ORDER_ID})(-[a-z]+)?")
KNIGHT = "knight-check"


def intent_behind(client_order_id: str) -> str | None:
    """Return the id of the intent that an order of ours belongs to; None if it is not ours. Pure.

    An order that protects another carries that one's id with a suffix.
    """
    match = _OURS.fullmatch(client_order_id)
    return match[1] if match is not None else None


def strangers(views: Sequence[OrderView], known: Mapping[str, Intended]) -> list[Stranger]:
    """Pick the orders that no intent is behind. Pure.

    Args:
        views: what the account shows.
        known: what the ledger knew of their client order ids afterwards.
    """
    # One that was rejected has traded nothing: an exchange may keep a refused repetition as that,
    # and a replay leaves the id of a rejected order behind.
    standing = {view.exchange_order_id: view for view in views if not _came_to_nothing(view)}
    shown = Counter(view.client_order_id for view in standing.values() if view.client_order_id)
    found: list[Stranger] = []
    for view in standing.values():
        ours = intent_behind(view.client_order_id)
        if ours is None:
            found.append(Stranger(view, Kind.FOREIGN, "its client order id is none of ours"))
            continue
        intent = known.get(ours)
        if intent is None or intent.sends == 0:
            found.append(Stranger(view, Kind.EXTRA, "under our kind of id, without an intent"))
        elif shown[view.client_order_id] > 1:
            found.append(Stranger(view, Kind.EXTRA, "several orders under one client order id"))
        elif ours == view.client_order_id and intent.exchange_order_id not in (
            None,
            view.exchange_order_id,
        ):
            why = f"our order under this id is {intent.exchange_order_id}"
            found.append(Stranger(view, Kind.EXTRA, why))
    return found


def _came_to_nothing(view: OrderView) -> bool:
    return view.status is OrderStatus.REJECTED and not view.filled_quantity


class Auditor:
    """Looks at each account from time to time."""

    def __init__(
        self, database: Database, router: ExchangeRouter, settings: Settings, gate: LedgerGate
    ) -> None:
        self._database = database
        self._router = router
        self._every = {
            Look.OPEN: timedelta(seconds=settings.audit_interval),
            Look.RECENT: timedelta(seconds=settings.recent_orders_interval),
        }
        self._gate = gate

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._gate.wait_open()
            try:
                await asyncio.gather(*(self.audit(name) for name in self._router.configured))
            except LedgerUnavailable as error:
                self._gate.report(error)
            except Exception:  # noqa: BLE001 - if it ended here, nobody would look
                _log.exception("audit failed, going on")
            await asyncio.sleep(min(self._every.values()).total_seconds())

    async def audit(self, exchange: str) -> None:
        """Take the looks at one account that are due; one that fails is taken next time."""
        client = self._router.client(exchange)
        turns = {look: await self._turn(exchange, look) for look in self._looks(client)}
        recent = turns.get(Look.RECENT)
        if not any(turns.values()):
            return
        try:
            views = list(await client.open_orders())
            if recent is not None and isinstance(client, ListsRecentOrders):
                # Beside the open ones: one may be open, and another under its id done.
                views += await client.recent_orders(recent.since)
        except ProviderError as error:
            _log.warning("account not looked at", exchange=exchange, error=str(error))
            return
        await self._compare(exchange, views)
        if recent is not None:
            await audits.seen(self._database, recent)

    @staticmethod
    def _looks(client: ExchangeClient) -> Sequence[Look]:
        return tuple(Look) if isinstance(client, ListsRecentOrders) else (Look.OPEN,)

    async def _turn(self, exchange: str, look: Look) -> Turn | None:
        return await audits.take_turn(self._database, exchange, _ACCOUNT, look, self._every[look])

    async def _compare(self, exchange: str, views: Sequence[OrderView]) -> None:
        # The ledger after the exchange: whatever was shown, its intent was committed before.
        ids = [ours for view in views if (ours := intent_behind(view.client_order_id))]
        found = strangers(views, await foreign.intended(self._database, exchange, ids))
        if not found:
            return
        names = [one.view.exchange_order_id for one in found]
        before = await foreign.noted(self._database, exchange, names)
        extra = [
            one
            for one in found
            if one.kind is Kind.EXTRA and one.view.exchange_order_id not in before
        ]
        if extra:  # before it is noted: after a crash in between it halts all the same
            await self._halt(exchange, extra)
        await foreign.note(self._database, exchange, _ACCOUNT, found)
        for one in found:
            known = before.get(one.view.exchange_order_id)
            if known is None:
                _tell("foreign order", exchange, one)
            if one.view.filled_quantity > (known or 0):
                _tell("foreign fill", exchange, one)

    async def _halt(self, exchange: str, extra: Iterable[Stranger]) -> None:
        why = "; ".join(
            f"{one.view.symbol} order {one.view.exchange_order_id} "
            f"({one.view.client_order_id}): {one.why}"
            for one in extra
        )
        key = f"{KILL_SWITCH}:{exchange}"
        await config_writing.change(self._database, {key: "on"}, who=KNIGHT, why=why, urgent=True)
        _log.critical("trading halted: more orders than intents", exchange=exchange, why=why)


def _tell(event: str, exchange: str, one: Stranger) -> None:
    _log.warning(
        event,
        exchange=exchange,
        kind=one.kind,
        symbol=one.view.symbol,
        side=one.view.side,
        quantity=str(one.view.quantity),
        filled=str(one.view.filled_quantity),
        client_order_id=one.view.client_order_id,
        exchange_order_id=one.view.exchange_order_id,
        why=one.why,
    )
