"""The interface every exchange implements, and the seam between execution and the venues.

A `Provider` says whether it is configured and makes a client; an `ExchangeClient` talks to one
account of one venue. Everything venue-neutral that needs several calls (verify leverage, size a
close, prepare an order) is in `providers.preparation`, written once over this interface.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeGuard, TypeVar, runtime_checkable

from providers.outcomes import permitted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta
    from decimal import Decimal

    from providers.limits.limiter import Joined
    from providers.limits.plan import Want
    from providers.observing import CallObserver
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
    from providers.outcomes import Permit, Placement
    from providers.settings import ExchangeSettings


P = TypeVar("P")
_OFFERED: dict[tuple[type, type], bool] = {}


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

    async def reserve(self, order: PreparedOrder) -> None:
        """Wait a little for the request slot that `place` will use; sends nothing.

        Raises:
            ExchangeUnavailable: the wait would be too long, or the exchange has told us to stay
                away.
        """

    async def place(self, order: PreparedOrder, permit: Permit = permitted) -> Placement:
        """Sign and send one order, once. Returns what the answer means; never raises for it.

        Only a clock error is followed by one immediate second try, after a clock sync, because
        such a request is certainly not executed. `permit` is asked directly before each
        signature; where it refuses, the answer is DEFERRED with `NOT_PERMITTED`: nothing was sent.
        """

    async def find_order(self, symbol: str, client_order_id: str) -> OrderView | None:
        """Look an order up by client id, over open orders and history.

        None means that the venue does not show it now; whether that is conclusive is the
        caller's to decide (`consumer.execution.resolution`).
        """

    async def open_orders(self, symbol: str | None = None) -> Sequence[OrderView]:
        """Orders that are in the book now."""

    async def fills(self, symbol: str, order: OrderView) -> Sequence[Fill]:
        """The executions of one order, oldest first, each once."""

    async def cancel(self, symbol: str, client_order_id: str) -> None:
        """Ask to cancel an order; one that is final already is not an error."""


def offers(client: object, protocol: type[P]) -> TypeGuard[P]:
    """Say whether a client has what one of the protocols below asks for.

    As `isinstance`, but looked at once for a class: that takes some 20 µs each time.
    """
    key = (type(client), protocol)
    found = _OFFERED.get(key)
    if found is None:
        found = _OFFERED[key] = isinstance(client, protocol)
    return found


@runtime_checkable
class OpeningGate(Protocol):
    """What a client may have besides: a say in whether positions may be opened here at all."""

    def check_opening(self, symbol: str) -> None:
        """Raise `RequestRefused` if no position may be opened; does no I/O."""


@runtime_checkable
class Observable(Protocol):
    """What a client may have besides: it tells of every request that it makes."""

    def observe(self, observer: CallObserver) -> None:
        """Tell an observer of every request from now on, in place of an earlier one."""


@runtime_checkable
class TellsLoad(Protocol):
    """What a client may have besides: it says when requests that can wait had better."""

    @property
    def busy(self) -> bool:
        """True while half of what the address may ask for is in use."""


@runtime_checkable
class JoinsCommit(Protocol):
    """What a client may have besides: the ledger may take an order's slot with its intent."""

    def slot_to_take(self, order: PreparedOrder) -> Want | None:
        """What to ask for; None if `reserve` is to be called instead. Does no I/O."""

    def slot_taken(self, order: PreparedOrder, taken: Joined) -> None:
        """Keep the slot for `place`, as `reserve` does."""


@runtime_checkable
class ClearedByCheck(OpeningGate, Protocol):
    """An `OpeningGate` that opens once `check_order` has passed and a setting says so."""

    @property
    def clearance(self) -> tuple[str, str]:
        """The setting that opens the gate, and the value it needs; of this key alone."""


@runtime_checkable
class ChecksOrders(Protocol):
    """What a client may have besides: the exchange looks at an order and does not place it."""

    async def check_order(self, order: PreparedOrder) -> str:
        """Have the exchange look at an order; nothing can be traded by it.

        Returns:
            How it was found out that orders are taken, for a person.

        Raises:
            ExchangeError: orders are not taken, or not this one.
        """


@dataclass(frozen=True, slots=True)
class KeyRights:
    """What a key may do, as the exchange tells it; None where it does not.

    Attributes:
        trade: orders and positions of perpetual futures.
        withdraw: coins off the exchange. A key that trades should not have it.
        addresses: whether it works from certain addresses only.
    """

    trade: bool | None
    withdraw: bool | None
    addresses: bool | None


@runtime_checkable
class TellsKeyRights(Protocol):
    """What a client may have besides: the exchange tells what its key may do."""

    async def key_rights(self) -> KeyRights | None:
        """What the key may do, read now; None where this address of the exchange can't tell."""


@runtime_checkable
class AccountPositionMode(Protocol):
    """What a client may have besides: the position mode, read without the rest of the setup."""

    async def position_mode(self) -> PositionMode:
        """The position mode of the whole account, read now."""


@runtime_checkable
class ListsRecentOrders(Protocol):
    """What a client may have besides: it lists orders of the whole account, finished ones too.

    An order that is filled at once is never seen among the open ones; without this nobody would
    see that there are more of them than were intended.
    """

    async def recent_orders(self, since: datetime) -> Sequence[OrderView]:
        """Orders that were finished and made at a time or later, each once, of every symbol.

        Open ones may be among them. What the exchange itself orders to protect or close a
        position is left out where it can be told; an error is raised, never a part in its place.
        """


@runtime_checkable
class ReadsMany(Protocol):
    """What a client may have besides: one request that shows many orders, or the fills of many.

    Neither says that anything is missing: what is left out of an answer is to be read alone.
    """

    @property
    def worth_listing(self) -> int:
        """So many orders cost less in a list than one by one."""

    async def find_orders(
        self, wanted: Mapping[str, str], since: datetime
    ) -> Mapping[str, OrderView]:
        """Look up orders that were made at a time or later, as `find_order` does for one.

        Args:
            wanted: the symbol of each, by its client order id.
            since: when the first of them was made, or earlier.

        Returns:
            Those of which the list leaves no doubt, by client order id.
        """

    async def fills_of_many(
        self, orders: Sequence[OrderView], since: datetime
    ) -> Mapping[str, Sequence[Fill]]:
        """Read the executions of orders, as `fills` does for one.

        Args:
            orders: as they were shown.
            since: when the first of them was executed, or earlier.

        Returns:
            By client order id, those whose executions add up to what was filled of them.
        """


@runtime_checkable
class ProtectsAfterFill(Protocol):
    """What a client can do whose venue does not take a take-profit or stop-loss with the order.

    Its `place` leaves them out, so the position is without them until `protect` has placed them.
    """

    async def protect(
        self, order: PreparedOrder, filled: OrderView, permit: Permit = permitted
    ) -> Sequence[Placement]:
        """Place what protects the position that an order has opened. Never raises for the venue.

        Safe to call again, at the next fill or after anything but a refusal: each is looked up
        by an id of its own first. After an UNKNOWN, wait for the acceptance window to pass.

        Args:
            order: as it was placed.
            filled: what the exchange shows of it.
            permit: asked before each signature, as by `place`.

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
