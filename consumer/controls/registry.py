"""Every key of the config store: its form, its value's type, what it means. Pure.

A key is written in parts separated by colons; `<exchange>` stands for the name of one that is
registered, `<SYMBOL>` for a symbol in capitals without a separator. Whoever writes to the store
asks `Registry.accept` first.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consumer.controls import values
from consumer.errors import ConfigRefused
from providers.symbols import SPELLING, normalise
from storage.config import LONGEST_VALUE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

EXCHANGE = "<exchange>"
SYMBOL = "<SYMBOL>"
_SCOPES = frozenset({EXCHANGE, SYMBOL})
_CLOSE = 0.8  # how much alike two keys are of which one may be meant for the other

KILL_SWITCH = "trade:kill_switch"
ROUTING = "exchanges:routing"
DEFAULT_ROUTING = "exchanges:default_routing"
ENABLED = f"exchanges:{EXCHANGE}:enabled"
DEFAULT_LEVERAGE = "trade:default_leverage"
MAX_LEVERAGE = "trade:max_leverage"
MAX_ORDER_QUANTITY = "trade:max_order_quantity"
MAX_ORDER_NOTIONAL = "trade:max_order_notional"
MAX_POSITION_SIZE = "trade:max_position_size"
PRICE_BAND = "trade:price_band_percent"
MAX_ORDERS = "trade:max_orders_per_symbol"
MAX_MARK_AGE = "trade:max_mark_age_seconds"
MAX_SIGNAL_AGE = "trade:max_signal_age_seconds"
MAX_DRAWDOWN = "trade:max_daily_drawdown_percent"
SYMBOLS = "trade:symbols"


@dataclass(frozen=True, slots=True)
class Key:
    """A kind of key.

    Attributes:
        patterns: the forms it is written in.
        parse: reads a value; None where the value names an exchange.
        expected: what a value looks like.
        default: what holds while it is not set.
        meaning: what it does.
    """

    patterns: tuple[str, ...]
    parse: Callable[[str], object] | None
    expected: str
    default: str
    meaning: str

    @property
    def name(self) -> str:
        """The first form, by which code speaks of it."""
        return self.patterns[0]


def _scoped(name: str, *scopes: str) -> tuple[str, ...]:
    return (name, *(f"{name}:{scope}" for scope in scopes))


_EXCHANGE_NAME = "the name of an exchange"
_NUMBER = "a number greater than 0, such as 2500 or 0.5"
_PERCENT = "a number greater than 0 and at most 100, such as 2.5"
_AGE = "seconds, greater than 0, at most 86400, such as 30"
_LEVERAGE = "a whole number from 1 to 125"

KEYS: tuple[Key, ...] = (
    Key(
        (f"{ROUTING}:{SYMBOL}",), None, _EXCHANGE_NAME, "",
        "All orders of the symbol go there, whatever their message says.",
    ),
    Key(
        (DEFAULT_ROUTING,), None, _EXCHANGE_NAME, "DEFAULT_EXCHANGE",
        "Where orders go whose message names no exchange and whose symbol is not redirected.",
    ),
    Key(
        (ENABLED,), values.truth, "true or false", "true",
        "`false` denies orders that open a position there (`EXCHANGE_DISABLED`).",
    ),
    Key(
        _scoped(KILL_SWITCH, EXCHANGE, SYMBOL), values.switch, "off, reduce_only or on", "off",
        "`reduce_only` denies what opens a position, `on` denies everything "
        "(`KILL_SWITCH_ACTIVE`); the strictest that applies counts.",
    ),
    Key(
        (DEFAULT_LEVERAGE,), values.leverage, _LEVERAGE, "DEFAULT_LEVERAGE",
        "Leverage of orders that name none.",
    ),
    Key(
        _scoped(MAX_LEVERAGE, SYMBOL), values.leverage, _LEVERAGE, "",
        "No position is opened with more.",
    ),
    Key(
        _scoped(MAX_ORDER_QUANTITY, SYMBOL), values.positive, _NUMBER, "",
        "Largest quantity of one opening order, in base coins.",
    ),
    Key(
        _scoped(MAX_ORDER_NOTIONAL, SYMBOL), values.positive, _NUMBER, "",
        "Largest worth of one opening order, in quote currency.",
    ),
    Key(
        _scoped(MAX_POSITION_SIZE, SYMBOL), values.positive, _NUMBER, "",
        "Largest worth of a symbol's position on one exchange, in quote currency, with what is "
        "resting, under way or of unknown outcome.",
    ),
    Key(
        _scoped(PRICE_BAND, SYMBOL), values.percent, _PERCENT, "",
        "Limit orders that open are priced at most this far from the mark price.",
    ),
    Key(
        (MAX_MARK_AGE,), values.seconds, _AGE, "",
        "Market orders that open need a mark price no older than this; without it the limits "
        "that need a mark price take one of up to 5 seconds.",
    ),
    Key(
        _scoped(MAX_ORDERS, SYMBOL), values.rate, "so many in so long, such as 10/60s", "",
        "Most opening orders of one symbol and exchange in any such window.",
    ),
    Key(
        (MAX_SIGNAL_AGE,), values.seconds, _AGE, "",
        "Orders whose `queuedAt` (else their arrival) is longer ago are not sent, on any attempt.",
    ),
    Key(
        (MAX_DRAWDOWN,), values.percent, _PERCENT, "",
        "Once an exchange's equity is this far below the day's start (UTC), its kill switch is "
        "turned to `reduce_only`; a person turns it off.",
    ),
    Key(
        (SYMBOLS,), values.symbols, "symbols separated by commas, such as BTCUSDT,ETHUSDT", "",
        "Only these may be opened.",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Known:
    """A key as the registry reads it.

    Attributes:
        key: its kind.
        scope: the exchange or symbol it is about; None if about all.
    """

    key: Key
    scope: str | None


class Registry:
    """The keys, for a certain set of exchanges.

    Args:
        exchanges: the names of those that are registered.
        keys: the kinds of keys.
    """

    def __init__(self, exchanges: Iterable[str], keys: Iterable[Key] = KEYS) -> None:
        self.exchanges = frozenset(exchanges)
        self._kinds = {tuple(pattern.split(":")): key for key in keys for pattern in key.patterns}

    def known(self, name: str) -> Known:
        """Find what a key is.

        Raises:
            ConfigRefused: there is none of that form; says which comes close.
        """
        parts = tuple(name.split(":"))
        key = self._kinds.get(parts)
        if key is not None and not _SCOPES.intersection(parts):
            return Known(key, None)
        for place, part in enumerate(parts[1:], 1):
            key = self._kinds.get((*parts[:place], self._kind_of(part), *parts[place + 1 :]))
            if key is not None:
                return Known(key, part)
        raise ConfigRefused(f"there is no key {name[:80]!r}; {self._instead(name)}")

    def read(self, name: str, text: str) -> tuple[Known, object]:
        """Read a key and its value.

        Raises:
            ConfigRefused: either is not what it should be.
        """
        known = self.known(name)
        if len(text) > LONGEST_VALUE:
            raise ConfigRefused(f"{name} can't be longer than {LONGEST_VALUE} characters")
        try:
            return known, self._value(known.key, text)
        except ValueError:
            raise ConfigRefused(
                f"{name} can't be {text[:80]!r}; expected: {self.expected(known.key)}"
            ) from None

    def accept(self, changes: Mapping[str, str | None]) -> dict[str, str | None]:
        """Check what somebody wants to write; returns it as it is to be stored.

        A key that is to be removed (None) may be of any form, so that a wrong one can be.

        Raises:
            ConfigRefused: for the first that is wrong.
        """
        accepted: dict[str, str | None] = {}
        for name, text in changes.items():
            accepted[name] = (
                None if text is None else values.text_of(self.read(name, text.strip())[1])
            )
        return accepted

    def expected(self, key: Key) -> str:
        """Say what a value of a key looks like."""
        if key.parse is None:
            return f"{key.expected}: {', '.join(sorted(self.exchanges))}"
        return key.expected

    def _value(self, key: Key, text: str) -> object:
        if key.parse is not None:
            return key.parse(text)
        if text not in self.exchanges:
            raise ValueError(text)
        return text

    def _kind_of(self, part: str) -> str:
        """Say which scope a part of a key names; "" for none."""
        if part in self.exchanges:
            return EXCHANGE
        # An exchange in capitals is no symbol: a switch of that name would stop nothing.
        return SYMBOL if part.lower() not in self.exchanges and _is_symbol(part) else ""

    def _instead(self, name: str) -> str:
        like = {form.lower(): form for form in self._written_like(name.rpartition(":")[2])}
        near = difflib.get_close_matches(name.lower(), like, n=1, cutoff=_CLOSE)
        if near:
            return f"did you mean {like[near[0]]}?"
        forms = [":".join(one) for one in self._kinds if list(one[:2]) == name.split(":")[:2]]
        if not forms:
            return "`trade-worker config list --all` shows them"
        names = ", ".join(sorted(self.exchanges))
        return f"expected: {' or '.join(forms)} ({EXCHANGE} is one of {names}; symbols as BTCUSDT)"

    def _written_like(self, last: str) -> list[str]:
        """Every key that somebody may have meant whose key ends so."""
        forms = [":".join(one) for one in self._kinds]
        exchange = difflib.get_close_matches(last.lower(), self.exchanges, n=1, cutoff=_CLOSE)
        if not exchange and SPELLING.fullmatch(last):
            forms = [form.replace(SYMBOL, normalise(last)) for form in forms]
        every = [form.replace(EXCHANGE, one) for form in forms for one in self.exchanges]
        return sorted(form for form in every if SYMBOL not in form)


def _is_symbol(text: str) -> bool:
    try:
        return normalise(text) == text
    except ValueError:
        return False
