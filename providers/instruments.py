"""The trading rules of a venue's symbols, read once and kept.

An order never waits for rules that are merely old: they are read anew in the background while
the kept ones still serve (a wrong rule costs a refusal by the exchange, nothing worse). Only the
first look-up, and one for a symbol never seen, wait for the exchange.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from providers.errors import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from providers.clock import Clock
    from providers.orders import Instrument

_log = logging.getLogger(__name__)

# A symbol that is not listed causes one new reading, but not more than one in this many seconds.
UNKNOWN_SYMBOL_PAUSE = 60.0
# After a reading in the background failed, the next is not begun sooner than this.
_FAILURE_PAUSE = 30.0


class InstrumentBook:
    """Instruments by symbol; one reading at a time, however many ask.

    Args:
        exchange: the venue's name, for messages.
        load: reads all instruments; raises `ExchangeError`.
        clock: tells how old the kept rules are.
        ttl: seconds after which they are read anew.
    """

    def __init__(
        self,
        exchange: str,
        load: Callable[[], Awaitable[Mapping[str, Instrument]]],
        clock: Clock,
        ttl: float,
    ) -> None:
        self._exchange = exchange
        self._load = load
        self._clock = clock
        self._ttl = ttl
        self._known: Mapping[str, Instrument] = {}
        self._read_at: float | None = None
        self._failed_at: float | None = None
        self._reading: asyncio.Task[None] | None = None

    async def get(self, symbol: str) -> Instrument:
        """The rules of one symbol.

        Raises:
            RequestRefused: `UNKNOWN_SYMBOL` if the venue does not list it.
            ExchangeError: if nothing is known yet and the venue can't be read.
        """
        if self._read_at is None:
            await self.refresh()
        elif self._clock.monotonic() - self._read_at > self._ttl:
            self._refresh_behind()
        found = self._known.get(symbol)
        if found is None and self._age() > UNKNOWN_SYMBOL_PAUSE:
            await self.refresh()
            found = self._known.get(symbol)
        if found is None:
            raise RequestRefused(
                "UNKNOWN_SYMBOL", f"{symbol} is not a USDT perpetual that {self._exchange} lists"
            )
        return found

    async def refresh(self) -> None:
        """Read all instruments anew, or wait for a reading that is under way.

        Cancelling one waiter does not end the reading for the others.
        """
        await asyncio.shield(self._begin())

    async def aclose(self) -> None:
        """End a reading that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    def _age(self) -> float:
        return 0.0 if self._read_at is None else self._clock.monotonic() - self._read_at

    def _refresh_behind(self) -> None:
        failed = self._failed_at
        if failed is None or self._clock.monotonic() - failed > _FAILURE_PAUSE:
            self._begin()

    def _begin(self) -> asyncio.Task[None]:
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name=f"{self._exchange}-instruments")
            self._reading.add_done_callback(self._done)
        return self._reading

    async def _read(self) -> None:
        known = await self._load()
        self._known = known
        self._read_at = self._clock.monotonic()
        self._failed_at = None

    def _done(self, task: asyncio.Task[None]) -> None:
        self._reading = None
        if task.cancelled():
            return
        error = task.exception()  # also marks it as seen, should nobody wait any more
        if error is not None:
            self._failed_at = self._clock.monotonic()
            _log.warning("%s: instruments could not be read: %s", self._exchange, error)
