"""What the suite needs of a venue: a place to trade in, faults on demand, and the truth.

An author writes one `Venue`; everything else is the suite's. Where the exchange is stood in for by
the sandbox of this package, `providers.conformance.sandboxed` has written it already.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from providers.orders import PositionMode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from decimal import Decimal

    from providers.exchange import ExchangeClient
    from providers.orders import PositionSide, Side
    from providers.outcomes import OutcomeClass

BOTH = (PositionMode.ONE_WAY, PositionMode.HEDGE)


class Doing(StrEnum):
    """What a request is for, in words that every exchange has an endpoint for."""

    PLACE = "place an order"
    LOOK_UP = "look an order up by client id, in whatever list"
    POSITIONS = "read positions"
    SET_LEVERAGE = "set the leverage"
    SET_MARGIN_MODE = "set the margin mode"
    READ_SETUP = "read leverage, margin mode, position mode; not positions"
    INSTRUMENTS = "read the instruments"
    PROTECT = "place a take-profit or stop-loss apart from its order"
    ANYTHING = "anything at all"


class What(StrEnum):
    """What goes wrong with a request."""

    CUT = "the connection is cut without an answer"
    LATE_REPLY = "done at once, answered after the client has given up"
    LATE_PROCESSING = "done only after the client has given up"
    SERVER_ERROR = "answered with HTTP 502 and a web page"
    NOT_JSON = "answered with HTTP 200 and a text that is no JSON"
    UNKNOWN_CODE = "answered with an error code that no table lists"
    MAYBE = "answered with a code by which the exchange itself says that it does not know"
    REFUSED = "answered with a code of the class `outcome_class`"
    UNCHANGED = "answered with the code for: it is so already"
    RATE_LIMITED = "refused by the account's rate limit"
    BANNED = "refused because the address is banned, for a second"
    OVERLOADED = "refused because the exchange is overloaded"
    MAINTENANCE = "refused because the exchange is in maintenance"
    CLOCK_BEHIND = "the exchange's clock is a minute behind, for this request"
    CLOCK_AHEAD = "the exchange's clock is a minute ahead, for this request"
    HIDDEN = "the new order is shown to nobody for a second and a half"
    PARTIAL = "three tenths of the order are filled, the rest is cancelled"
    SPLIT = "the order is filled in three executions"
    REJECTED_LATER = "the order is accepted, then rejected for want of margin"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something to go wrong.

    Attributes:
        what: what.
        doing: which requests it strikes.
        executed: whether the request is carried out all the same, where `what` leaves it open.
        outcome_class: which refusal, for REFUSED.
        times: how many requests it strikes; None for all.
    """

    what: What
    doing: Doing = Doing.PLACE
    executed: bool = False
    outcome_class: OutcomeClass | None = None
    times: int | None = 1


@dataclass(frozen=True, slots=True)
class TrueOrder:
    """An order as the exchange really has it, in base coins and quote currency.

    Attributes:
        leg: the hedge leg it works on; None in one-way mode.
        reduces: whether it can only make a position smaller.
    """

    client_order_id: str
    exchange_order_id: str
    symbol: str
    side: Side
    leg: PositionSide | None
    reduces: bool
    quantity: Decimal
    price: Decimal | None
    filled: Decimal
    value: Decimal
    fee: Decimal
    take_profit: Decimal | None
    stop_loss: Decimal | None


class Stage(Protocol):
    """One exchange for one case: nobody else trades there, and no fault is left over."""

    @property
    def secrets(self) -> Sequence[str]:
        """Key and secret, which may be seen nowhere."""

    def connect(self, *, wrong_secret: bool = False) -> ExchangeClient:
        """Make a client of the stage's account; the caller starts and closes it.

        It gives up on an answer after about two seconds.
        """

    async def inject(self, fault: Fault) -> None:
        """Have something go wrong from now on."""

    async def orders(self, client_order_id: str) -> Sequence[TrueOrder]:
        """All orders that were really accepted under an id."""

    async def arrived(self, doing: Doing) -> int:
        """How many requests of a kind have arrived so far."""

    async def hold_price(self, price: Decimal) -> None:
        """Hold the price of the venue's symbol."""

    async def shift_clock(self, seconds: float) -> None:
        """Put the exchange's clock forward, for good."""

    async def go_away(self) -> None:
        """Refuse connections from now on."""

    async def come_back(self) -> None:
        """Accept connections again, at the same address; what was before may be forgotten."""


class Venue(Protocol):
    """An exchange to run the suite over.

    Attributes:
        name: as the provider is registered.
        symbol: what is traded; its price is held at `price` before each case.
        quantity: base coins of one order: ten lots or more, and affordable many times at 5x.
        price: quote currency; on the tick.
        modes: the position modes it has.
        cannot: the cases that can't be had here, each with the reason.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see the class

    @property
    def symbol(self) -> str: ...  # noqa: D102

    @property
    def quantity(self) -> Decimal: ...  # noqa: D102

    @property
    def price(self) -> Decimal: ...  # noqa: D102

    @property
    def modes(self) -> tuple[PositionMode, ...]: ...  # noqa: D102

    @property
    def cannot(self) -> Mapping[str, str]: ...  # noqa: D102

    def stage(self, mode: PositionMode) -> AbstractAsyncContextManager[Stage]:
        """Open an exchange with one funded account in this position mode."""
