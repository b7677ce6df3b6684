"""Translation between our values and MEXC's JSON for orders, fills, positions, balances. Pure.

Quantities are contracts on the wire and base coins here; see `contracts`. Setting an account up
is in `setup`. Field names and their meaning: MEXC contract API docs, "Account and trading".
"""

from __future__ import annotations

import re
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING

from providers.errors import RequestRefused
from providers.fields import MalformedReply, Row, instant, optional_instant, row, rows, text, whole
from providers.mexc import codes
from providers.mexc.contracts import OPEN_TYPES, SETTLE_COIN, data_rows, margin_mode
from providers.mexc.exact import (
    EXACT,
    dumps,
    number,
    optional_number,
    optional_positive_number,
    positive_number,
)
from providers.orders import (
    Balance,
    Fill,
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
from providers.outcomes import OutcomeClass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from providers.mexc.contracts import Contract, Listing

# Side and whether it only reduces: open long, close short, open short, close long.
ORDER_SIDES: MappingProxyType[tuple[Side, bool], int] = MappingProxyType(
    {(Side.BUY, False): 1, (Side.BUY, True): 2, (Side.SELL, False): 3, (Side.SELL, True): 4}
)
MARKET = 5
LIMITS = MappingProxyType(
    {
        TimeInForce.GTC: 1,
        TimeInForce.POST_ONLY: 2,
        TimeInForce.IOC: 3,
        TimeInForce.FOK: 4,
    }
)
POSITION_MODES = MappingProxyType({PositionMode.HEDGE: 1, PositionMode.ONE_WAY: 2})
POSITION_TYPES = MappingProxyType({PositionSide.LONG: 1, PositionSide.SHORT: 2})
_SIDES_BACK = MappingProxyType({code: side for (side, _), code in ORDER_SIDES.items()})
_LEGS = MappingProxyType({code: side for side, code in POSITION_TYPES.items()})

_CLOSED = 3  # the state of a position
# Why an order that was accepted did not live: `errorCode` of an order.
ORDER_ERRORS = MappingProxyType(
    {
        1: "parameter error",
        2: "balance too low",
        3: "no such position",
        4: "position too small",
        5: "position is being liquidated",
        6: "the order would be liquidated",
        7: "risk level",
        8: "cancelled by the system",
        9: "position mode is not the account's",
        10: "reduce-only order cancelled by liquidation",
        11: "contract disabled",
        12: "contract in delivery",
        13: "cancelled by liquidation",
        14: "cancelled by auto-deleveraging",
        15: "cancelled by the user",
        16: "cancelled for funding",
        17: "cancelled for margin",
        18: "IOC: the rest was cancelled",
        19: "FOK: it could not be filled whole",
        20: "post-only: it would have taken",
        21: "market order: the rest was cancelled",
        22: "order id used before",
        23: "client order id used before",
        999: "other reason",
    }
)
_OTHER_ERROR = 999
_CLIENT_ORDER_ID = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)


# What we send.


def order_body(order: PreparedOrder, contract: Contract) -> bytes:
    """The body that places an order.

    A market order carries price 0: the documentation calls the field mandatory for every type,
    the matching engine does not look at it for type 5, and 0 is what the exchange's published
    examples send. Should it ever be taken for a limit, nothing is bought at 0.

    Raises:
        RequestRefused: the order can't be written for this exchange.
    """
    return dumps(_order_row(order, contract))


def empty_order_body(order: PreparedOrder, contract: Contract) -> bytes:
    """The same order for no contracts at all, which must be refused for its quantity."""
    return dumps({**_order_row(order, contract), "vol": 0})


def _order_row(order: PreparedOrder, contract: Contract) -> Row:
    if _CLIENT_ORDER_ID.fullmatch(order.client_order_id) is None:
        raise RequestRefused(
            "INVALID_CLIENT_ORDER_ID",
            f"client order id {order.client_order_id!r:.60} must be 1 to 32 letters, digits, "
            "'_' or '-'",
        )
    mode = PositionMode.ONE_WAY if order.position_side is None else PositionMode.HEDGE
    body: Row = {
        "symbol": contract.venue_symbol,
        "price": Decimal(0) if order.price is None else order.price,
        "vol": contract.volume(order.quantity),
        "side": ORDER_SIDES[order.side, order.reduce_only],
        "type": MARKET if order.order_type is OrderType.MARKET else LIMITS[order.time_in_force],
    }
    if order.margin_mode is not None:
        body["openType"] = OPEN_TYPES[order.margin_mode]
    if not order.reduce_only:
        body["leverage"] = _needed_leverage(order)
    body["externalOid"] = order.client_order_id
    body["positionMode"] = POSITION_MODES[mode]
    if order.reduce_only and mode is PositionMode.ONE_WAY:  # in hedge mode the side alone says it
        body["reduceOnly"] = True
    if not order.reduce_only:
        if order.take_profit is not None:
            body["takeProfitPrice"] = order.take_profit
        if order.stop_loss is not None:
            body["stopLossPrice"] = order.stop_loss
    return body


def cancel_body(contract: Contract, client_order_id: str) -> bytes:
    """The body that cancels an order; the exchange takes a list of them."""
    return dumps([{"symbol": contract.venue_symbol, "externalOid": client_order_id}])


def _needed_leverage(order: PreparedOrder) -> int:
    """The leverage of an opening order, which must name its margin mode as well."""
    if order.margin_mode is None:
        raise RequestRefused(
            "MARGIN_MODE_REQUIRED",
            f"the margin mode of {order.symbol} is not the same everywhere in the account; "
            "name marginMode in the message",
        )
    if order.leverage is None:
        raise RequestRefused(
            "LEVERAGE_REQUIRED",
            f"the leverage of {order.symbol} differs between long and short; name leverage in "
            "the message, or set trade:default_leverage",
        )
    return order.leverage


# What we read.


def identifier(source: Row, name: str) -> str:
    """Take a field, a text or a whole number of any length, for an id."""
    value = source.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text(source, name)


def placed_order_id(result: Row) -> str:
    """The exchange's id in the answer to a placement: in an object, or bare."""
    data = result.get("data")
    return identifier(data, "orderId") if isinstance(data, dict) else identifier(result, "data")


def order_view(source: Row, contract: Contract) -> OrderView:
    """One order."""
    quantity = contract.coins(number(source, "vol"))
    filled = contract.coins(number(source, "dealVol"))
    status = _status(whole(source, "state"), quantity, filled)
    fee, fee_currency = _fee(source)
    ended_badly = status in (OrderStatus.CANCELED, OrderStatus.REJECTED)
    return OrderView(
        client_order_id=str(source.get("externalOid") or ""),
        exchange_order_id=identifier(source, "orderId"),
        symbol=contract.instrument.symbol,
        side=_side(source),
        status=status,
        quantity=quantity,
        filled_quantity=filled,
        average_price=optional_positive_number(source, "dealAvgPrice") if filled > 0 else None,
        fee=fee,
        fee_currency=fee_currency,
        reject_reason=_reason(source) if ended_badly else None,
        updated_at=optional_instant(source, "updateTime"),
    )


def looked_up(result: Row, listing: Listing) -> list[OrderView]:
    """The order in the answer to a look-up; an order that is not there is success without data."""
    data = result.get("data")
    if data is None:
        return []
    source = row(data, "data")
    return [order_view(source, listing.contract_in(source))]


def order_views(items: Iterable[Row], listing: Listing, only: str | None) -> list[OrderView]:
    """The orders of one contract (`only`, MEXC's name), or of all USDT perpetuals."""
    return [order_view(item, contract) for item, contract in _ours(items, listing, only)]


def fills(result: Row, contract: Contract, order: OrderView) -> list[Fill]:
    """The fills of an order, oldest first, each once.

    An answer without data is taken for "none" only if the order itself says so.
    """
    if result.get("data") is None and order.filled_quantity == 0:
        return []
    found: dict[str, Fill] = {}
    for item in data_rows(result):
        if identifier(item, "orderId") != order.exchange_order_id:
            continue
        fill = Fill(
            fill_id=identifier(item, "id"),
            exchange_order_id=order.exchange_order_id,
            symbol=contract.instrument.symbol,
            side=_side(item),
            price=positive_number(item, "price"),
            quantity=contract.coins(positive_number(item, "vol")),
            fee=number(item, "fee"),
            fee_currency=str(item.get("feeCurrency") or SETTLE_COIN),
            maker=item.get("isTaker", item.get("taker")) is False,
            executed_at=instant(item, "timestamp"),
        )
        found.setdefault(fill.fill_id, fill)
    return sorted(
        found.values(), key=lambda fill: (fill.executed_at, len(fill.fill_id), fill.fill_id)
    )


def positions(items: Iterable[Row], listing: Listing, only: str | None) -> list[Position]:
    """The open legs of one contract (`only`, MEXC's name), or of all USDT perpetuals."""
    found = []
    for item, contract in _ours(items, listing, only):
        held = number(item, "holdVol")
        if whole(item, "state") == _CLOSED or held == 0:
            continue
        reserved = optional_number(item, "frozenVol") or Decimal(0)
        found.append(
            Position(
                symbol=contract.instrument.symbol,
                side=position_side(item),
                quantity=contract.coins(held),
                entry_price=optional_positive_number(item, "holdAvgPrice"),
                leverage=optional_positive_number(item, "leverage"),
                closable=contract.coins(max(Decimal(0), EXACT.subtract(held, reserved))),
                margin_mode=margin_mode(item),
            )
        )
    return found


def position_side(source: Row) -> PositionSide:
    """Which leg a row is about."""
    side = _LEGS.get(whole(source, "positionType"))
    if side is None:
        raise MalformedReply(f"positionType is {source['positionType']!r:.40}, neither 1 nor 2")
    return side


def balances(result: Row) -> list[Balance]:
    """Each currency of the account; what is free is what may open positions."""
    found = []
    for item in rows(result, "data"):
        free = optional_number(item, "availableOpen")
        found.append(
            Balance(
                currency=text(item, "currency"),
                total=number(item, "equity"),
                available=number(item, "availableBalance") if free is None else free,
            )
        )
    return found


def mark_price(result: Row, contract: Contract) -> Decimal:
    """The fair price, which is MEXC's name for the mark price."""
    data = row(result.get("data"), "data")
    if data.get("symbol") != contract.venue_symbol:
        raise MalformedReply(f"the price is of {data.get('symbol')!r:.40}")
    return positive_number(data, "fairPrice")


def cancel_failures(result: Row) -> list[tuple[OutcomeClass, str, str]]:
    """What went wrong in a cancel, one by one: class, code and message.

    The envelope says success even where a cancel did not work. An order that is not there, or
    is final, is no failure.
    """
    items = rows(result, "data")
    if not items:
        raise MalformedReply("the answer to a cancel is empty")
    failed: list[tuple[OutcomeClass, str, str]] = []
    for item in items:
        code = whole(item, "errorCode")
        outcome_class = codes.CODES.get(code, OutcomeClass.UNKNOWN)
        if code not in codes.SUCCESS_CODES and outcome_class is not OutcomeClass.NOT_FOUND:
            failed.append((outcome_class, str(code), codes.message(code, item, "errorMsg")))
    return failed


def _ours(
    items: Iterable[Row], listing: Listing, only: str | None
) -> Iterable[tuple[Row, Contract]]:
    for item in items:
        venue_symbol = text(item, "symbol")
        if venue_symbol in listing.others or (only is not None and venue_symbol != only):
            continue
        yield item, listing.contract_in(item)


def _status(state: int, quantity: Decimal, filled: Decimal) -> OrderStatus:
    match state:
        case 1 | 2:  # on its way into the book, or there
            return OrderStatus.PARTIALLY_FILLED if filled > 0 else OrderStatus.NEW
        case 3:
            return OrderStatus.FILLED
        case 4 | 5 if quantity > 0 and filled >= quantity:
            return OrderStatus.FILLED
        case 5 if filled == 0:
            return OrderStatus.REJECTED
        case 4 | 5:  # cancelled, or invalid; what was filled before is a position all the same
            return OrderStatus.CANCELED
        case _:
            raise MalformedReply(f"state is {state}, which is not one we know")


def _side(source: Row) -> Side:
    side = _SIDES_BACK.get(whole(source, "side"))
    if side is None:
        raise MalformedReply(f"side is {source['side']!r:.40}, which is not one we know")
    return side


def _fee(source: Row) -> tuple[Decimal | None, str | None]:
    """The fee, where the order names it; else it comes from the fills."""
    total = optional_number(source, "totalFee")
    if total is None:
        taker, maker = optional_number(source, "takerFee"), optional_number(source, "makerFee")
        if taker is None or maker is None:
            return None, None
        total = EXACT.add(taker, maker)
    return total, str(source.get("feeCurrency") or SETTLE_COIN)


def _reason(source: Row) -> str | None:
    if source.get("errorCode") in (None, 0):
        return None
    return _reason_of(whole(source, "errorCode"))


def _reason_of(code: int) -> str:
    return f"{ORDER_ERRORS.get(code, ORDER_ERRORS[_OTHER_ERROR])} (errorCode {code})"


# Of an order that was refused because another one under the same id is there.
DUPLICATE_REASONS = frozenset(map(_reason_of, (22, 23)))
