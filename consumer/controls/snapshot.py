"""The config as execution reads it: parsed whole, never changed, a look-up is a dictionary read.

Pure. A value that can't be read, or a key that nobody knows, is never taken for "no limit": what
it might have limited is held until somebody puts it right.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from consumer.controls import registry as keys
from consumer.controls import values
from consumer.controls.values import Switch
from consumer.errors import ConfigRefused
from storage.config import MOST_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta
    from decimal import Decimal

    from consumer.controls.registry import Registry
    from consumer.controls.values import Rate
    from storage.config import Move, Stored

Scope = str | None  # an exchange, a symbol, or None for everything


def _nothing() -> MappingProxyType[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for one symbol; None where there is no limit."""

    max_leverage: int | None = None
    max_order_quantity: Decimal | None = None
    max_order_notional: Decimal | None = None
    max_position_size: Decimal | None = None
    price_band_percent: Decimal | None = None
    max_orders: Rate | None = None


@dataclass(frozen=True, slots=True)
class Lifted:
    """When a kill switch last stopped barring opening orders, and when it stopped barring all."""

    opening: datetime | None = None
    everything: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in the table that can't be obeyed as it stands.

    Attributes:
        key: as it is in the table.
        says: what is wrong and what would be right.
        scope: what is held because of it.
        closes_too: it may have been meant to stop closing orders as well.
    """

    key: str
    says: str
    scope: Scope
    closes_too: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The config at one version. Absent keys are absent here; see `registry.KEYS` for defaults."""

    version: int = 0
    values: Mapping[str, object] = field(default_factory=_nothing)
    faults: tuple[Fault, ...] = ()
    routing: Mapping[str, str] = field(default_factory=_nothing)
    default_routing: str | None = None
    disabled: frozenset[str] = frozenset()
    switches: Mapping[Scope, Switch] = field(default_factory=_nothing)
    lifted: Mapping[Scope, Lifted] = field(default_factory=_nothing)
    default_leverage: int | None = None
    limits: Limits = field(default_factory=Limits)
    limits_by_symbol: Mapping[str, Limits] = field(default_factory=_nothing)
    max_mark_age: timedelta | None = None
    max_signal_age: timedelta | None = None
    max_drawdown: Decimal | None = None
    symbols: frozenset[str] | None = None
    held: Mapping[Scope, Fault] = field(default_factory=_nothing)
    closes_held: Mapping[Scope, Fault] = field(default_factory=_nothing)

    def limits_for(self, symbol: str) -> Limits:
        """The limits of a symbol: its own where it has one, else everybody's."""
        return self.limits_by_symbol.get(symbol, self.limits)


_MOVE_CLOSES = (keys.KILL_SWITCH, keys.ROUTING, keys.DEFAULT_ROUTING)
_LIMIT_KEYS: MappingProxyType[str, str] = MappingProxyType(
    {
        "max_leverage": keys.MAX_LEVERAGE,
        "max_order_quantity": keys.MAX_ORDER_QUANTITY,
        "max_order_notional": keys.MAX_ORDER_NOTIONAL,
        "max_position_size": keys.MAX_POSITION_SIZE,
        "price_band_percent": keys.PRICE_BAND,
        "max_orders": keys.MAX_ORDERS,
    }
)


def parse(stored: Stored, registry: Registry) -> Snapshot:
    """Make a snapshot of what is stored."""
    if len(stored.values) > MOST_KEYS:
        too_many = Fault("config", f"the config has more than {MOST_KEYS} keys", None, True)
        return _snapshot(stored, {}, [too_many], {})
    found: dict[str, object] = {}
    faults: list[Fault] = []
    by_kind: dict[str, dict[Scope, Any]] = {}
    for name, text in stored.values.items():
        try:
            known, value = registry.read(name, text)
        except ConfigRefused as refused:
            faults.append(_fault(name, str(refused), registry))
        else:
            found[name] = value
            by_kind.setdefault(known.key.name, {})[known.scope] = value
    return _snapshot(stored, found, faults, by_kind)


def _snapshot(
    stored: Stored,
    found: Mapping[str, object],
    faults: Sequence[Fault],
    by_kind: Mapping[str, Mapping[Scope, Any]],
) -> Snapshot:
    return Snapshot(
        version=stored.version,
        values=MappingProxyType(found),
        faults=tuple(sorted(faults, key=lambda fault: fault.key)),
        routing=_frozen(by_kind.get(f"{keys.ROUTING}:{keys.SYMBOL}", {})),
        default_routing=_one(by_kind, keys.DEFAULT_ROUTING),
        disabled=frozenset(
            scope
            for scope, enabled in by_kind.get(keys.ENABLED, {}).items()
            if scope is not None and not enabled
        ),
        switches=_frozen(
            {
                scope: switch
                for scope, switch in by_kind.get(keys.KILL_SWITCH, {}).items()
                if switch is not Switch.OFF
            }
        ),
        lifted=_frozen(_lifted(stored.moves)),
        default_leverage=_one(by_kind, keys.DEFAULT_LEVERAGE),
        limits=_limits(by_kind, None),
        limits_by_symbol=_frozen(
            {
                scope: _limits(by_kind, scope)
                for kind in _LIMIT_KEYS.values()
                for scope in by_kind.get(kind, {})
                if scope is not None
            }
        ),
        max_mark_age=_one(by_kind, keys.MAX_MARK_AGE),
        max_signal_age=_one(by_kind, keys.MAX_SIGNAL_AGE),
        max_drawdown=_one(by_kind, keys.MAX_DRAWDOWN),
        symbols=_one(by_kind, keys.SYMBOLS),
        held=_by_scope(faults),
        closes_held=_by_scope(fault for fault in faults if fault.closes_too),
    )


def _fault(name: str, says: str, registry: Registry) -> Fault:
    """Say what must be held for a key or value that can't be read.

    Everything, if it is not even known what the key is about: it may be a limit that this version
    does not know, or one that a hand has spelled wrong. A kill switch may have been meant as `on`,
    and without the routing it is not known where the position is that a close is for.
    """
    try:
        scope = registry.known(name).scope
    except ConfigRefused:
        scope = None
    return Fault(name, says, scope, closes_too=name.startswith(_MOVE_CLOSES))


def _limits(by_kind: Mapping[str, Mapping[Scope, Any]], scope: Scope) -> Limits:
    found: dict[str, Any] = {}
    for one in fields(Limits):
        values_by_scope = by_kind.get(_LIMIT_KEYS[one.name], {})
        found[one.name] = values_by_scope.get(scope, values_by_scope.get(None))
    return Limits(**found)


def _one(by_kind: Mapping[str, Mapping[Scope, Any]], name: str) -> Any:  # noqa: ANN401 - by kind
    return by_kind.get(name, {}).get(None)


def _lifted(moves: Iterable[Move]) -> dict[Scope, Lifted]:
    """Say until when each kill switch barred orders, from its history."""
    lifted: dict[Scope, Lifted] = {}
    for move in moves:
        _, _, rest = move.key.partition(keys.KILL_SWITCH)
        scope = rest.removeprefix(":") or None
        before, after = barred(move.old), barred(move.new)
        known = lifted.get(scope, Lifted())
        opening, everything = known.opening, known.everything
        if before is not Switch.OFF and after is Switch.OFF:
            opening = _later(opening, move.at)
        if before is Switch.ON and after is not Switch.ON:
            everything = _later(everything, move.at)
        lifted[scope] = Lifted(opening, everything)
    return {scope: one for scope, one in lifted.items() if one != Lifted()}


def barred(text: str | None) -> Switch:
    """Say what a stored kill switch bars; one that can't be read bars everything."""
    if text is None:
        return Switch.OFF
    try:
        return values.switch(text)
    except ValueError:
        return Switch.ON


def _later(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else max(one, other)


def _by_scope(faults: Iterable[Fault]) -> Mapping[Scope, Fault]:
    first: dict[Scope, Fault] = {}
    for fault in faults:
        first.setdefault(fault.scope, fault)
    return MappingProxyType(first)


def _frozen(mapping: Mapping[Any, Any]) -> Mapping[Any, Any]:
    return MappingProxyType(dict(mapping))
