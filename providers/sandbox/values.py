"""The words the sandbox exchange speaks inside: sides, legs, states, orders, fills, refusals.

They belong to no venue. A facade turns its venue's request into a `NewOrder`, and turns `Order`,
`Fill` and `Refusal` back into that venue's fields and codes. Nothing here does I/O or decides.

Units: quantities in base asset, prices and money in USDT, all `Decimal`; instants in milliseconds
of the sandbox clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

ZERO: Final = Decimal(0)


class Side(StrEnum):
    """Which way an order trades."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1


class Leg(StrEnum):
    """Which position an order works on: the one net position, or one of the two hedge legs."""

    NET = "net"
    LONG = "long"
    SHORT = "short"


class PositionMode(StrEnum):
    """One netted position a symbol, or a long and a short leg side by side."""

    ONE_WAY = "one_way"
    HEDGE = "hedge"


class MarginMode(StrEnum):
    """Whether unrealised profit of one position backs the others."""

    CROSS = "cross"
    ISOLATED = "isolated"


class OrderKind(StrEnum):
    """Priced by the market or by the customer."""

    MARKET = "market"
    LIMIT = "limit"


class TimeInForce(StrEnum):
    """What becomes of the part that cannot trade at once."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    POST_ONLY = "post_only"


class OrderState(StrEnum):
    """Where an order stands; the last four are final."""

    UNTRIGGERED = "untriggered"
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    DEACTIVATED = "deactivated"

    @property
    def final(self) -> bool:
        """Whether nothing can happen to the order any more."""
        return self in _FINAL


_FINAL: Final = frozenset(
    {OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED, OrderState.DEACTIVATED}
)


class EndCause(StrEnum):
    """Why an order ended without filling whole."""

    NONE = "none"
    BY_USER = "by_user"
    NO_LIQUIDITY = "no_liquidity"
    POST_ONLY_WOULD_TAKE = "post_only_would_take"
    NOTHING_TO_REDUCE = "nothing_to_reduce"
    PAIR_TRIGGERED = "pair_triggered"
    REJECTED = "rejected"


class Origin(StrEnum):
    """Who asked for an order: the customer, or the position's own protection."""

    CLIENT = "client"
    TAKE_PROFIT = "take_profit"
    STOP_LOSS = "stop_loss"
    TRAILING_STOP = "trailing_stop"


class TriggerPrice(StrEnum):
    """Which price sets off a conditional order or a protection."""

    LAST = "last"
    MARK = "mark"


class Refusal(StrEnum):
    """Every reason the engine has for saying no; each facade maps all of them to its own codes."""

    UNKNOWN_SYMBOL = "unknown_symbol"
    NOT_TRADING = "not_trading"
    QTY_ZERO = "qty_zero"
    QTY_STEP = "qty_step"
    QTY_BELOW_MIN = "qty_below_min"
    QTY_ABOVE_MAX = "qty_above_max"
    PRICE_MISSING = "price_missing"
    PRICE_TICK = "price_tick"
    PRICE_BOUNDS = "price_bounds"
    PRICE_BAND = "price_band"
    NOTIONAL_BELOW_MIN = "notional_below_min"
    LEG_MISMATCH = "leg_mismatch"
    NOTHING_TO_REDUCE = "nothing_to_reduce"
    CLOSE_TOO_LARGE = "close_too_large"
    DUPLICATE_CLIENT_ID = "duplicate_client_id"
    TOO_MANY_ORDERS = "too_many_orders"
    TOO_MANY_CONDITIONAL = "too_many_conditional"
    INSUFFICIENT_MARGIN = "insufficient_margin"
    TRIGGER_ILLEGAL = "trigger_illegal"
    PROTECTION_ILLEGAL = "protection_illegal"
    PROTECTION_UNCHANGED = "protection_unchanged"
    NO_POSITION = "no_position"
    ORDER_UNKNOWN = "order_unknown"
    AMEND_UNCHANGED = "amend_unchanged"
    AMEND_ILLEGAL = "amend_illegal"
    LEVERAGE_STEP = "leverage_step"
    LEVERAGE_ABOVE_MAX = "leverage_above_max"
    LEVERAGE_LEGS_DIFFER = "leverage_legs_differ"
    LEVERAGE_UNCHANGED = "leverage_unchanged"
    POSITION_MODE_UNCHANGED = "position_mode_unchanged"
    POSITION_MODE_HAS_POSITION = "position_mode_has_position"
    POSITION_MODE_HAS_ORDERS = "position_mode_has_orders"
    MARGIN_MODE_UNCHANGED = "margin_mode_unchanged"
    MARGIN_MODE_BLOCKED = "margin_mode_blocked"
    CROSS_MARGIN = "cross_margin"


class Refused(Exception):  # noqa: N818 - the venue's word for it; a refusal is an answer, no error
    """The engine's no, with the reason a facade maps and a detail for people.

    Args:
        reason: which rule said no.
        detail: what was wrong and what would be right.
    """

    def __init__(self, reason: Refusal, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


class Stop(NamedTuple):
    """One half of a protection; `price` None means that there is none."""

    origin: Origin
    price: Decimal | None
    by: TriggerPrice
    limit: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """Take profit and stop loss of a position; None means none.

    Attributes:
        partial: they guard what the order fills, by conditional orders, not the whole position.
        take_profit_limit: the price of a limit order that closes then, None for a market order.
    """

    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit_by: TriggerPrice = TriggerPrice.LAST
    stop_loss_by: TriggerPrice = TriggerPrice.LAST
    take_profit_limit: Decimal | None = None
    stop_loss_limit: Decimal | None = None
    partial: bool = False

    def __bool__(self) -> bool:
        return self.take_profit is not None or self.stop_loss is not None

    def stops(self) -> tuple[Stop, Stop]:
        """Its two halves."""
        gain = (self.take_profit, self.take_profit_by, self.take_profit_limit)
        loss = (self.stop_loss, self.stop_loss_by, self.stop_loss_limit)
        return Stop(Origin.TAKE_PROFIT, *gain), Stop(Origin.STOP_LOSS, *loss)


NO_PROTECTION: Final = Protection()


@dataclass(frozen=True, slots=True)
class Trigger:
    """When a conditional order wakes: `price` reached while rising or while falling."""

    price: Decimal
    rising: bool
    by: TriggerPrice = TriggerPrice.LAST

    def met(self, price: Decimal) -> bool:
        """Whether `price` has reached the trigger."""
        return price >= self.price if self.rising else price <= self.price


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """What fault rules want done to one order or one look-up, beside the ordinary course.

    Attributes:
        hide_ms: look-ups do not see the order for so long; on a look-up, it sees no order at all.
        reject_reason: the order is accepted, then rejected with this venue text.
        take_fraction: this share of the quantity fills, the rest is cancelled.
        splits: number of executions a fill is split into.
    """

    hide_ms: int = 0
    reject_reason: str | None = None
    take_fraction: Decimal | None = None
    splits: int | None = None


ORDINARY: Final = Treatment()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """An order as asked for, in the engine's words.

    Attributes:
        qty: base asset; zero is allowed only with `close_whole`.
        close_whole: reduce-only for whatever the position holds (capped at the market maximum).
        price: limit price, None for a market order.
    """

    symbol: str
    side: Side
    kind: OrderKind
    qty: Decimal
    price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    leg: Leg = Leg.NET
    reduce_only: bool = False
    close_whole: bool = False
    client_order_id: str = ""
    protection: Protection = NO_PROTECTION
    trigger: Trigger | None = None
    origin: Origin = Origin.CLIENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution.

    Attributes:
        closed_qty: how much of `qty` reduced a position.
        realised: profit booked by that reduction, before the fee.
        leaves: what the order still had open afterwards.
    """

    sequence: int
    fill_id: str
    order_id: str
    client_order_id: str
    venue: str
    account: str
    symbol: str
    side: Side
    leg: Leg
    price: Decimal
    qty: Decimal
    value: Decimal
    fee: Decimal
    fee_rate: Decimal
    maker: bool
    closed_qty: Decimal
    realised: Decimal
    leaves: Decimal
    at_ms: int


@dataclass(slots=True, kw_only=True, eq=False)
class Order:
    """An accepted order and what became of it; the engine alone changes it.

    Attributes:
        sequence: place in the order of acceptance, over all venues.
        asked_qty: quantity asked for; `qty` is smaller where reduce-only trimmed it.
        limit: the worst price it may trade at (a market order's protection band).
        arrived_ms: sandbox clock when its request arrived; `arrived_ns` the machine's wall clock.
        visible_ms: look-ups before this instant do not see it.
        reserved: initial margin held for the part still open.
        pair: the other of a take profit and a stop loss that guard one part of a position.
    """

    sequence: int
    order_id: str
    client_order_id: str
    venue: str
    account: str
    symbol: str
    side: Side
    leg: Leg
    kind: OrderKind
    time_in_force: TimeInForce
    asked_qty: Decimal
    qty: Decimal
    price: Decimal | None
    limit: Decimal
    reduce_only: bool
    closing: bool
    protection: Protection
    trigger: Trigger | None
    origin: Origin
    treatment: Treatment
    arrived_ms: int
    arrived_ns: int
    accepted_ms: int
    updated_ms: int
    visible_ms: int
    state: OrderState = OrderState.NEW
    end_cause: EndCause = EndCause.NONE
    reject_reason: str = ""
    filled: Decimal = ZERO
    value: Decimal = ZERO
    fee: Decimal = ZERO
    reserved: Decimal = ZERO
    in_book: bool = False
    pair: Order | None = field(default=None, repr=False)
    fills: list[Fill] = field(default_factory=list)

    @property
    def leaves(self) -> Decimal:
        """Quantity that can still trade; zero once final."""
        return ZERO if self.state.final else self.qty - self.filled

    @property
    def average(self) -> Decimal | None:
        """Volume-weighted fill price, None before the first fill."""
        return self.value / self.filled if self.filled else None
