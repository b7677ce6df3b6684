"""The rows Binance answers with: contracts, orders, trades, positions, balances.

Field names follow Binance's public USDⓈ-M futures documentation. Decimals are strings, ids and
instants JSON numbers. Values for things the sandbox does not model are the ones Binance shows when
they are unused.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, Final

import orjson

from providers.sandbox import tape
from providers.sandbox.binance import instruments
from providers.sandbox.binance.codes import ENDINGS
from providers.sandbox.instruments import Instrument, Listing
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
    TriggerPrice,
)

if TYPE_CHECKING:
    from providers.sandbox.account import Account, Position
    from providers.sandbox.binance.instruments import Bracket
    from providers.sandbox.market import Market, Prices

LEGS: Final = {Leg.NET: "BOTH", Leg.LONG: "LONG", Leg.SHORT: "SHORT"}
SIDES: Final = {Side.BUY: "BUY", Side.SELL: "SELL"}
WORKING: Final = {TriggerPrice.LAST: "CONTRACT_PRICE", TriggerPrice.MARK: "MARK_PRICE"}
KINDS: Final = {OrderKind.MARKET: "MARKET", OrderKind.LIMIT: "LIMIT"}
TIMES_IN_FORCE: Final = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.POST_ONLY: "GTX",
}
MARGIN_TYPES: Final = {MarginMode.CROSS: "CROSSED", MarginMode.ISOLATED: "ISOLATED"}
_STATES: Final = {
    OrderState.UNTRIGGERED: "NEW",
    OrderState.NEW: "NEW",
    OrderState.PARTIALLY_FILLED: "PARTIALLY_FILLED",
    OrderState.FILLED: "FILLED",
    OrderState.REJECTED: "REJECTED",
    OrderState.DEACTIVATED: "CANCELED",
}
_LISTINGS: Final = {
    Listing.TRADING: "TRADING",
    Listing.PRE_LAUNCH: "PENDING_TRADING",
    Listing.CLOSED: "CLOSE",
}
_MONEY: Final = Decimal("0.00000001")
FUNDING_RATE: Final = "0.00010000"
_NEVER_MS: Final = 4_133_404_800_000
BEGAN_MS: Final = 1_569_398_400_000


def plain(value: Decimal) -> str:
    """A decimal without exponent and without needless zeros."""
    return f"{value.normalize():f}" if value else "0"


def money(value: Decimal) -> str:
    """An amount to eight places."""
    return f"{value.quantize(_MONEY, rounding=ROUND_HALF_UP):f}"


def on_step(value: Decimal, step: Decimal) -> str:
    """A quantity or price with the decimal places of its step."""
    return f"{value.quantize(step):f}"


def number(value: Decimal) -> orjson.Fragment:
    """A decimal as a JSON number, digit by digit."""
    return orjson.Fragment(plain(value).encode())


def contract(item: Instrument) -> dict[str, Any]:
    """One row of exchangeInfo's symbols."""
    places = instruments.PLACES[item.symbol]
    share = instruments.BRACKETS[item.symbol][0].ratio
    lot = {"maxQty": plain(item.max_qty), "minQty": f"{item.min_qty:f}"}
    market_lot = {**lot, "maxQty": plain(item.max_market_qty)}
    step = {"stepSize": f"{item.step:f}"}
    return {
        "symbol": item.symbol,
        "pair": item.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": _NEVER_MS,
        "onboardDate": BEGAN_MS,
        "status": _LISTINGS[item.listing],
        "maintMarginPercent": f"{share * 100:.4f}",
        "requiredMarginPercent": f"{Decimal(100) / item.max_leverage:.4f}",
        "baseAsset": item.base,
        "quoteAsset": item.quote,
        "marginAsset": item.quote,
        "pricePrecision": places.price,
        "quantityPrecision": places.qty,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"] if item.base == "BTC" else ["Layer-1"],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": plain(item.band),
        "maxMoveOrderLimit": 10_000,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": f"{item.min_price:f}",
                "maxPrice": f"{item.max_price:f}",
                "tickSize": f"{item.tick:f}",
            },
            {"filterType": "LOT_SIZE", **lot, **step},
            {"filterType": "MARKET_LOT_SIZE", **market_lot, **step},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 200},
            {"filterType": "MIN_NOTIONAL", "notional": plain(item.min_notional)},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": f"{1 + item.band:.4f}",
                "multiplierDown": f"{1 - item.band:.4f}",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": [
            "LIMIT",
            "MARKET",
            "STOP",
            "STOP_MARKET",
            "TAKE_PROFIT",
            "TAKE_PROFIT_MARKET",
        ],
        "timeInForce": list(TIMES_IN_FORCE.values()),
    }


def premium(item: Instrument, prices: Prices, now_ms: int) -> dict[str, Any]:
    """One row of premiumIndex; the index is the mark here."""
    mark = money(prices.mark)
    return {
        "symbol": item.symbol,
        "markPrice": mark,
        "indexPrice": mark,
        "estimatedSettlePrice": mark,
        "lastFundingRate": FUNDING_RATE,
        "interestRate": "0.00010000",
        "nextFundingTime": tape.next_funding(now_ms),
        "time": now_ms,
    }


def book_ticker(item: Instrument, prices: Prices, now_ms: int) -> dict[str, Any]:
    """One row of bookTicker; the spread shown is one tick to each side of last."""
    bid = max(prices.last - item.tick, item.tick)
    size = on_step(item.max_market_qty, item.step)
    return {
        "symbol": item.symbol,
        "bidPrice": f"{bid:f}",
        "bidQty": size,
        "askPrice": f"{prices.last + item.tick:f}",
        "askQty": size,
        "time": now_ms,
    }


def status(item: Order) -> str:
    """Where an order stands, in Binance's words."""
    if item.state is OrderState.CANCELED:
        return ENDINGS[item.end_cause]
    return _STATES[item.state]


def placed(item: Order, step: Decimal, *, settled: bool) -> dict[str, Any]:
    """The answer to placing or cancelling: no average price and no value, ever.

    Args:
        item: the order.
        step: its quantity step.
        settled: show what became of it; else it is shown as it was accepted.
    """
    filled = on_step(item.filled if settled else ZERO, step)
    kind = KINDS[item.kind]
    return {
        "orderId": int(item.order_id),
        "symbol": item.symbol,
        "status": status(item) if settled else "NEW",
        "clientOrderId": item.client_order_id,
        "price": plain(item.price) if item.price is not None else "0.00",
        "origQty": on_step(item.qty, step),
        "executedQty": filled,
        "cumQty": filled,
        "timeInForce": "GTC" if item.price is None else TIMES_IN_FORCE[item.time_in_force],
        "type": kind,
        "reduceOnly": item.reduce_only,
        "closePosition": False,
        "side": SIDES[item.side],
        "positionSide": LEGS[item.leg],
        "stopPrice": "0.00",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": kind,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "updateTime": item.updated_ms if settled else item.accepted_ms,
    }


def order(item: Order, step: Decimal) -> dict[str, Any]:
    """One row of the order look-ups."""
    row = placed(item, step, settled=True)
    del row["cumQty"]
    average = item.average
    row["avgPrice"] = money(average) if average is not None else "0.00"
    row["cumQuote"] = plain(item.value)
    row["time"] = item.accepted_ms
    return row


def trade(fill: Fill, step: Decimal, commission: tuple[Decimal, str]) -> dict[str, Any]:
    """One row of userTrades; it has no client order id."""
    return {
        "symbol": fill.symbol,
        "id": int(fill.fill_id),
        "orderId": int(fill.order_id),
        "side": SIDES[fill.side],
        "price": f"{fill.price:f}",
        "qty": on_step(fill.qty, step),
        "realizedPnl": money(fill.realised),
        "marginAsset": "USDT",
        "quoteQty": money(fill.value),
        "commission": money(commission[0]),
        "commissionAsset": commission[1],
        "time": fill.at_ms,
        "positionSide": LEGS[fill.leg],
        "buyer": fill.side is Side.BUY,
        "maker": fill.maker,
    }


def bracket(row: Bracket) -> dict[str, Any]:
    """One bracket of leverageBracket, in JSON numbers."""
    return {
        "bracket": row.number,
        "initialLeverage": row.leverage,
        "notionalCap": int(row.cap),
        "notionalFloor": int(row.floor),
        "maintMarginRatio": number(row.ratio),
        "cum": number(row.deducted),
    }


class Held:
    """The figures of one position row, worked out once for all the shapes that show them."""

    def __init__(self, item: Position, account: Account, market: Market, now_ms: int) -> None:
        self.item = item
        self.contract = market.instruments[item.symbol]
        self.mark = market.mark(item.symbol, now_ms)
        self.profit = item.profit(self.mark)
        self.notional = item.size * self.mark
        self.leverage = account.leverage(item.symbol, item.leg)
        self.margin = account.position_margin(item)
        self.isolated = account.margin(item.symbol) is MarginMode.ISOLATED
        self.maintenance = (
            instruments.maintenance(item.symbol, self.notional) if item.size else ZERO
        )
        orders = [
            order
            for order in account.open.values()
            if order.symbol == item.symbol and order.leg is item.leg
        ]
        self.open_margin = sum((order.reserved for order in orders), ZERO)
        self.bids, self.asks = (
            sum((o.leaves * o.limit for o in orders if o.side is side), ZERO)
            for side in (Side.BUY, Side.SELL)
        )

    def common(self) -> dict[str, Any]:
        """What every position row has."""
        return {
            "symbol": self.item.symbol,
            "positionSide": LEGS[self.item.leg],
            "positionAmt": on_step(self.item.size, self.contract.step),
            "updateTime": self.item.updated_ms,
        }

    def _isolated(self) -> dict[str, str]:
        wallet = self.margin if self.isolated else ZERO
        return {
            "isolatedMargin": money(wallet + self.profit) if wallet else "0",
            "isolatedWallet": money(wallet) if wallet else "0",
        }

    def _margins(self) -> dict[str, str]:
        return {
            "initialMargin": money(self.margin + self.open_margin),
            "maintMargin": money(self.maintenance),
            "positionInitialMargin": money(self.margin),
            "openOrderInitialMargin": money(self.open_margin),
        }

    def risk(self) -> dict[str, Any]:
        """One row of positionRisk, version 3."""
        entry = plain(self.item.entry.quantize(_MONEY))
        return {
            **self.common(),
            "entryPrice": entry,
            "breakEvenPrice": entry,
            "markPrice": money(self.mark),
            "unRealizedProfit": money(self.profit),
            "liquidationPrice": "0",
            **self._isolated(),
            "notional": money(self.notional),
            "marginAsset": self.contract.quote,
            **self._margins(),
            "adl": 1 if self.item.size else 0,
            "bidNotional": plain(self.bids),
            "askNotional": plain(self.asks),
        }

    def risk_v2(self) -> dict[str, Any]:
        """One row of positionRisk, version 2: with leverage and margin type."""
        row = self.risk()
        for name in ("initialMargin", "maintMargin", "positionInitialMargin", "adl", "marginAsset"):
            del row[name]
        for name in ("openOrderInitialMargin", "bidNotional", "askNotional"):
            del row[name]
        return {
            **row,
            "leverage": plain(self.leverage),
            "marginType": "isolated" if self.isolated else "cross",
            "isAutoAddMargin": "false",
            "maxNotionalValue": plain(
                instruments.largest_notional(self.item.symbol, self.leverage)
            ),
            "isolated": self.isolated,
        }

    def owned(self) -> dict[str, Any]:
        """One position row of account, version 3."""
        margins = self._margins()
        return {
            **self.common(),
            "unrealizedProfit": money(self.profit),
            **self._isolated(),
            "notional": money(self.notional),
            "initialMargin": margins["initialMargin"],
            "maintMargin": margins["maintMargin"],
        }

    def owned_v2(self) -> dict[str, Any]:
        """One position row of account, version 2."""
        return {
            **self.common(),
            **self._margins(),
            "unrealizedProfit": money(self.profit),
            "leverage": plain(self.leverage),
            "isolated": self.isolated,
            "entryPrice": plain(self.item.entry.quantize(_MONEY)),
            "maxNotional": plain(instruments.largest_notional(self.item.symbol, self.leverage)),
            "bidNotional": plain(self.bids),
            "askNotional": plain(self.asks),
        }
