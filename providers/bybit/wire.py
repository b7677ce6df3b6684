"""Translation between our values and Bybit's JSON, category linear. Pure; decimals are strings.

Field names and their meaning: Bybit API docs, V5, pages "Place Order", "Get Open Orders", "Get
Order History", "Get Trade History", "Get Position Info", "Get Instruments Info", "Get Wallet
Balance".
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import orjson

from providers.exchange import SymbolSetup
from providers.fields import (
    MalformedReply,
    Row,
    decimal,
    instant,
    optional_decimal,
    optional_instant,
    optional_positive,
    positive,
    row,
    rows,
    text,
    whole,
)
from providers.orders import (
    Balance,
    Fill,
    Instrument,
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
    from collections.abc import Iterable

T = TypeVar("T")

CATEGORY = "linear"
SETTLE_COIN = "USDT"
PORTFOLIO_MARGIN = "PORTFOLIO_MARGIN"

SIDES = MappingProxyType({Side.BUY: "Buy", Side.SELL: "Sell"})
ORDER_TYPES = MappingProxyType({OrderType.MARKET: "Market", OrderType.LIMIT: "Limit"})
TIMES_IN_FORCE = MappingProxyType(
    {
        TimeInForce.GTC: "GTC",
        TimeInForce.IOC: "IOC",
        TimeInForce.FOK: "FOK",
        TimeInForce.POST_ONLY: "PostOnly",
    }
)
POSITION_INDEXES: MappingProxyType[PositionSide | None, int] = MappingProxyType(
    {None: 0, PositionSide.LONG: 1, PositionSide.SHORT: 2}
)
MARGIN_MODES = MappingProxyType(
    {MarginMode.CROSS: "REGULAR_MARGIN", MarginMode.ISOLATED: "ISOLATED_MARGIN"}
)
STATUSES = MappingProxyType(
    {
        "Created": OrderStatus.NEW,
        "New": OrderStatus.NEW,
        "Untriggered": OrderStatus.NEW,
        "Triggered": OrderStatus.NEW,
        "PartiallyFilled": OrderStatus.PARTIALLY_FILLED,
        "Filled": OrderStatus.FILLED,
        "Cancelled": OrderStatus.CANCELED,
        "PartiallyFilledCanceled": OrderStatus.CANCELED,
        "Deactivated": OrderStatus.CANCELED,
        "Rejected": OrderStatus.REJECTED,
    }
)
_SIDES_BACK = MappingProxyType({text: side for side, text in SIDES.items()})
_MARGIN_MODES_BACK = MappingProxyType({text: mode for mode, text in MARGIN_MODES.items()})
_LEGS = MappingProxyType({"Buy": PositionSide.LONG, "Sell": PositionSide.SHORT})
_NO_ERROR = "EC_NoError"
_ONE_WAY = {0}
_HEDGE = {1, 2}


# What we send.


def order_body(order: PreparedOrder) -> bytes:
    """The body that places an order."""
    body: Row = {
        "category": CATEGORY,
        "symbol": order.symbol,
        "side": SIDES[order.side],
        "orderType": ORDER_TYPES[order.order_type],
        "qty": plain(order.quantity),
        "positionIdx": POSITION_INDEXES[order.position_side],
        "reduceOnly": order.reduce_only,
        "orderLinkId": order.client_order_id,
    }
    if order.price is not None:
        body["price"] = plain(order.price)
        body["timeInForce"] = TIMES_IN_FORCE[order.time_in_force]
    if not order.reduce_only and not (order.take_profit is None and order.stop_loss is None):
        body["tpslMode"] = "Full"
        if order.take_profit is not None:
            body["takeProfit"] = plain(order.take_profit)
        if order.stop_loss is not None:
            body["stopLoss"] = plain(order.stop_loss)
    return orjson.dumps(body)


def leverage_body(symbol: str, leverage: int) -> bytes:
    """The body that sets the leverage of both sides."""
    value = str(leverage)
    return orjson.dumps(
        {"category": CATEGORY, "symbol": symbol, "buyLeverage": value, "sellLeverage": value}
    )


def margin_mode_body(mode: MarginMode) -> bytes:
    """The body that sets the margin mode of the account."""
    return orjson.dumps({"setMarginMode": MARGIN_MODES[mode]})


def cancel_body(symbol: str, client_order_id: str) -> bytes:
    """The body that cancels an order."""
    return orjson.dumps({"category": CATEGORY, "symbol": symbol, "orderLinkId": client_order_id})


# What we read. Each takes the `result` object, or one row of its list.


def order_view(source: Row) -> OrderView:
    """One order of `order/realtime` or `order/history`."""
    quantity = decimal(source, "qty")
    filled = decimal(source, "cumExecQty")
    status = _known(STATUSES, source, "orderStatus")
    if status is OrderStatus.CANCELED and quantity > 0 and filled >= quantity:
        # A market order is an IOC limit inside; what it could not fill is cancelled, even
        # where that is nothing.
        status = OrderStatus.FILLED
    fee, fee_currency = _fee(source)
    reason = source.get("rejectReason")
    return OrderView(
        client_order_id=str(source.get("orderLinkId") or ""),
        exchange_order_id=text(source, "orderId"),
        symbol=text(source, "symbol"),
        side=_known(_SIDES_BACK, source, "side"),
        status=status,
        quantity=quantity,
        filled_quantity=filled,
        average_price=optional_positive(source, "avgPrice") if filled > 0 else None,
        fee=fee,
        fee_currency=fee_currency,
        reject_reason=reason if isinstance(reason, str) and reason not in ("", _NO_ERROR) else None,
        updated_at=optional_instant(source, "updatedTime"),
    )


def protects_position(source: Row) -> bool:
    """True for an order that Bybit makes of a position's own take-profit or stop-loss."""
    stops = source.get("stopOrderType") not in (None, "", "UNKNOWN", "Stop")
    return stops and not source.get("orderLinkId")


def order_views(result: Row) -> list[OrderView]:
    """Every order in an answer."""
    return [order_view(item) for item in rows(result, "list")]


def fills(items: Iterable[Row]) -> list[Fill]:
    """The trades among executions, oldest first, each once."""
    trades: dict[str, tuple[int, Fill]] = {}
    for item in items:
        if item.get("execType") != "Trade":
            continue  # funding, liquidation and settlement are no fills of an order of ours
        fill = Fill(
            fill_id=text(item, "execId"),
            exchange_order_id=text(item, "orderId"),
            symbol=text(item, "symbol"),
            side=_known(_SIDES_BACK, item, "side"),
            price=positive(item, "execPrice"),
            quantity=positive(item, "execQty"),
            fee=decimal(item, "execFee"),
            fee_currency=str(item.get("feeCurrency") or SETTLE_COIN),
            maker=item.get("isMaker") is True,
            executed_at=instant(item, "execTime"),
        )
        sequence = whole(item, "seq") if "seq" in item else 0
        trades.setdefault(fill.fill_id, (sequence, fill))
    ordered = sorted(trades.values(), key=lambda trade: (trade[1].executed_at, trade[0]))
    return [fill for _, fill in ordered]


def positions(items: Iterable[Row]) -> list[Position]:
    """The open legs among position rows; a flat leg is a row too and is left out."""
    found = []
    for item in items:
        size = decimal(item, "size")
        if size == 0:
            continue
        found.append(
            Position(
                symbol=text(item, "symbol"),
                side=_known(_LEGS, item, "side"),
                quantity=size,
                entry_price=optional_positive(item, "avgPrice"),
                leverage=optional_positive(item, "leverage"),
            )
        )
    return found


def symbol_setup(items: Iterable[Row], symbol: str, margin_mode: MarginMode | None) -> SymbolSetup:
    """Position mode and leverage from the rows of one symbol, which are there even when flat.

    One row with index 0 means one-way; rows with index 1 and 2, in any order, mean hedge.
    Leverages that differ between the legs are reported as None: whatever is wanted, it is not
    in force on both.
    """
    by_index = {whole(item, "positionIdx"): item for item in items if item.get("symbol") == symbol}
    if by_index.keys() == _ONE_WAY:
        mode = PositionMode.ONE_WAY
    elif by_index.keys() == _HEDGE:
        mode = PositionMode.HEDGE
    else:
        raise MalformedReply(f"position rows have the indexes {sorted(by_index)}")
    leverages = {optional_positive(item, "leverage") for item in by_index.values()}
    leverage = leverages.pop() if len(leverages) == 1 else None
    return SymbolSetup(mode, leverage, margin_mode)


def margin_mode(result: Row) -> MarginMode | None:
    """The account's margin mode; None for portfolio margin, which is neither of ours."""
    name = text(result, "marginMode")
    return None if name == PORTFOLIO_MARGIN else _known(_MARGIN_MODES_BACK, result, "marginMode")


def mark_price(result: Row, symbol: str) -> Decimal:
    """The mark price in a ticker answer."""
    for item in rows(result, "list"):
        if item.get("symbol") == symbol:
            return positive(item, "markPrice")
    raise MalformedReply(f"no ticker of {symbol} in the list")


def instruments(items: Iterable[Row]) -> tuple[dict[str, Instrument], list[str]]:
    """The USDT perpetuals among instruments, by symbol, and what was wrong with unreadable ones."""
    listed: dict[str, Instrument] = {}
    unreadable = []
    for item in items:
        try:
            found = instrument(item)
        except MalformedReply as error:
            unreadable.append(f"{item.get('symbol')}: {error}")
            continue
        if found is not None:
            listed[found.symbol] = found
    return listed, unreadable


def instrument(source: Row) -> Instrument | None:
    """One instrument; None for anything but a USDT perpetual."""
    if source.get("settleCoin") != SETTLE_COIN or source.get("contractType") != "LinearPerpetual":
        return None
    symbol = text(source, "symbol")
    price_filter = row(source.get("priceFilter"), "priceFilter")
    lot_filter = row(source.get("lotSizeFilter"), "lotSizeFilter")
    leverage_filter = row(source.get("leverageFilter"), "leverageFilter")
    least_leverage = positive(leverage_filter, "minLeverage")
    most_leverage = positive(leverage_filter, "maxLeverage")
    return Instrument(
        symbol=symbol,
        venue_symbol=symbol,
        tradable=source.get("status") == "Trading",
        tick=positive(price_filter, "tickSize"),
        lot=positive(lot_filter, "qtyStep"),
        min_quantity=positive(lot_filter, "minOrderQty"),
        max_quantity=optional_positive(lot_filter, "maxOrderQty"),
        max_market_quantity=optional_positive(lot_filter, "maxMktOrderQty"),
        min_notional=optional_decimal(lot_filter, "minNotionalValue"),
        min_price=optional_decimal(price_filter, "minPrice"),
        max_price=optional_positive(price_filter, "maxPrice"),
        min_leverage=int(least_leverage.to_integral_value(ROUND_CEILING)),
        max_leverage=int(most_leverage.to_integral_value(ROUND_FLOOR)),
    )


def balances(result: Row) -> list[Balance]:
    """Each coin of a unified account.

    The total is the coin's equity. What is free is the wallet balance less margin in use, locked
    amounts and bonus: right in isolated margin, and cautious in cross margin, where other coins
    may back a position as well.
    """
    found = []
    for account in rows(result, "list"):
        for coin in rows(account, "coin"):
            wallet = decimal(coin, "walletBalance")
            used = sum(
                (
                    optional_decimal(coin, name) or Decimal(0)
                    for name in ("totalPositionIM", "totalOrderIM", "locked", "bonus")
                ),
                Decimal(0),
            )
            equity = optional_decimal(coin, "equity")
            found.append(
                Balance(
                    currency=text(coin, "coin"),
                    total=wallet if equity is None else equity,
                    available=max(Decimal(0), wallet - used),
                )
            )
    return found


def _known(table: MappingProxyType[str, T], source: Row, name: str) -> T:
    value = text(source, name)
    try:
        return table[value]
    except KeyError:
        raise MalformedReply(f"{name} is {value!r:.40}, which is not one we know") from None


def _fee(source: Row) -> tuple[Decimal | None, str | None]:
    """The fee, where the order names it in a single coin; else it comes from the fills."""
    detail = source.get("cumFeeDetail")
    if not isinstance(detail, dict) or len(detail) != 1:
        return None, None
    (currency,) = detail
    return decimal(detail, currency), str(currency)
