"""How MEXC takes an order in: sides, contracts, position mode, open type and leverage by direction.

What the engine cannot know is checked here: MEXC's own consistency rules between an order and the
positions and orders of its direction, and the volume that open close orders have reserved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar

from providers.sandbox import checks
from providers.sandbox.mexc import contracts, fields
from providers.sandbox.mexc import desk as switches
from providers.sandbox.mexc.account import Asked, MexcAccount, direction_of
from providers.sandbox.mexc.codes import DUPLICATE_EXTERNAL_ID, REFUSALS, Code, MexcError
from providers.sandbox.mexc.fields import bad
from providers.sandbox.values import (
    Leg,
    MarginMode,
    NewOrder,
    Order,
    OrderKind,
    PositionMode,
    Protection,
    Refusal,
    Refused,
    Side,
    TimeInForce,
    Treatment,
    Trigger,
    TriggerPrice,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.sandbox.mexc.contracts import Contract
    from providers.sandbox.mexc.desk import Desk
    from providers.sandbox.wire import Call

_T = TypeVar("_T")

OPEN_LONG: Final = 1
CLOSE_SHORT: Final = 2
OPEN_SHORT: Final = 3
CLOSE_LONG: Final = 4

_BUYS: Final = frozenset({OPEN_LONG, CLOSE_SHORT})
_CLOSES: Final = frozenset({CLOSE_SHORT, CLOSE_LONG})
_LONG_LEG: Final = frozenset({OPEN_LONG, CLOSE_LONG})

MARKET: Final = 5
_MARKET_TO_LIMIT: Final = 6
_TIMES_IN_FORCE: Final = {
    1: TimeInForce.GTC,
    2: TimeInForce.POST_ONLY,
    3: TimeInForce.IOC,
    4: TimeInForce.FOK,
    MARKET: TimeInForce.IOC,
    _MARKET_TO_LIMIT: TimeInForce.GTC,
}
OPEN_TYPES: Final = {1: MarginMode.ISOLATED, 2: MarginMode.CROSS}
_HEDGE: Final = 1
_ONE_WAY: Final = 2
TRENDS: Final = {1: TriggerPrice.LAST, 2: TriggerPrice.MARK, 3: TriggerPrice.MARK}
_HIGHEST_ID: Final = 10**18
_MOST_ONE_WAY: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An order as a body asks for it, read but not yet held against the account."""

    contract: Contract
    new: NewOrder
    asked: Asked
    leverage: int | None
    position_id: int

    @property
    def direction(self) -> Leg:
        """The direction it opens, or the one it closes."""
        buys = self.new.side is Side.BUY
        return Leg.LONG if buys is not self.new.reduce_only else Leg.SHORT


def place(
    desk: Desk,
    call: Call,
    params: Mapping[str, Any],
    now_ms: int,
    *,
    duplicates: str = "",
    trigger: Trigger | None = None,
) -> Order:
    """Take an order in.

    Args:
        desk: the engine and the switches.
        call: who asks, and when it arrived.
        params: the body, or one item of a batch.
        now_ms: the present.
        duplicates: what to do with a repeated id, instead of what the switch says.
        trigger: what has to happen before the order reaches the book.

    Raises:
        MexcError: one of MEXC's own rules or of the engine's says no. Nothing was accepted.
        Refused: the contract is not tradable, or the id is taken.
    """
    account = fields.customer(call)
    duplicates = duplicates or desk.variants[switches.DUPLICATES]
    desk.engine.book.advance(now_ms)
    wish = read(desk, account, params, now_ms)
    if trigger is not None:
        wish = replace(wish, new=replace(wish.new, trigger=trigger))
    new, treatment = wish.new, call.treatment
    twin = account.by_client.get(new.client_order_id) if new.client_order_id else None
    if twin is not None:
        if duplicates == switches.EXISTING:
            return twin
        if duplicates == switches.REFUSED:
            desk.engine.refuse_duplicate(new.client_order_id)
        if duplicates == switches.REJECTED_LATER:
            treatment = replace(treatment, reject_reason=str(DUPLICATE_EXTERNAL_ID))
    order = enter(desk, account, wish, call, treatment, now_ms)
    account.asked[order.order_id] = wish.asked
    return order


def enter(
    desk: Desk, account: MexcAccount, wish: Wish, call: Call, treatment: Treatment, now_ms: int
) -> Order:
    """Hold a wish against the account, and place it with the leverage it brings."""
    new = wish.new
    checks.find_instrument(desk.engine.market.instruments, new.symbol)
    if new.reduce_only:
        _check_close(account, wish)
    else:
        _check_open(account, wish)
        _check_value(desk, wish, now_ms)
    key = (new.symbol, wish.direction)
    before = account.leverages.get(key), account.open_types.get(key)
    if not new.reduce_only:
        account.leverages[key] = wish.asked.leverage
        account.open_types[key] = wish.asked.open_type
    try:
        return desk.engine.place(
            account,
            new,
            now_ms,
            treatment=treatment,
            arrived_ms=call.inbound.arrived_ms,
            arrived_ns=call.inbound.arrived_ns,
        )
    except Refused as refused:
        if not new.reduce_only:
            _restore(account.leverages, key, before[0])
            _restore(account.open_types, key, before[1])
        raise in_words(refused, new.side) from refused


def in_words(refused: Refused, side: Side) -> MexcError:
    """MEXC's code for a refusal, which tells a buy out of the band from a sell."""
    code = REFUSALS[refused.reason]
    if refused.reason is Refusal.PRICE_BAND and side is Side.SELL:
        code = Code.SELL_TOO_LOW
    return MexcError(code, refused.detail)


def read(desk: Desk, account: MexcAccount, params: Mapping[str, Any], now_ms: int) -> Wish:
    """The order a body asks for.

    Raises:
        MexcError: a field is missing or of the wrong kind.
    """
    listed = fields.contract(params)
    side = fields.whole(params, "side", None, (OPEN_LONG, CLOSE_LONG), code=Code.SIDE)
    kind = fields.whole(params, "type", None, (1, _MARKET_TO_LIMIT), code=Code.ORDER_TYPE)
    open_type = OPEN_TYPES[fields.whole(params, "openType", None, (1, 2), code=Code.OPEN_TYPE)]
    hedge = _mode(desk, account, params)
    reduce_only = _reduces(desk, params, side, hedge=hedge)
    symbol = listed.instrument.symbol
    leg = Leg.NET
    if hedge:
        leg = Leg.LONG if side in _LONG_LEG else Leg.SHORT
    leverage = fields.whole(params, "leverage", 0, (1, 10**6), code=Code.LEVERAGE) or None
    new = NewOrder(
        symbol=symbol,
        side=Side.BUY if side in _BUYS else Side.SELL,
        kind=OrderKind.MARKET if kind == MARKET else OrderKind.LIMIT,
        qty=_quantity(params, listed),
        price=_price(desk, params, kind, symbol, now_ms),
        time_in_force=_TIMES_IN_FORCE[kind],
        leg=leg,
        reduce_only=reduce_only,
        client_order_id=fields.external_id(params),
        protection=_protection(params),
    )
    asked = Asked(
        side=side,
        kind=kind,
        open_type=open_type,
        leverage=Decimal(leverage or 0) or _present_leverage(account, new),
        hedge=hedge,
        reduce_only=fields.flag(params, "reduceOnly"),
    )
    return Wish(
        contract=listed,
        new=new,
        asked=asked,
        leverage=leverage,
        position_id=fields.whole(params, "positionId", 0, (0, _HIGHEST_ID)),
    )


def _present_leverage(account: MexcAccount, new: NewOrder) -> Decimal:
    if new.reduce_only:
        return account.leverage(new.symbol, new.leg)
    return account.opening_leverage(new.symbol, new.leg, new.side)


def _mode(desk: Desk, account: MexcAccount, params: Mapping[str, Any]) -> bool:
    """Whether the order is for hedge mode, which must be the account's mode."""
    is_hedge = account.position_mode is PositionMode.HEDGE
    named = fields.whole(params, "positionMode", 0, (0, _ONE_WAY))
    if not named:
        named = _HEDGE
        if desk.variants[switches.MISSING_MODE] == "account" and not is_hedge:
            named = _ONE_WAY
    if (named == _HEDGE) is not is_hedge:
        mode = "hedge (1)" if is_hedge else "one-way (2)"
        raise MexcError(
            Code.MODE_MISMATCH, f"the account is in {mode} mode, the order says {named}"
        )
    return is_hedge


def _reduces(desk: Desk, params: Mapping[str, Any], side: int, *, hedge: bool) -> bool:
    flagged = fields.flag(params, "reduceOnly")
    if hedge:
        if flagged and desk.variants[switches.HEDGE_REDUCE_ONLY] == "refused":
            raise bad("reduceOnly is for one-way mode only")
        return side in _CLOSES
    return flagged or (side in _CLOSES and desk.variants[switches.ONE_WAY_CLOSES] == "reduce")


def _quantity(params: Mapping[str, Any], listed: Contract) -> Decimal:
    vol = fields.number(params, "vol")
    if vol is None or vol <= 0:
        raise MexcError(Code.QUANTITY, f"vol must be above zero, not {vol}")
    if vol != vol.to_integral_value():
        raise MexcError(Code.ACCURACY, f"vol is a number of whole contracts, not {vol}")
    return listed.base(vol)


def _price(
    desk: Desk, params: Mapping[str, Any], kind: int, symbol: str, now_ms: int
) -> Decimal | None:
    """The limit price; market orders need none and ignore it."""
    price = fields.number(params, "price")
    if kind not in (MARKET, _MARKET_TO_LIMIT):
        if price is None or price <= 0:
            raise MexcError(Code.PRICE, f"price must be above zero, not {price}")
        return price
    if price is None and desk.variants[switches.MARKET_PRICE] == "required":
        raise bad("price is required")
    return None if kind == MARKET else desk.engine.market.last(symbol, now_ms)


def _protection(params: Mapping[str, Any]) -> Protection:
    def trend(name: str) -> TriggerPrice:
        return TRENDS[fields.whole(params, name, 1, (1, 3))]

    return Protection(
        take_profit=fields.number(params, "takeProfitPrice") or None,
        stop_loss=fields.number(params, "stopLossPrice") or None,
        take_profit_by=trend("profitTrend"),
        stop_loss_by=trend("lossTrend"),
    )


def check_margin_mode(listed: Contract, open_type: MarginMode) -> None:
    """Refuse a margin mode the contract does not offer.

    Raises:
        MexcError: 9070 or 9071.
    """
    if listed.margin_modes == contracts.ISOLATED_ONLY and open_type is MarginMode.CROSS:
        raise MexcError(Code.ISOLATED_ONLY, listed.name)
    if listed.margin_modes == contracts.CROSS_ONLY and open_type is MarginMode.ISOLATED:
        raise MexcError(Code.CROSS_ONLY, listed.name)


def check_leverage(listed: Contract, leverage: Decimal) -> None:
    """Refuse a leverage out of range.

    Raises:
        MexcError: 2006.
    """
    if not 1 <= leverage <= listed.instrument.max_leverage:
        raise MexcError(
            Code.LEVERAGE, f"leverage must be 1..{listed.instrument.max_leverage}, not {leverage}"
        )


def _check_open(account: MexcAccount, wish: Wish) -> None:
    """An opening order agrees with the position and the open orders of its direction."""
    new, asked, direction = wish.new, wish.asked, wish.direction
    check_margin_mode(wish.contract, asked.open_type)
    if wish.leverage is None and asked.open_type is MarginMode.ISOLATED:
        raise MexcError(Code.LEVERAGE, "an isolated order that opens needs a leverage")
    check_leverage(wish.contract, asked.leverage)
    size = account.size(new.symbol, new.leg)
    if size and direction_of(new.leg, size) is direction:
        _check_same_type(account, wish)
        if account.leverage(new.symbol, new.leg) != asked.leverage:
            raise MexcError(
                Code.LEVERAGE_DIFFERS,
                f"the position has {account.leverage(new.symbol, new.leg)}, not {asked.leverage}",
            )
    for order in account.opening_orders(new.symbol, direction):
        other = account.asked.get(order.order_id)
        if other is not None and other.open_type is not asked.open_type:
            raise MexcError(Code.ORDER_OPEN_TYPE_DIFFERS, f"order {order.order_id}")
        if other is not None and other.leverage != asked.leverage:
            raise MexcError(Code.ORDER_LEVERAGE_DIFFERS, f"order {order.order_id}")
    if not asked.hedge and _open_on(account, new.symbol) >= _MOST_ONE_WAY:
        raise MexcError(Code.TOO_MANY_ORDERS, f"{_MOST_ONE_WAY} a contract in one-way mode")


def _check_value(desk: Desk, wish: Wish, now_ms: int) -> None:
    """An opening order is worth what the contract asks for, where it asks for anything."""
    least = desk.variants[switches.LEAST_VALUE]
    new = wish.new
    price = new.price or desk.engine.market.last(new.symbol, now_ms)
    if least != "none" and new.qty * price < Decimal(least):
        raise MexcError(Code.VALUE_BELOW_MIN, f"{new.qty} x {price} is below {least} USDT")


def _check_close(account: MexcAccount, wish: Wish) -> None:
    """A closing order names the right position and finds volume that nothing has reserved."""
    new = wish.new
    size = account.size(new.symbol, new.leg)
    if wish.position_id:
        holding = account.holdings.by_id(account, wish.position_id)
        if holding is None:
            raise MexcError(Code.NO_POSITION, f"no open position {wish.position_id}")
        if (holding.symbol, holding.leg) != (new.symbol, new.leg):
            raise MexcError(Code.POSITION_DIFFERS, f"position {wish.position_id}")
    if size * new.side.sign >= 0:
        raise MexcError(REFUSALS[Refusal.NOTHING_TO_REDUCE], f"{wish.contract.name} {new.leg}")
    _check_same_type(account, wish)
    free = abs(size) - account.frozen(new.symbol, new.leg)
    if free < new.qty <= abs(size):
        raise MexcError(
            Code.CLOSABLE_RESERVED,
            f"{wish.contract.vol(free)} contracts are free, not {wish.contract.vol(new.qty)}",
        )


def _check_same_type(account: MexcAccount, wish: Wish) -> None:
    held = account.open_type(wish.new.symbol, wish.direction)
    if held is not wish.asked.open_type:
        raise MexcError(Code.OPEN_TYPE_CONFLICT, f"the position is {held}")


def _open_on(account: MexcAccount, symbol: str) -> int:
    return sum(order.symbol == symbol for order in account.open.values())


def _restore(table: dict[tuple[str, Leg], _T], key: tuple[str, Leg], value: _T | None) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
