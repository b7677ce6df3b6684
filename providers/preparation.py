"""From a request to an order that is ready to be signed, the same way for every exchange.

The mapping of an action to side, leg and reduce-only is a table; sizing is in
`providers.sizing`. This module fetches what they need, over `ExchangeClient`, and sees to it
that position mode, leverage and margin mode are as the request wants them. What was verified is
trusted for a while, so that an opening order in base coins normally costs no request at all.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING

from providers.clock import SystemClock
from providers.errors import ExchangeError, NothingToClose, RequestRefused
from providers.exchange import AccountPositionMode, OpeningGate, SymbolSetup
from providers.orders import (
    Action,
    OrderType,
    PositionMode,
    PositionSide,
    PreparedOrder,
    QuantityUnit,
    Side,
    TimeInForce,
)
from providers.outcomes import OutcomeClass
from providers.sizing import check_leverage, plain, size_close, size_opening

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.clock import Clock
    from providers.exchange import ExchangeClient, MarkPrice
    from providers.orders import Instrument, MarginMode, Position, TradeRequest
    from providers.sizing import Sized

MARK_PRICE_LIFE = timedelta(seconds=60)
# Filter errors make instruments be read anew, but not more than once in this many seconds.
_REFRESH_PAUSE = 60.0


@dataclass(frozen=True, slots=True)
class Leg:
    """How an action reaches the book: its side, the leg it acts on, and whether it only reduces."""

    side: Side
    position_side: PositionSide
    reduce_only: bool


# CLOSE becomes CLOSE_LONG or CLOSE_SHORT once the position is known. In one-way mode the leg is
# not named on the order; closes are reduce-only in both modes (a venue that can't say so in
# hedge mode leaves it out, because there the leg says it).
LEGS: MappingProxyType[Action, Leg] = MappingProxyType(
    {
        Action.LONG: Leg(Side.BUY, PositionSide.LONG, reduce_only=False),
        Action.SHORT: Leg(Side.SELL, PositionSide.SHORT, reduce_only=False),
        Action.CLOSE_LONG: Leg(Side.SELL, PositionSide.LONG, reduce_only=True),
        Action.CLOSE_SHORT: Leg(Side.BUY, PositionSide.SHORT, reduce_only=True),
    }
)
_CLOSE_OF = MappingProxyType(
    {PositionSide.LONG: Action.CLOSE_LONG, PositionSide.SHORT: Action.CLOSE_SHORT}
)


@dataclass(frozen=True, slots=True)
class _Verified:
    """What was in force for a symbol, and when (monotonic) that was read."""

    setup: SymbolSetup
    read_at: float


def resolve_close(
    action: Action, symbol: str, positions: Sequence[Position]
) -> tuple[Leg, Position]:
    """Say which leg a closing action closes, given the open legs of its symbol.

    Raises:
        NothingToClose: no position on the side that is to be closed.
        RequestRefused: `AMBIGUOUS_CLOSE` for CLOSE while both legs are open.
    """
    held = {one.side: one for one in positions if one.symbol == symbol and one.quantity > 0}
    if action is Action.CLOSE:
        if not held:
            raise NothingToClose(f"CLOSE of {symbol}: no position is open")
        if len(held) > 1:
            raise RequestRefused(
                "AMBIGUOUS_CLOSE",
                f"CLOSE of {symbol}: a long and a short are both open; "
                "say CLOSE_LONG or CLOSE_SHORT",
            )
        (side,) = held
        action = _CLOSE_OF[side]
    leg = LEGS[action]
    position = held.get(leg.position_side)
    if position is None:
        raise NothingToClose(f"{action} of {symbol}: no {leg.position_side} position is open")
    return leg, position


class Preparation:
    """Prepares orders for one client, and remembers what it has verified about each symbol.

    Args:
        client: the account the orders go to.
        setup_ttl: seconds for which verified modes and leverage are trusted.
        clock: local time.
    """

    def __init__(
        self, client: ExchangeClient, setup_ttl: float, clock: Clock | None = None
    ) -> None:
        self._client = client
        self._gate = client if isinstance(client, OpeningGate) else None
        self._setup_ttl = setup_ttl
        self._clock = clock or SystemClock()
        self._verified: dict[str, _Verified] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._marks: dict[str, tuple[MarkPrice, float]] = {}  # and when asked for, monotonic
        self._instruments_wrong = False
        self._refreshed_at: float | None = None

    async def prepare(
        self,
        request: TradeRequest,
        client_order_id: str,
        *,
        default_leverage: int | None = None,
        default_margin_mode: MarginMode | None = None,
    ) -> PreparedOrder:
        """Size the order, work out its leg, and have the account set up for it.

        Leverage and margin mode that neither the request nor the defaults name are left as they
        are.

        Raises:
            RequestRefused: a rule of the instrument or the account forbids it.
            NothingToClose: a close found no position on its side.
            ExchangeError: something needed could not be read or set; for a close only what it
                can't do without: instrument, position and position mode.
        """
        instrument = await self._instrument(request.symbol)
        if not request.action.opens:
            return await self._prepare_close(request, client_order_id, instrument, default_leverage)
        wanted = request
        if request.leverage is None and default_leverage is not None:
            wanted = replace(wanted, leverage=default_leverage)
        if request.margin_mode is None and default_margin_mode is not None:
            wanted = replace(wanted, margin_mode=default_margin_mode)
        return await self._prepare_opening(wanted, client_order_id, instrument)

    def at_hand(self, request: TradeRequest, *, default_leverage: int | None = None) -> bool:
        """Say whether `prepare` would ask the exchange for nothing and set nothing. Does no I/O.

        Only an opening order can be so: a close is sized from the exchange's own position.
        """
        known = self._verified.get(request.symbol)
        if (
            not request.action.opens
            or known is None
            or self._instruments_wrong
            or self._clock.monotonic() - known.read_at > self._setup_ttl
            or self._lock(request.symbol).locked()
        ):
            return False
        if request.quantity_unit is QuantityUnit.QUOTE and request.order_type is OrderType.MARKET:
            return False  # needs a price
        leverage = default_leverage if request.leverage is None else request.leverage
        return leverage in (None, known.setup.leverage) and request.margin_mode in (
            None,
            known.setup.margin_mode,
        )

    async def mark_price(self, symbol: str, *, max_age: timedelta = timedelta(0)) -> MarkPrice:
        """The mark price, from memory if it is no older than `max_age`, else read now.

        Raises:
            ExchangeError: if it has to be read and can't be.
        """
        known = self.known_mark(symbol, max_age=max_age)
        if known is None:
            asked_at = self._clock.monotonic()
            known = await self._client.mark_price(symbol)
            self._marks[symbol] = known, asked_at
        return known

    def known_mark(self, symbol: str, *, max_age: timedelta = MARK_PRICE_LIFE) -> MarkPrice | None:
        """The mark price in memory, if there is one no older than `max_age`."""
        known, asked_at = self._marks.get(symbol, (None, 0.0))
        if self._clock.monotonic() - asked_at > max_age.total_seconds():
            return None
        return known

    def forget(self, symbol: str, outcome_class: OutcomeClass | None = None) -> None:
        """Stop trusting what is remembered about a symbol; call it when an order was refused.

        Position mode and leverage are read again before the next order. A FILTER refusal makes
        the instruments be read again as well.
        """
        self._verified.pop(symbol, None)
        if outcome_class is OutcomeClass.FILTER:
            self._instruments_wrong = True

    async def _prepare_opening(
        self, wanted: TradeRequest, client_order_id: str, instrument: Instrument
    ) -> PreparedOrder:
        if self._gate is not None:
            self._gate.check_opening(wanted.symbol)
        if wanted.leverage is not None:
            check_leverage(wanted.leverage, instrument)
        leg = LEGS[wanted.action]
        if wanted.leverage is None and wanted.quantity_unit is QuantityUnit.QUOTE:
            setup = await self._ensure_setup(wanted)
            sized = await self._size_opening(wanted, instrument, leg, setup.leverage)
        else:
            # What can't be traded anyway is refused before anything is changed on the account.
            leverage = None if wanted.leverage is None else Decimal(wanted.leverage)
            sized = await self._size_opening(wanted, instrument, leg, leverage)
            setup = await self._ensure_setup(wanted)
        return _order(wanted, client_order_id, leg, sized, setup)

    async def _size_opening(
        self, wanted: TradeRequest, instrument: Instrument, leg: Leg, leverage: Decimal | None
    ) -> Sized:
        mark = await self._mark_for(wanted)
        return size_opening(wanted, instrument, leg.side, leverage=leverage, mark=mark)

    async def _prepare_close(
        self,
        request: TradeRequest,
        client_order_id: str,
        instrument: Instrument,
        default_leverage: int | None,
    ) -> PreparedOrder:
        setup, positions = await asyncio.gather(
            self._setup_for_close(request.symbol), self._client.positions(request.symbol)
        )
        leg, position = resolve_close(request.action, request.symbol, positions)
        held = _closable(request, position)
        leverage = position.leverage or setup.leverage
        named = default_leverage if request.leverage is None else request.leverage
        if leverage is None and named is not None:
            leverage = Decimal(named)
        mark = await self._mark_for(request)
        sized = size_close(request, instrument, leg.side, held, leverage=leverage, mark=mark)
        plain_request = replace(request, leverage=None, margin_mode=position.margin_mode)
        return _order(plain_request, client_order_id, leg, sized, setup)

    async def _mark_for(self, request: TradeRequest) -> Decimal | None:
        """The price that sizing needs: read for a quote quantity, else only what is known."""
        if request.order_type is not OrderType.MARKET:
            return None
        if request.quantity_unit is QuantityUnit.QUOTE:
            return (await self.mark_price(request.symbol)).price
        known = self.known_mark(request.symbol)
        return None if known is None else known.price

    async def _instrument(self, symbol: str) -> Instrument:
        now = self._clock.monotonic()
        if self._instruments_wrong and (
            self._refreshed_at is None or now - self._refreshed_at > _REFRESH_PAUSE
        ):
            self._instruments_wrong = False
            self._refreshed_at = now
            try:
                await self._client.refresh_instruments()
            except ExchangeError:
                self._instruments_wrong = True  # the old rules serve until the next attempt
        return await self._client.instrument(symbol)

    async def _setup_for_close(self, symbol: str) -> SymbolSetup:
        """The setup as far as it is known; a close needs no more of it than the position mode.

        Where it can't be read now, what was read before serves: a close is not to be blocked,
        and the exchange refuses an order for the wrong mode.
        """
        async with self._lock(symbol):
            try:
                return (await self._read_setup(symbol)).setup
            except ExchangeError:
                stale = self._verified.get(symbol)
                if stale is not None:
                    return stale.setup
                if isinstance(self._client, AccountPositionMode):
                    # Not kept: an opening order needs the whole of it.
                    return SymbolSetup(await self._client.position_mode(), None, None)
                raise

    async def _ensure_setup(self, wanted: TradeRequest) -> SymbolSetup:
        """Have margin mode and leverage as wanted, set only where they differ.

        One coroutine a symbol at a time; the others wait and find it done. One that is cancelled
        or fails half-way leaves nothing behind that would be trusted.
        """
        symbol = wanted.symbol
        async with self._lock(symbol):
            verified = await self._read_setup(symbol)
            mode = wanted.margin_mode
            if mode is not None and verified.setup.margin_mode is not mode:
                # Some venues keep it for the whole account, so nothing is trusted any more.
                self._verified.clear()
                await self._client.set_margin_mode(symbol, mode, wanted.leverage)
                verified = self._remember(
                    symbol, replace(verified.setup, margin_mode=mode), verified.read_at
                )
            leverage = wanted.leverage
            if leverage is not None and verified.setup.leverage != leverage:
                self._verified.pop(symbol, None)
                await self._client.set_leverage(symbol, leverage, verified.setup.margin_mode)
                verified = self._remember(
                    symbol, replace(verified.setup, leverage=Decimal(leverage)), verified.read_at
                )
            return verified.setup

    async def _read_setup(self, symbol: str) -> _Verified:
        """What is in force, from memory while that is trusted. Call it with the lock held."""
        known = self._verified.get(symbol)
        now = self._clock.monotonic()
        if known is not None and now - known.read_at <= self._setup_ttl:
            return known
        return self._remember(symbol, await self._client.symbol_setup(symbol), now)

    def _remember(self, symbol: str, setup: SymbolSetup, read_at: float) -> _Verified:
        verified = self._verified[symbol] = _Verified(setup, read_at)
        return verified

    def _lock(self, symbol: str) -> asyncio.Lock:
        return self._locks.setdefault(symbol, asyncio.Lock())


def _closable(request: TradeRequest, position: Position) -> Decimal:
    """The quantity a new closing order may take: what no other one has reserved."""
    if position.closable is None:
        return position.quantity
    if position.closable <= 0:
        raise RequestRefused(
            "POSITION_RESERVED",
            f"{request.action} of {request.symbol}: closing orders in the book have reserved all "
            f"{plain(position.quantity)} of the {position.side} position; cancel them first",
        )
    return position.closable


def _order(
    request: TradeRequest, client_order_id: str, leg: Leg, sized: Sized, setup: SymbolSetup
) -> PreparedOrder:
    market = request.order_type is OrderType.MARKET
    leverage = request.leverage
    if leverage is None and setup.leverage is not None and setup.leverage % 1 == 0:
        leverage = int(setup.leverage)
    return PreparedOrder(
        client_order_id=client_order_id,
        symbol=request.symbol,
        side=leg.side,
        order_type=request.order_type,
        quantity=sized.quantity,
        reduce_only=leg.reduce_only,
        price=sized.price,
        time_in_force=TimeInForce.IOC if market else (request.time_in_force or TimeInForce.GTC),
        position_side=leg.position_side if setup.position_mode is PositionMode.HEDGE else None,
        leverage=leverage,
        margin_mode=request.margin_mode or setup.margin_mode,
        take_profit=sized.take_profit,
        stop_loss=sized.stop_loss,
    )
