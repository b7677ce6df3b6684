"""The rows Bybit answers with: instruments, orders, executions, positions, balances.

Field names follow Bybit's public V5 documentation. Decimals are strings, instants are millisecond
strings. Values for things the sandbox does not model are the ones Bybit shows when they are unused.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, Final

from providers.sandbox import tape
from providers.sandbox.bybit.codes import CANCEL_TYPES, REJECT_REASONS
from providers.sandbox.instruments import Instrument, Listing
from providers.sandbox.values import (
    Fill,
    Leg,
    Order,
    OrderKind,
    OrderState,
    Origin,
    Side,
    TimeInForce,
    TriggerPrice,
)

if TYPE_CHECKING:
    from providers.sandbox.account import Account, Position
    from providers.sandbox.market import Market, Prices

IDX: Final = {Leg.NET: 0, Leg.LONG: 1, Leg.SHORT: 2}
SIDES: Final = {Side.BUY: "Buy", Side.SELL: "Sell"}
KINDS: Final = {OrderKind.MARKET: "Market", OrderKind.LIMIT: "Limit"}
_TIMES_IN_FORCE: Final = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.POST_ONLY: "PostOnly",
}
STATES: Final = {
    OrderState.UNTRIGGERED: "Untriggered",
    OrderState.NEW: "New",
    OrderState.PARTIALLY_FILLED: "PartiallyFilled",
    OrderState.FILLED: "Filled",
    OrderState.CANCELED: "Cancelled",
    OrderState.REJECTED: "Rejected",
    OrderState.DEACTIVATED: "Deactivated",
}
_LISTINGS: Final = {
    Listing.TRADING: "Trading",
    Listing.PRE_LAUNCH: "PreLaunch",
    Listing.CLOSED: "Closed",
}
_TRIGGERS: Final = {TriggerPrice.LAST: "LastPrice", TriggerPrice.MARK: "MarkPrice"}
_CREATE_TYPES: Final = {
    Origin.CLIENT: "CreateByUser",
    Origin.TAKE_PROFIT: "CreateByTakeProfit",
    Origin.STOP_LOSS: "CreateByStopLoss",
    Origin.TRAILING_STOP: "CreateByTrailingStop",
}
_STOP_TYPES: Final = {
    Origin.CLIENT: "",
    Origin.TAKE_PROFIT: "TakeProfit",
    Origin.STOP_LOSS: "StopLoss",
    Origin.TRAILING_STOP: "TrailingStop",
}
_CENT: Final = Decimal("0.00000001")
FUNDING_RATE: Final = "0.0001"


def plain(value: Decimal) -> str:
    """A decimal without exponent and without needless zeros."""
    return f"{value.normalize():f}" if value else "0"


def money(value: Decimal) -> str:
    """An amount to eight places, without needless zeros."""
    return plain(value.quantize(_CENT, rounding=ROUND_HALF_UP))


def on_step(value: Decimal, step: Decimal) -> str:
    """A quantity or price with the decimal places of its step."""
    return f"{value.quantize(step):f}"


def instrument(item: Instrument) -> dict[str, Any]:
    """One row of instruments-info."""
    places = -int(item.tick.normalize().as_tuple().exponent)
    return {
        "symbol": item.symbol,
        "contractType": "LinearPerpetual",
        "status": _LISTINGS[item.listing],
        "baseCoin": item.base,
        "quoteCoin": item.quote,
        "settleCoin": item.quote,
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(max(places, 0)),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": f"{item.max_leverage:.2f}",
            "leverageStep": plain(item.leverage_step),
        },
        "priceFilter": {
            "minPrice": f"{item.min_price:f}",
            "maxPrice": f"{item.max_price:f}",
            "tickSize": f"{item.tick:f}",
        },
        "lotSizeFilter": {
            "maxOrderQty": on_step(item.max_qty, item.step),
            "minOrderQty": f"{item.min_qty:f}",
            "qtyStep": f"{item.step:f}",
            "postOnlyMaxOrderQty": on_step(item.max_qty, item.step),
            "maxMktOrderQty": on_step(item.max_market_qty, item.step),
            "minNotionalValue": plain(item.min_notional),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": tape.FUNDING_MS // 60_000,
        "copyTrading": "none",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": item.listing is Listing.PRE_LAUNCH,
        "preListingInfo": None,
        "riskParameters": {
            "priceLimitRatioX": plain(item.band),
            "priceLimitRatioY": plain(item.band * 2),
        },
        "displayName": "",
    }


def open_interest(item: Instrument) -> str:
    """What is held in a contract; made up, and it stands still."""
    return on_step(item.max_qty, item.step)


def ticker(item: Instrument, prices: Prices, day: tape.Candle, now_ms: int) -> dict[str, Any]:
    """One row of tickers; the spread shown is one tick to each side of last."""
    bid = max(prices.last - item.tick, item.tick)
    return {
        "symbol": item.symbol,
        "lastPrice": f"{prices.last:f}",
        "indexPrice": f"{prices.mark:f}",
        "markPrice": f"{prices.mark:f}",
        "prevPrice24h": f"{day.open:f}",
        "price24hPcnt": f"{(prices.last - day.open) / day.open:.6f}",
        "highPrice24h": f"{max(day.high, prices.last):f}",
        "lowPrice24h": f"{min(day.low, prices.last):f}",
        "volume24h": f"{day.volume:f}",
        "turnover24h": plain(day.turnover),
        "openInterest": open_interest(item),
        "openInterestValue": plain(item.max_qty * prices.mark),
        "fundingRate": FUNDING_RATE,
        "nextFundingTime": str(tape.next_funding(now_ms)),
        "fundingIntervalHour": str(tape.FUNDING_MS // 3_600_000),
        "deliveryTime": "0",
        "bid1Price": f"{bid:f}",
        "bid1Size": f"{item.max_market_qty:f}",
        "ask1Price": f"{prices.last + item.tick:f}",
        "ask1Size": f"{item.max_market_qty:f}",
    }


def order(item: Order, contract: Instrument) -> dict[str, Any]:
    """One row of order/realtime and order/history."""
    price = item.price if item.price is not None else item.limit
    average = item.average
    reason = item.reject_reason or REJECT_REASONS[item.end_cause]
    guard, trigger = item.protection, item.trigger
    return {
        "orderId": item.order_id,
        "orderLinkId": item.client_order_id,
        "blockTradeId": "",
        "symbol": item.symbol,
        "price": f"{price:f}",
        "qty": on_step(item.qty, contract.step),
        "side": SIDES[item.side],
        "isLeverage": "",
        "positionIdx": IDX[item.leg],
        "orderStatus": STATES[item.state],
        "createType": _made_by(item),
        "cancelType": CANCEL_TYPES[item.end_cause],
        "rejectReason": reason,
        "avgPrice": money(average) if average is not None else "",
        "leavesQty": on_step(item.leaves, contract.step),
        "leavesValue": plain(item.leaves * price),
        "cumExecQty": on_step(item.filled, contract.step),
        "cumExecValue": plain(item.value),
        "cumExecFee": plain(item.fee),
        "cumFeeDetail": {contract.quote: plain(item.fee)} if item.fills else {},
        "timeInForce": _TIMES_IN_FORCE[item.time_in_force],
        "orderType": KINDS[item.kind],
        "stopOrderType": _stop_type(item),
        "orderIv": "",
        "marketUnit": "",
        "triggerPrice": f"{trigger.price:f}" if trigger is not None else "",
        "triggerDirection": 0 if trigger is None else 1 if trigger.rising else 2,
        "triggerBy": _TRIGGERS[trigger.by] if trigger is not None else "",
        "lastPriceOnCreated": "",
        "takeProfit": _price(guard.take_profit),
        "stopLoss": _price(guard.stop_loss),
        "tpTriggerBy": _TRIGGERS[guard.take_profit_by] if guard.take_profit is not None else "",
        "slTriggerBy": _TRIGGERS[guard.stop_loss_by] if guard.stop_loss is not None else "",
        "tpslMode": _tpsl_mode(item),
        "tpLimitPrice": _price(guard.take_profit_limit),
        "slLimitPrice": _price(guard.stop_loss_limit),
        "reduceOnly": item.reduce_only,
        "closeOnTrigger": False,
        "placeType": "",
        "smpType": "None",
        "smpGroup": 0,
        "smpOrderId": "",
        "createdTime": str(item.accepted_ms),
        "updatedTime": str(item.updated_ms),
    }


def _price(value: Decimal | None) -> str:
    return "" if value is None else f"{value:f}"


def _guards_part(item: Order) -> bool:
    """Whether an order guards a part of a position: the venue's own, and it waits for a price."""
    return item.trigger is not None and item.origin is not Origin.CLIENT


def _made_by(item: Order) -> str:
    name = _CREATE_TYPES[item.origin]
    return name.replace("CreateBy", "CreateByPartial") if _guards_part(item) else name


def _stop_type(item: Order) -> str:
    if _guards_part(item):
        return f"Partial{_STOP_TYPES[item.origin]}"
    return "Stop" if item.trigger is not None else _STOP_TYPES[item.origin]


def _tpsl_mode(item: Order) -> str:
    if item.protection.partial or _guards_part(item):
        return "Partial"
    return "Full" if item.protection else ""


def execution(fill: Fill, parent: Order, contract: Instrument) -> dict[str, Any]:
    """One row of execution/list."""
    step = contract.step
    return {
        "symbol": fill.symbol,
        "orderId": fill.order_id,
        "orderLinkId": fill.client_order_id,
        "side": SIDES[fill.side],
        "orderPrice": f"{parent.price if parent.price is not None else parent.limit:f}",
        "orderQty": on_step(parent.qty, step),
        "leavesQty": on_step(fill.leaves, step),
        "createType": _made_by(parent),
        "orderType": KINDS[parent.kind],
        "stopOrderType": _stop_type(parent),
        "execFee": plain(fill.fee),
        "execId": fill.fill_id,
        "execPrice": f"{fill.price:f}",
        "execQty": on_step(fill.qty, step),
        "execType": "Trade",
        "execValue": plain(fill.value),
        "execTime": str(fill.at_ms),
        "feeCurrency": "",
        "isMaker": fill.maker,
        "feeRate": plain(fill.fee_rate),
        "tradeIv": "",
        "markIv": "",
        "markPrice": f"{fill.price:f}",
        "indexPrice": "",
        "underlyingPrice": "",
        "blockTradeId": "",
        "closedSize": on_step(fill.closed_qty, step) if fill.closed_qty else "",
        "seq": fill.sequence,
        "extraFees": "",
    }


def position(item: Position, account: Account, market: Market, now_ms: int) -> dict[str, Any]:
    """One row of position/list; a flat one has an empty side."""
    contract = market.instruments[item.symbol]
    mark = market.mark(item.symbol, now_ms)
    guard, side = item.protection, item.side
    held = account.position_margin(item)
    return {
        "positionIdx": IDX[item.leg],
        "riskId": 1,
        "riskLimitValue": "",
        "symbol": item.symbol,
        "side": SIDES[side] if side is not None else "",
        "size": on_step(abs(item.size), contract.step),
        "avgPrice": money(item.entry) if item.size else "0",
        "positionValue": money(abs(item.cost)) if item.size else "",
        "tradeMode": 0,
        "positionStatus": "Normal",
        "autoAddMargin": 0,
        "adlRankIndicator": 0,
        "leverage": plain(account.leverage(item.symbol, item.leg)),
        "positionBalance": "0",
        "markPrice": f"{mark:f}",
        "liqPrice": "",
        "bustPrice": "",
        "positionMM": "0",
        "positionIM": money(held),
        "tpslMode": "Full",
        "takeProfit": _price(guard.take_profit),
        "stopLoss": _price(guard.stop_loss),
        "trailingStop": plain(item.trail.distance) if item.trail is not None else "0",
        "sessionAvgPrice": "",
        "unrealisedPnl": money(item.profit(mark)) if item.size else "",
        "curRealisedPnl": money(item.realised),
        "cumRealisedPnl": money(item.realised_ever),
        "seq": item.sequence,
        "isReduceOnly": False,
        "mmrSysUpdatedTime": "",
        "leverageSysUpdatedTime": "",
        "createdTime": str(item.created_ms),
        "updatedTime": str(item.updated_ms),
    }


def wallet(account: Account, market: Market, now_ms: int, coin: str) -> dict[str, Any]:
    """The one row of wallet-balance."""
    unrealised = account.unrealised(market, now_ms)
    used = account.margin_in_use()
    equity = money(account.wallet + unrealised)
    total_margin = money(used + account.order_margin)
    return {
        "accountType": "UNIFIED",
        "totalEquity": equity,
        "totalWalletBalance": money(account.wallet),
        "totalMarginBalance": equity,
        "totalAvailableBalance": money(account.available(market, now_ms)),
        "totalPerpUPL": money(unrealised),
        "totalInitialMargin": total_margin,
        "totalMaintenanceMargin": "0",
        "accountIMRate": "",
        "accountMMRate": "",
        "accountLTV": "0",
        "coin": [
            {
                "coin": coin,
                "equity": equity,
                "usdValue": equity,
                "walletBalance": money(account.wallet),
                "borrowAmount": "0",
                "accruedInterest": "0",
                "totalOrderIM": money(account.order_margin),
                "totalPositionIM": money(used),
                "totalPositionMM": "0",
                "unrealisedPnl": money(unrealised),
                "cumRealisedPnl": money(account.wallet - account.start_balance),
                "locked": "0",
                "bonus": "0",
                "marginCollateral": True,
                "collateralSwitch": True,
                "availableToWithdraw": "",
                "spotHedgingQty": "0",
            }
        ],
    }
