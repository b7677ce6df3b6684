"""Translation between our values and what Binance reads and writes, USDⓈ-M futures. Pure.

What we send is a query string, what we read is JSON; decimals are texts in both. Our names of
sides, legs and order types are Binance's own. The listing of instruments is in `listing`,
take-profit and stop-loss orders are in `protection`. Source: Binance API docs, USDⓈ-M futures,
pages "New Order", "Query Order", "Account Trade List", "Position Information V3", "Symbol
Configuration", "Futures Account Balance V3".
"""

from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from providers.binance.signing import query_of
from providers.fields import (
    MalformedReply,
    Row,
    decimal,
    instant,
    optional_decimal,
    optional_instant,
    optional_positive,
    positive,
    text,
    whole,
)
from providers.orders import (
    Balance,
    Fill,
    MarginMode,
    OrderStatus,
    OrderType,
    OrderView,
    Position,
    PositionMode,
    PositionSide,
    PreparedOrder,
    Side,
    TimeInForce,
)
from providers.sizing import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

T = TypeVar("T")

SETTLE_COIN = "USDT"
ONE_WAY_SIDE = "BOTH"

TIMES_IN_FORCE = MappingProxyType(
    {
        TimeInForce.GTC: "GTC",
        TimeInForce.IOC: "IOC",
        TimeInForce.FOK: "FOK",
        TimeInForce.POST_ONLY: "GTX",
    }
)
MARGIN_MODES = MappingProxyType({MarginMode.CROSS: "CROSSED", MarginMode.ISOLATED: "ISOLATED"})
STATUSES = MappingProxyType(
    {
        "NEW": OrderStatus.NEW,
        "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
        "FILLED": OrderStatus.FILLED,
        "CANCELED": OrderStatus.CANCELED,
        "REJECTED": OrderStatus.REJECTED,
        # What Binance ends by itself: the rest of an order that may not rest, post-only that
        # would have taken, prevention of trades with oneself. It may have been filled in part.
        "EXPIRED": OrderStatus.CANCELED,
        "EXPIRED_IN_MATCH": OrderStatus.CANCELED,
    }
)
_SIDES = MappingProxyType({side.value: side for side in Side})
_LEGS = MappingProxyType({side.value: side for side in PositionSide})
_MARGIN_MODES_BACK = MappingProxyType({text: mode for mode, text in MARGIN_MODES.items()})
_DUAL: MappingProxyType[object, PositionMode] = MappingProxyType(
    {
        True: PositionMode.HEDGE,
        False: PositionMode.ONE_WAY,
        "true": PositionMode.HEDGE,
        "false": PositionMode.ONE_WAY,
    }
)


# What we send.


def order_query(order: PreparedOrder) -> str:
    """The query that places an order; take-profit and stop-loss can't be part of it.

    Only an acknowledgement is asked for: Binance fills orders after it has answered, so what an
    answer says of fills is not to be relied on.
    """
    parameters = {"symbol": order.symbol, "side": order.side.value}
    if order.position_side is not None:
        parameters["positionSide"] = order.position_side.value
    parameters["type"] = order.order_type.value
    parameters["quantity"] = plain(order.quantity)
    if order.order_type is OrderType.LIMIT and order.price is not None:
        parameters["price"] = plain(order.price)
        parameters["timeInForce"] = TIMES_IN_FORCE[order.time_in_force]
    if order.reduce_only and order.position_side is None:
        # In hedge mode the leg says it, and the parameter is refused.
        parameters["reduceOnly"] = "true"
    parameters["newClientOrderId"] = order.client_order_id
    parameters["newOrderRespType"] = "ACK"
    return query_of(parameters)


def lookup_query(symbol: str, client_order_id: str) -> str:
    """The query that names one order by its client id."""
    return query_of({"symbol": symbol, "origClientOrderId": client_order_id})


def scope(symbol: str | None) -> str:
    """The query that asks for one symbol, or for all."""
    return "" if symbol is None else query_of({"symbol": symbol})


def recent_query(since_ms: int, limit: int, symbol: str | None = None) -> str:
    """The query for the orders or executions from an instant on, oldest first."""
    scope = {} if symbol is None else {"symbol": symbol}
    return query_of({**scope, "startTime": str(since_ms), "limit": str(limit)})


def leverage_query(symbol: str, leverage: int) -> str:
    """The query that sets the leverage of a symbol."""
    return query_of({"symbol": symbol, "leverage": str(leverage)})


def margin_mode_query(symbol: str, mode: MarginMode) -> str:
    """The query that sets the margin mode of a symbol."""
    return query_of({"symbol": symbol, "marginType": MARGIN_MODES[mode]})


def fills_query(symbol: str, order_id: str, limit: int, from_id: int | None) -> str:
    """The query for the executions of an order, from one on."""
    parameters = {"symbol": symbol, "orderId": order_id, "limit": str(limit)}
    if from_id is not None:
        parameters["fromId"] = str(from_id)
    return query_of(parameters)


# What we read.


def accepted_id(result: Row, client_order_id: str) -> str:
    """The exchange's id in the answer to a placement, which must name the order that was sent.

    Conditional orders answer with names of their own.
    """
    names = ("clientAlgoId", "algoId") if "algoId" in result else ("clientOrderId", "orderId")
    if text(result, names[0]) != client_order_id:
        raise MalformedReply(f"{names[0]} is not the one that was sent")
    return str(whole(result, names[1]))


def order_view(source: Row) -> OrderView:
    """One order of `order`, `openOrder`, `openOrders` or `allOrders`. It does not say the fee."""
    quantity = decimal(source, "origQty")
    filled = decimal(source, "executedQty")
    status = _known(STATUSES, source, "status")
    if status is OrderStatus.CANCELED and quantity > 0 and filled >= quantity:
        status = OrderStatus.FILLED  # nothing was left to be cancelled
    return OrderView(
        client_order_id=text(source, "clientOrderId"),
        exchange_order_id=str(whole(source, "orderId")),
        symbol=text(source, "symbol"),
        side=_known(_SIDES, source, "side"),
        status=status,
        quantity=quantity,
        filled_quantity=filled,
        average_price=optional_positive(source, "avgPrice") if filled > 0 else None,
        fee=None,
        fee_currency=None,
        reject_reason=None,
        updated_at=optional_instant(source, "updateTime"),
    )


def fills(items: Iterable[Row], order_id: str) -> list[Fill]:
    """The executions of one order, oldest first, each once.

    Binance numbers trades by symbol, so the symbol is part of the id.
    """
    trades: dict[int, Fill] = {}
    for item in items:
        if str(whole(item, "orderId")) != order_id:
            continue
        symbol, number = text(item, "symbol"), whole(item, "id")
        fill = Fill(
            fill_id=f"{symbol}-{number}",
            exchange_order_id=order_id,
            symbol=symbol,
            side=_known(_SIDES, item, "side"),
            price=positive(item, "price"),
            quantity=positive(item, "qty"),
            fee=decimal(item, "commission"),
            fee_currency=text(item, "commissionAsset"),
            maker=item.get("maker") is True,
            executed_at=instant(item, "time"),
        )
        trades.setdefault(number, fill)
    return [trades[number] for number in sorted(trades)]


def total_fee(found: Sequence[Fill]) -> tuple[Decimal | None, str | None]:
    """The fee of all fills, if they were all paid in one currency.

    Commissions come in the quote asset or in BNB, or in both where the BNB ran out half-way.
    Coins are not added to other coins: then it is (None, None), and each fill says its own.
    """
    currencies = {fill.fee_currency for fill in found}
    if len(currencies) != 1:
        return None, None
    return sum((fill.fee for fill in found), Decimal(0)), currencies.pop()


def positions(items: Iterable[Row]) -> list[Position]:
    """The open legs with margin in USDT; a symbol with an open order has a row too.

    The amount is signed: in one-way mode that tells the side, in hedge mode the leg does. The
    leverage is not among the fields.
    """
    found = []
    for item in items:
        amount = decimal(item, "positionAmt")
        if amount == 0 or item.get("marginAsset", SETTLE_COIN) != SETTLE_COIN:
            continue
        if item.get("positionSide") == ONE_WAY_SIDE:
            side = PositionSide.LONG if amount > 0 else PositionSide.SHORT
        else:
            side = _known(_LEGS, item, "positionSide")
        found.append(
            Position(
                symbol=text(item, "symbol"),
                side=side,
                quantity=abs(amount),
                entry_price=optional_positive(item, "entryPrice"),
                leverage=None,
            )
        )
    return found


def position_mode(result: Row) -> PositionMode:
    """The account's position mode."""
    value = result.get("dualSidePosition")
    if not isinstance(value, bool | str) or value not in _DUAL:
        raise MalformedReply(f"dualSidePosition is {value!r:.40}, neither true nor false")
    return _DUAL[value]


def symbol_config(items: Iterable[Row], symbol: str) -> tuple[Decimal, MarginMode]:
    """Leverage and margin mode of a symbol."""
    for item in items:
        if item.get("symbol") == symbol:
            return positive(item, "leverage"), _known(_MARGIN_MODES_BACK, item, "marginType")
    raise MalformedReply(f"no configuration of {symbol} in the list")


def mark_price(result: Row, symbol: str) -> Decimal:
    """The mark price in an answer of `premiumIndex`."""
    if text(result, "symbol") != symbol:
        raise MalformedReply(f"symbol is not {symbol}, which was asked for")
    return positive(result, "markPrice")


def balances(items: Iterable[Row]) -> list[Balance]:
    """Each asset of the futures account that there is something of.

    The total is the wallet and the unrealised profit of cross positions; that of isolated
    positions is not in the answer.
    """
    found = []
    for item in items:
        profit = optional_decimal(item, "crossUnPnl") or Decimal(0)
        total = decimal(item, "balance") + profit
        available = max(Decimal(0), decimal(item, "availableBalance"))
        if total or available:
            found.append(Balance(text(item, "asset"), total, available))
    return found


def _known(table: Mapping[str, T], source: Row, name: str) -> T:
    value = text(source, name)
    try:
        return table[value]
    except KeyError:
        raise MalformedReply(f"{name} is {value!r:.40}, which is not one we know") from None
