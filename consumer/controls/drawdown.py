"""The daily drawdown: an account that has lost too much of its equity today opens nothing more.

The exchange's kill switch is turned to `reduce_only`, as a person would turn it: it holds on every
replica, lasts over a restart, and a person lifts it. It trips once a day (UTC), so that one who has
lifted it is not overruled by the next look. A switch that is thrown already, by whomever, stays as
it is; once that is lifted, the drawdown trips.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import structlog

from consumer.controls.registry import KILL_SWITCH
from consumer.controls.values import Switch, plain
from providers.errors import ProviderError
from storage import config_writing, equity
from storage.errors import LedgerUnavailable

if TYPE_CHECKING:
    from consumer.controls.live import LiveConfig
    from consumer.gate import LedgerGate
    from consumer.settings import Settings
    from providers.router import ExchangeRouter
    from storage.postgres import Database

_log = structlog.get_logger(__name__)
_ACCOUNT = "default"
_CURRENCY = "USDT"
_HUNDRED = Decimal(100)
DRAWDOWN = "drawdown"
_OFF = (None, Switch.OFF, "false")  # every way to write that nothing is stopped


def lost_percent(start: Decimal, latest: Decimal) -> Decimal:
    """Say how much of a day's first equity is gone, in percent; negative for a gain. Pure.

    Nothing to begin with, and less than nothing now, is all of it.
    """
    if start <= 0:
        return _HUNDRED if latest < start else Decimal(0)
    return (start - latest) / start * _HUNDRED


class DrawdownWatch:
    """Looks at the equity of each account while a limit is set.

    Args:
        live: the config, with the limit.
        database: where the day's first equity is kept.
        router: the exchanges.
        settings: how often to look.
        gate: shut while the ledger is away.
    """

    def __init__(
        self,
        live: LiveConfig,
        database: Database,
        router: ExchangeRouter,
        settings: Settings,
        gate: LedgerGate,
    ) -> None:
        self._live = live
        self._database = database
        self._router = router
        self._interval = settings.equity_interval
        self._gate = gate

    async def run(self) -> None:
        """Look until cancelled. The day's first equity is noted whether a limit is set or not."""
        while True:
            await self._gate.wait_open()
            try:
                await asyncio.gather(*(self.look(name) for name in self._router.configured))
            except LedgerUnavailable as error:
                self._gate.report(error)
            except Exception:  # noqa: BLE001 - if it ended here, nobody would look
                _log.exception("looking at the drawdown failed, going on")
            await asyncio.sleep(self._interval)

    async def look(self, exchange: str) -> None:
        """Look at one account; one that can't be read now is read next time."""
        try:
            balances = await self._router.client(exchange).balances()
        except ProviderError as error:
            _log.warning("equity not read", exchange=exchange, error=str(error))
            return
        worth = sum((one.total for one in balances if one.currency == _CURRENCY), Decimal(0))
        today = await equity.note(self._database, exchange, _ACCOUNT, _CURRENCY, worth)
        most = self._live.snapshot.max_drawdown
        lost = lost_percent(today.start, today.latest)
        if most is None or lost < most or today.tripped_at is not None:
            return
        why = (
            f"{exchange} lost {lost:.2f} % today, from {plain(today.start)} to "
            f"{plain(today.latest)} {today.currency}; the limit is {plain(most)} %"
        )
        if await self._halt(exchange, why):
            await equity.mark_tripped(self._database, exchange, _ACCOUNT)
            _log.error("trading reduced: daily drawdown", exchange=exchange, why=why)

    async def _halt(self, exchange: str, why: str) -> bool:
        """Turn the exchange's switch, unless it stops something already."""
        return await config_writing.change_from(
            self._database,
            _OFF,
            f"{KILL_SWITCH}:{exchange}",
            Switch.REDUCE_ONLY,
            who=DRAWDOWN,
            why=why,
        )
