"""The interface every exchange implements, and the seam between execution and the venues.

A `Provider` says whether it is configured and makes a client; an `ExchangeClient` talks to one
account of one venue. Everything venue-neutral that needs several calls (verify leverage, size a
close, prepare an order) is in `providers.preparation`, written once over this interface.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from decimal import Decimal

    from providers.orders import (
        Balance,
        Fill,
        Instrument,
        MarginMode,
        OrderView,
        Position,
        PositionMode,
        PreparedOrder,
    )
    from providers.outcomes import Placement
    from providers.settings import ExchangeSettings


@dataclass(frozen=True, slots=True)
class SymbolSetup:
    """How an account is set for one symbol; None where the venue would not say."""

    position_mode: PositionMode
    leverage: Decimal | None
    margin_mode: MarginMode | None


@dataclass(frozen=True, slots=True)
class MarkPrice:
    """A mark price and the local time it was read."""

    price: Decimal
    read_at: datetime


class ExchangeClient(Protocol):
    """One account of one exchange.

    Reads and setters raise `providers.errors.ExchangeError`; `place` never raises for anything
    the exchange or the network does.
    """

    @property
    def name(self) -> str:
        """The venue's name in lower case, as messages and settings write it."""

    @property
    def acceptance_window(self) -> timedelta:
        """How long after its timestamp the venue may still accept a signed request."""

    async def start(self) -> None:
        """Open connections, read the venue's clock and instruments. Safe to call again."""

    async def aclose(self) -> None:
        """Close connections."""

    async def server_time(self) -> datetime:
        """The venue's clock, read now; also corrects the offset used for signing."""

    async def instrument(self, symbol: str) -> Instrument:
        """The rules of a symbol, cached; raises `RequestRefused` for one that does not exist."""

    async def refresh_instruments(self) -> None:
        """Read all instruments anew."""

    async def mark_price(self, symbol: str) -> MarkPrice:
        """The mark price, read now."""

    async def symbol_setup(self, symbol: str) -> SymbolSetup:
        """Position mode, leverage and margin mode in force for a symbol, read now."""

    async def set_leverage(
        self, symbol: str, leverage: int, margin_mode: MarginMode | None
    ) -> None:
        """Set the leverage of a symbol, both sides. "Not modified" is success."""

    async def set_margin_mode(self, symbol: str, mode: MarginMode, leverage: int | None) -> None:
        """Set the margin mode where the venue keeps it. "Not modified" is success."""

    async def positions(self, symbol: str | None = None) -> Sequence[Position]:
        """Open positions, read now; an error is raised, never an empty answer in its place."""

    async def balances(self) -> Sequence[Balance]:
        """Balances of the account, read now."""

    async def place(self, order: PreparedOrder) -> Placement:
        """Sign and send one order, once. Returns what the answer means; never raises for it.

        Only a clock error is followed by one immediate second try, after a clock sync, because
        such a request is certainly not executed.
        """

    async def find_order(self, symbol: str, client_order_id: str) -> OrderView | None:
        """Look an order up by client id, over open orders and history.

        None means that the venue does not show it now; whether that is conclusive is the
        caller's to decide (`consumer.resolution`).
        """

    async def open_orders(self, symbol: str | None = None) -> Sequence[OrderView]:
        """Orders that are in the book now."""

    async def fills(self, symbol: str, order: OrderView) -> Sequence[Fill]:
        """The executions of one order, oldest first, each once."""

    async def cancel(self, symbol: str, client_order_id: str) -> None:
        """Ask to cancel an order; one that is final already is not an error."""


@runtime_checkable
class OpeningGate(Protocol):
    """What a client may have besides: a say in whether positions may be opened here at all."""

    def check_opening(self, symbol: str) -> None:
        """Raise `RequestRefused` if no position may be opened; does no I/O."""


@runtime_checkable
class AccountPositionMode(Protocol):
    """What a client may have besides: the position mode, read without the rest of the setup."""

    async def position_mode(self) -> PositionMode:
        """The position mode of the whole account, read now."""


@runtime_checkable
class ProtectsAfterFill(Protocol):
    """What a client can do whose venue does not take a take-profit or stop-loss with the order.

    Its `place` leaves them out, so the position is without them until `protect` has placed them.
    """

    async def protect(self, order: PreparedOrder, filled: OrderView) -> Sequence[Placement]:
        """Place what protects the position that an order has opened. Never raises for the venue.

        Safe to call again, at the next fill or after anything but a refusal: each is looked up
        by an id of its own first. After an UNKNOWN, wait for the acceptance window to pass.

        Args:
            order: as it was placed.
            filled: what the exchange shows of it.

        Returns:
            One answer for each that the order asks for, the stop-loss first: ACCEPTED, DUPLICATE
            where it had been placed before (the message says what has become of it), DEFERRED
            and UNKNOWN to call again, REJECTED where the position stays without it. Empty if
            nothing was asked for, or nothing is filled.
        """


class Provider(Protocol):
    """What an exchange registers under the entry-point group `trade_worker.providers`."""

    @property
    def name(self) -> str:
        """The venue's name in lower case."""

    def has_credentials(self, settings: ExchangeSettings) -> bool:
        """True if key and secret are both set."""

    def create_client(self, settings: ExchangeSettings) -> ExchangeClient:
        """Make a client; raises `NotConfigured` without credentials. Does no I/O."""
