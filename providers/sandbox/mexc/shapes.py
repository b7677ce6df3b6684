"""The rows MEXC answers with: contracts, tickers, orders, deals, positions, assets.

Field names follow MEXC's public futures documentation. Amounts are `Decimal` here and JSON numbers
on the wire; volumes are contracts. Values for things the sandbox does not model are the ones MEXC
shows when they are unused; liquidation prices are estimates for show, nothing acts on them.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.instruments import Listing
from providers.sandbox.mexc.account import Asked, MexcAccount, direction_of
from providers.sandbox.mexc.codes import order_error
from providers.sandbox.mexc.contracts import BY_SYMBOL, Contract
from providers.sandbox.mexc.encoding import plain
from providers.sandbox.values import (
    ZERO,
    Fill,
    Leg,
    MarginMode,
    Order,
    OrderKind,
    OrderState,
    Side,
    TimeInForce,
)

if TYPE_CHECKING:
    from providers.sandbox.account import Position
    from providers.sandbox.market import Market, Prices
    from providers.sandbox.mexc.holdings import Holding
    from providers.sandbox.tape import Candle

OPEN_TYPES: Final = {MarginMode.ISOLATED: 1, MarginMode.CROSS: 2}
POSITION_TYPES: Final = {Leg.LONG: 1, Leg.SHORT: 2}
MAINTENANCE_RATE: Final = Decimal("0.004")
WEB_TAKER: Final = Decimal("0.0002")
WEB_MAKER: Final = ZERO
"""Fees of the website, which the contract list shows; what the API charges is in the engine."""

_STATES: Final = {Listing.TRADING: 0, Listing.CLOSED: 3, Listing.PRE_LAUNCH: 4}
_FINAL_STATES: Final = {
    OrderState.FILLED: 3,
    OrderState.CANCELED: 4,
    OrderState.DEACTIVATED: 4,
    OrderState.REJECTED: 5,
}
_ACCEPTED_ONLY: Final = 1
_IN_BOOK: Final = 2
_KINDS: Final = {
    TimeInForce.GTC: 1,
    TimeInForce.POST_ONLY: 2,
    TimeInForce.IOC: 3,
    TimeInForce.FOK: 4,
}
_MARKET: Final = 5
_MONEY: Final = Decimal("0.000000000001")
_PRICE: Final = Decimal("0.0000000000000001")
FUNDING_RATE: Final = Decimal("0.0001")
_RATE: Final = Decimal("0.0001")
_HOLDING: Final = 1
_CLOSED: Final = 3


def money(value: Decimal) -> Decimal:
    """An amount to twelve places."""
    return value.quantize(_MONEY, rounding=ROUND_HALF_UP)


def average(value: Decimal, qty: Decimal) -> Decimal:
    """An average price, zero for nothing."""
    return (value / qty).quantize(_PRICE, rounding=ROUND_HALF_UP) if qty else ZERO


def contract(item: Contract) -> dict[str, Any]:
    """One row of contract/detail."""
    instrument = item.instrument
    modes = (200, 50)
    initial = 1 / instrument.max_leverage
    return {
        "symbol": item.name,
        "displayName": f"{item.name}永续",
        "displayNameEn": f"{item.name} PERPETUAL",
        "positionOpenType": item.margin_modes,
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "baseCoinName": instrument.base,
        "quoteCoinName": instrument.quote,
        "futureType": 1,
        "settleCoin": instrument.quote,
        "contractSize": item.size,
        "minLeverage": 1,
        "maxLeverage": instrument.max_leverage,
        "countryConfigContractMaxLeverage": 0,
        "priceScale": _places(instrument.tick),
        "volScale": 0,
        "amountScale": 4,
        "priceUnit": instrument.tick,
        "volUnit": item.unit,
        "minVol": item.unit,
        "maxVol": item.max_vol,
        "limitMaxVol": item.max_limit_vol,
        "bidLimitPriceRate": instrument.band,
        "askLimitPriceRate": instrument.band,
        "takerFeeRate": WEB_TAKER,
        "makerFeeRate": WEB_MAKER,
        "maintenanceMarginRate": MAINTENANCE_RATE,
        "initialMarginRate": money(initial),
        "riskBaseVol": item.max_limit_vol,
        "riskIncrVol": item.max_limit_vol,
        "riskLongShortSwitch": 0,
        "riskIncrMmr": MAINTENANCE_RATE,
        "riskIncrImr": MAINTENANCE_RATE,
        "riskLevelLimit": 1,
        "priceCoefficientVariation": instrument.band,
        "indexOrigin": ["SANDBOX"],
        "state": _STATES[instrument.listing],
        "isNew": False,
        "isHot": False,
        "isHidden": False,
        "conceptPlate": [],
        "conceptPlateId": [],
        "riskLimitType": "BY_VOLUME",
        "riskLimitMode": "CUSTOM",
        "riskLimitCustom": [
            {
                "level": 1,
                "maxVol": item.max_limit_vol,
                "mmr": MAINTENANCE_RATE,
                "imr": money(initial),
                "maxLeverage": instrument.max_leverage,
            }
        ],
        "maxNumOrders": list(modes),
        "marketOrderMaxLevel": 20,
        "marketOrderPriceLimitRate1": instrument.band,
        "marketOrderPriceLimitRate2": instrument.band,
        "triggerProtect": instrument.band,
        "appraisal": 0,
        "showAppraisalCountdown": 0,
        "automaticDelivery": 0,
        "apiAllowed": False,
        "depthStepList": [],
        "id": item.display_id,
        "vid": f"sandbox{item.display_id}",
        "baseCoinId": f"sandbox-{instrument.base}",
        "createTime": 1591242684000,
        "openingTime": 0,
        "openingCountdownOption": 1,
        "showBeforeOpen": True,
        "isMaxLeverage": False,
        "isZeroFeeRate": False,
    }


def ticker(item: Contract, prices: Prices, day: Candle, now_ms: int) -> dict[str, Any]:
    """One row of contract/ticker; the spread shown is one tick to each side of last."""
    instrument = item.instrument
    return {
        "contractId": item.display_id,
        "symbol": item.name,
        "lastPrice": prices.last,
        "bid1": max(prices.last - instrument.tick, instrument.tick),
        "ask1": prices.last + instrument.tick,
        "volume24": item.vol(day.volume),
        "amount24": money(day.turnover),
        "holdVol": item.max_vol,
        "lower24Price": min(day.low, prices.last),
        "high24Price": max(day.high, prices.last),
        "riseFallRate": ((prices.last - day.open) / day.open).quantize(_RATE),
        "riseFallValue": prices.last - day.open,
        "indexPrice": prices.mark,
        "fairPrice": prices.mark,
        "fundingRate": FUNDING_RATE,
        "maxBidPrice": prices.last * (1 + instrument.band),
        "minAskPrice": prices.last * (1 - instrument.band),
        "timestamp": now_ms,
    }


def order(item: Order, account: MexcAccount) -> dict[str, Any]:
    """One row of the order look-ups."""
    listed = BY_SYMBOL[item.symbol]
    asked = account.asked.get(item.order_id) or _own_close(item, account)
    price = item.price if item.price is not None else item.limit
    dealt = average(item.value, item.filled)
    maker = sum((fill.fee for fill in item.fills if fill.maker), ZERO)
    account.holdings.catch_up(account)
    return {
        "orderId": item.order_id,
        "symbol": listed.name,
        "positionId": account.holdings.of_order.get(item.order_id, 0),
        "price": price,
        "priceStr": plain(price),
        "vol": listed.vol(item.qty),
        "leverage": asked.leverage,
        "side": asked.side,
        "category": 1,
        "orderType": asked.kind,
        "dealAvgPrice": dealt,
        "dealAvgPriceStr": plain(dealt),
        "dealVol": listed.vol(item.filled),
        "orderMargin": money(item.reserved),
        "usedMargin": ZERO if item.closing else money(item.value / asked.leverage),
        "takerFee": item.fee - maker,
        "makerFee": maker,
        "totalFee": item.fee,
        "feeCurrency": listed.instrument.quote,
        "profit": money(sum((fill.realised for fill in item.fills), ZERO)),
        "openType": OPEN_TYPES[asked.open_type],
        "state": state(item),
        "externalOid": item.client_order_id or f"_m_{item.order_id}",
        "errorCode": order_error(item.end_cause, item.kind, item.time_in_force, item.reject_reason),
        "takeProfitPrice": item.protection.take_profit,
        "stopLossPrice": item.protection.stop_loss,
        "positionMode": 1 if asked.hedge else 2,
        "reduceOnly": asked.reduce_only,
        "bboTypeNum": 0,
        "version": len(item.fills) + 1 + item.state.final,
        "showCancelReason": 0,
        "showProfitRateShare": 0,
        "createTime": item.accepted_ms,
        "updateTime": item.updated_ms,
    }


def state(item: Order) -> int:
    """MEXC's number for where an order stands."""
    final = _FINAL_STATES.get(item.state)
    if final is not None:
        return final
    return _IN_BOOK if item.in_book or item.fills else _ACCEPTED_ONLY


def deal(fill: Fill, parent: Order, account: MexcAccount, *, taker_name: str) -> dict[str, Any]:
    """One row of the deal look-ups, which differ in how they call the taker flag."""
    listed = BY_SYMBOL[fill.symbol]
    asked = account.asked.get(fill.order_id) or _own_close(parent, account)
    account.holdings.catch_up(account)
    return {
        "id": int(fill.fill_id),
        "orderId": fill.order_id,
        "symbol": listed.name,
        "side": asked.side,
        "vol": listed.vol(fill.qty),
        "price": fill.price,
        "fee": fill.fee,
        "feeCurrency": listed.instrument.quote,
        "profit": money(fill.realised),
        "category": 1,
        taker_name: not fill.maker,
        "positionMode": 1 if asked.hedge else 2,
        "positionId": account.holdings.of_order.get(fill.order_id, 0),
        "timestamp": fill.at_ms,
    }


def position(item: Position, account: MexcAccount) -> dict[str, Any]:
    """One row of open_positions."""
    listed = BY_SYMBOL[item.symbol]
    direction = direction_of(item.leg, item.size)
    holding = account.holdings.current(account, item.symbol, item.leg)
    if holding is None:
        raise RuntimeError(f"the position on {item.symbol} has no opening fill")
    entry = average(item.cost, item.size)
    leverage = account.leverage(item.symbol, item.leg)
    margin = money(account.position_margin(item))
    return {
        **_holding(holding, listed),
        "state": _HOLDING,
        "holdVol": listed.vol(abs(item.size)),
        "frozenVol": listed.vol(account.frozen(item.symbol, item.leg)),
        "holdAvgPrice": entry,
        "holdAvgPriceFullyScale": plain(entry),
        "liquidatePrice": _liquidation(entry, leverage, direction, holding.open_type, listed),
        "oim": margin,
        "im": margin,
        "leverage": leverage,
        "marginRatio": MAINTENANCE_RATE,
        "adlLevel": 1,
    }


def closed_position(holding: Holding) -> dict[str, Any]:
    """One row of history_positions."""
    listed = BY_SYMBOL[holding.symbol]
    entry = average(holding.opened_value, holding.opened)
    return {
        **_holding(holding, listed),
        "state": _CLOSED,
        "holdVol": 0,
        "frozenVol": 0,
        "holdAvgPrice": entry,
        "holdAvgPriceFullyScale": plain(entry),
        "liquidatePrice": 0,
        "oim": 0,
        "im": 0,
        "leverage": holding.leverage,
    }


def asset(account: MexcAccount, market: Market, now_ms: int, coin: str) -> dict[str, Any]:
    """One row of the account's assets; USDT is the only coin that is held."""
    held = coin == "USDT"
    unrealised = account.unrealised(market, now_ms) if held else ZERO
    wallet = account.wallet if held else ZERO
    used = account.margin_in_use() if held else ZERO
    frozen = account.order_margin if held else ZERO
    available = max(account.available(market, now_ms), ZERO) if held else ZERO
    return {
        "currency": coin,
        "positionMargin": money(used),
        "frozenBalance": money(frozen),
        "availableBalance": money(available),
        "availableCash": money(available),
        "availableOpen": money(available),
        "cashBalance": money(max(wallet - used - frozen, ZERO)),
        "equity": money(wallet + unrealised),
        "unrealized": money(unrealised),
        "bonus": 0,
        "debtAmount": 0,
        "contributeMarginAmount": 0,
    }


def _holding(item: Holding, listed: Contract) -> dict[str, Any]:
    opened = average(item.opened_value, item.opened)
    closed = average(item.closed_value, item.closed)
    return {
        "positionId": item.position_id,
        "symbol": listed.name,
        "positionType": POSITION_TYPES[item.direction],
        "openType": OPEN_TYPES[item.open_type],
        "closeVol": listed.vol(item.closed),
        "openAvgPrice": opened,
        "openAvgPriceFullyScale": plain(opened),
        "newOpenAvgPrice": opened,
        "closeAvgPrice": closed,
        "newCloseAvgPrice": closed,
        "closeProfitLoss": money(item.profit),
        "holdFee": 0,
        "fee": money(-item.fee),
        "totalFee": money(item.fee),
        "realised": money(item.profit - item.fee),
        "profitRatio": ZERO,
        "autoAddIm": False,
        "positionShowStatus": "HOLDING" if item.open else "CLOSED",
        "deductFeeList": [],
        "version": item.version,
        "createTime": item.created_ms,
        "updateTime": item.updated_ms,
    }


def _liquidation(
    entry: Decimal, leverage: Decimal, direction: Leg, open_type: MarginMode, listed: Contract
) -> Decimal:
    """Roughly where an isolated position would end; zero for cross."""
    if open_type is MarginMode.CROSS:
        return ZERO
    room = 1 / leverage - MAINTENANCE_RATE
    price = entry * (1 - room if direction is Leg.LONG else 1 + room)
    return max(price, ZERO).quantize(listed.instrument.tick)


def _own_close(item: Order, account: MexcAccount) -> Asked:
    """What an order would have asked for that the venue made itself, from a protection."""
    direction = item.leg
    if direction is Leg.NET:
        direction = Leg.LONG if item.side is Side.SELL else Leg.SHORT
    return Asked(
        side=4 if item.side is Side.SELL else 2,
        kind=_MARKET if item.kind is OrderKind.MARKET else _KINDS[item.time_in_force],
        open_type=account.open_type(item.symbol, direction),
        leverage=account.leverage(item.symbol, direction),
        hedge=item.leg is not Leg.NET,
        reduce_only=item.leg is Leg.NET,
    )


def _places(step: Decimal) -> int:
    return max(-int(step.normalize().as_tuple().exponent), 0)
