"""The message contract: what producers send, field by field.

Pure. `consumer.contract.decoding` turns bytes into this model; the JSON Schema in the documents is
generated from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from providers.orders import (
    Action,
    MarginMode,
    OrderType,
    QuantityUnit,
    TimeInForce,
    TradeRequest,
)
from providers.symbols import SPELLING, normalise

MAX_LEVERAGE = 125
_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?")
_MAX_EXPONENT = 20  # no quantity or price on any exchange is beyond 10^±20
_MAX_DECIMALS = 30  # nor written with more decimals
_MIN_EPOCH_MS = 10**11  # 1973: anything smaller is seconds, which nobody should guess at
_MAX_EPOCH_MS = 10**14


@dataclass(frozen=True, slots=True)
class NoNumber:
    """What the parser puts in the place of a number that nothing should count with.

    Then the error can name the field that it stands in.
    """

    why: str


def _decimal(value: object) -> object:
    """Take a JSON number or a decimal string; never a float, never NaN or infinity."""
    if isinstance(value, NoNumber):
        raise ValueError(value.why)
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    if isinstance(value, int):
        value = Decimal(value)
    elif isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            raise ValueError('must be a number, such as 0.005 or "0.005"')
        try:
            value = Decimal(value)
        except InvalidOperation:
            raise ValueError("must be a number, such as 0.005") from None
    if isinstance(value, Decimal) and value and abs(value.adjusted()) > _MAX_EXPONENT:
        raise ValueError(f"is beyond 10^±{_MAX_EXPONENT}")
    if isinstance(value, Decimal) and _exponent(value) < -_MAX_DECIMALS:
        raise ValueError(f"has more than {_MAX_DECIMALS} decimals")
    return value


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _whole(value: object) -> object:
    if isinstance(value, NoNumber):
        raise ValueError(value.why)
    if isinstance(value, bool | str):
        raise ValueError("must be a whole number, such as 10")
    return value


def _positive(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError("must be greater than zero")
    return value


def _quantity(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError("Quantity parameter must be greater than zero.")
    return value


def _instant(value: object) -> object:
    """Take ISO 8601 with a time zone, or milliseconds since 1970."""
    if isinstance(value, NoNumber):
        raise ValueError(value.why)
    if isinstance(value, bool):
        raise ValueError("must be a time, not true or false")
    if isinstance(value, Decimal | int):
        # The range first: a huge exponent would take for ever to become an int.
        if not _MIN_EPOCH_MS <= value <= _MAX_EPOCH_MS or value != int(value):
            raise ValueError("as a number must be whole milliseconds since 1970, UTC")
        seconds, milliseconds = divmod(int(value), 1000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=milliseconds * 1000)
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("must be ISO 8601, such as 2026-01-31T12:00:00Z") from None
        if parsed.tzinfo is None:
            raise ValueError("needs a time zone, such as the Z in 2026-01-31T12:00:00Z")
        try:
            return parsed.astimezone(UTC)
        except OverflowError:
            raise ValueError("must be within the years 1 to 9999, UTC") from None
    return value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _printable(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise ValueError("must be printable text without spaces around it")
    return value


def _symbol(value: object) -> object:
    return normalise(value) if isinstance(value, str) else value


# What JSON Schema shows of a type that is read by a function: every number here is above zero.
_NUMBER_SCHEMA = WithJsonSchema(
    {
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0},
            {"type": "string", "pattern": f"^{_NUMBER.pattern.removeprefix('-?')}$"},
        ]
    }
)
_INSTANT_SCHEMA = WithJsonSchema(
    {
        "anyOf": [
            {"type": "string", "format": "date-time"},
            {"type": "integer", "minimum": _MIN_EPOCH_MS, "maximum": _MAX_EPOCH_MS},
        ]
    }
)
_LEVERAGE_SCHEMA = WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_LEVERAGE})
_EXCHANGE_SCHEMA = WithJsonSchema({"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,31}$"})
_SYMBOL_SCHEMA = WithJsonSchema({"type": "string", "pattern": f"^{SPELLING.pattern}$"})

Number = Annotated[Decimal, BeforeValidator(_decimal), _NUMBER_SCHEMA]
Instant = Annotated[datetime, BeforeValidator(_instant), _INSTANT_SCHEMA]


def _when(name: str, value: object, then: dict[str, object]) -> dict[str, object]:
    """Say in JSON Schema: if a field has a value, something else holds."""
    holds = {"properties": {name: {"enum": value}}, "required": [name]}
    return {"if": holds, "then": then}


def _only_null(*names: str) -> dict[str, object]:
    return {"properties": {name: {"type": "null"} for name in names}}


_MARKET: dict[str, object] = {
    "anyOf": [
        {"not": {"required": ["orderType"]}},
        {"properties": {"orderType": {"const": "MARKET"}}},
    ]
}
# `TradeMessage._consistent` as JSON Schema.
_RULES: list[dict[str, object]] = [
    _when(
        "orderType",
        ["LIMIT"],
        {"required": ["price"], "properties": {"price": {"not": {"type": "null"}}}},
    ),
    {"if": _MARKET, "then": _only_null("timeInForce")},
    _when(
        "action",
        ["CLOSE_LONG", "CLOSE_SHORT", "CLOSE"],
        {
            "properties": {
                "takeProfit": {"type": "null"},
                "stopLoss": {"type": "null"},
                "quantityUnit": {"const": "base"},
            }
        },
    ),
]


class TradeMessage(BaseModel):
    """A trade that somebody wants done. Field names on the wire are camelCase."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        populate_by_name=False,
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {
                    "requestId": "c7f1b1de-2f5e-4a4e-8f0e-1b9d4f6b2a10",
                    "exchange": "bybit",
                    "action": "LONG",
                    "symbol": "BTCUSDT",
                    "quantity": 0.005,
                    "leverage": 10,
                }
            ],
            "allOf": _RULES,  # type: ignore[dict-item]  # JSON all the same
        },
    )

    request_id: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_printable)] = (
        Field(description="Unique for a trade; the same id again never trades twice.")
    )
    exchange: (
        Annotated[
            str,
            BeforeValidator(_lower),
            Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$"),
            _EXCHANGE_SCHEMA,
        ]
        | None
    ) = Field(None, description="bybit, binance or mexc; routing may redirect it.")
    action: Annotated[Action, BeforeValidator(_upper)] = Field(
        description="LONG, SHORT, CLOSE_LONG, CLOSE_SHORT or CLOSE (whichever side is open)."
    )
    symbol: Annotated[str, BeforeValidator(_symbol), _SYMBOL_SCHEMA] = Field(
        description="BTCUSDT; BTC-USDT, BTC_USDT and btc/usdt mean the same."
    )
    quantity: Annotated[Number, AfterValidator(_quantity)] = Field(
        description="Greater than 0: base coins, or margin in quote currency if quantityUnit is "
        "quote. For CLOSE* the most that may be closed."
    )
    price: Annotated[Number, AfterValidator(_positive)] | None = Field(
        None, description="Limit price; of a MARKET order it is kept for reference and not sent."
    )
    order_type: Annotated[OrderType, BeforeValidator(_upper)] = Field(
        OrderType.MARKET, description="MARKET (default) or LIMIT."
    )
    leverage: (
        Annotated[int, BeforeValidator(_whole), Field(ge=1, le=MAX_LEVERAGE), _LEVERAGE_SCHEMA]
        | None
    ) = Field(None, description="1 to 125; default from the settings, else the account's own.")
    queued_at: Instant | None = Field(
        None, description="When the producer published: ISO 8601, or milliseconds since 1970."
    )
    take_profit: Annotated[Number, AfterValidator(_positive)] | None = Field(
        None, description="Take-profit price, for LONG and SHORT."
    )
    stop_loss: Annotated[Number, AfterValidator(_positive)] | None = Field(
        None, description="Stop-loss price, for LONG and SHORT."
    )
    time_in_force: Annotated[TimeInForce, BeforeValidator(_upper)] | None = Field(
        None, description="GTC (default), IOC, FOK or POST_ONLY; for LIMIT."
    )
    margin_mode: Annotated[MarginMode, BeforeValidator(_upper)] | None = Field(
        None, description="CROSS or ISOLATED; default: as the account is set."
    )
    quantity_unit: Annotated[QuantityUnit, BeforeValidator(_lower)] = Field(
        QuantityUnit.BASE,
        description="base (default), or quote: then the order is for quantity × leverage ÷ price.",
    )
    expires_at: Instant | None = Field(
        None, description="Not sent after this instant, on any attempt."
    )
    account: Annotated[
        Literal["default"], Field(description="The account; only `default` so far.")
    ] = "default"
    test: bool = Field(
        default=False, strict=True, description="True: checked, sized and recorded, but not sent."
    )

    @model_validator(mode="after")
    def _consistent(self) -> TradeMessage:
        if self.order_type is OrderType.LIMIT and self.price is None:
            raise ValueError("a LIMIT order needs a price")
        if self.time_in_force is not None and self.order_type is OrderType.MARKET:
            raise ValueError("timeInForce is for LIMIT orders; a MARKET order is always IOC")
        if not self.action.opens and (self.take_profit or self.stop_loss):
            raise ValueError("takeProfit and stopLoss are for LONG and SHORT, not for a close")
        if not self.action.opens and self.quantity_unit is QuantityUnit.QUOTE:
            raise ValueError("a close counts in base coins: quantityUnit quote is for LONG, SHORT")
        return self

    @property
    def trade(self) -> TradeRequest:
        """What is wanted, without who asked and when."""
        return TradeRequest(
            symbol=self.symbol,
            action=self.action,
            quantity=self.quantity,
            quantity_unit=self.quantity_unit,
            order_type=self.order_type,
            price=self.price if self.order_type is OrderType.LIMIT else None,
            leverage=self.leverage,
            time_in_force=self.time_in_force,
            margin_mode=self.margin_mode,
            take_profit=self.take_profit,
            stop_loss=self.stop_loss,
        )

    @property
    def terms(self) -> dict[str, object]:
        """The fields that make two messages the same trade; when it was queued is not one."""
        return {
            "exchange": self.exchange,
            "action": self.action,
            "symbol": self.symbol,
            "quantity": self.quantity,
            "price": self.price,
            "orderType": self.order_type,
            "leverage": self.leverage,
            "takeProfit": self.take_profit,
            "stopLoss": self.stop_loss,
            "timeInForce": self.time_in_force,
            "marginMode": self.margin_mode,
            "quantityUnit": self.quantity_unit,
            "expiresAt": self.expires_at.isoformat() if self.expires_at else None,
            "account": self.account,
            "test": self.test or None,
        }

    @property
    def document(self) -> dict[str, object]:
        """The message as the ledger keeps it: normalised, numbers as text, absent fields left out.

        Holds what `terms` and the request id hold, and `queuedAt`.
        """
        kept: dict[str, object] = {"requestId": self.request_id}
        for name, value in self.terms.items():
            if value is not None:
                kept[name] = format(value, "f") if isinstance(value, Decimal) else value
        if self.queued_at is not None:
            kept["queuedAt"] = self.queued_at.isoformat()
        return kept
