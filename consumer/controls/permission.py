"""Whether an order may go out at all, as far as the config says. Pure; asked at every send.

Nothing here looks at what the order is worth: that is `consumer.controls.limits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from consumer.controls import registry as keys
from consumer.controls.snapshot import Lifted
from consumer.controls.values import Switch
from storage.states import OrderState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from consumer.controls.snapshot import Fault, Snapshot

KILL_SWITCH_ACTIVE = "KILL_SWITCH_ACTIVE"
EXCHANGE_DISABLED = "EXCHANGE_DISABLED"
SYMBOL_NOT_ALLOWED = "SYMBOL_NOT_ALLOWED"
CONFIG_FAULT = "CONFIG_FAULT"
CONFIG_STALE = "CONFIG_STALE"
_NEVER = Lifted()
_Scopes = tuple[str | None, str, str]


@dataclass(frozen=True, slots=True)
class Denial:
    """Why an order is not sent.

    Attributes:
        code: a short word: a dead letter's reason.
        control: the config key, or the name of the check.
        limit: what it is set to.
        value: what the order would make of it; None where there is nothing to compare.
        says: all of it, for people.
        then: DENIED or EXPIRED for good; DEFERRED comes back later.
    """

    code: str
    control: str
    limit: str
    value: str | None
    says: str
    then: OrderState = OrderState.DENIED

    @property
    def detail(self) -> Mapping[str, object]:
        """What the event of it holds."""
        verdict = {"control": self.control, "limit": self.limit, "value": self.value}
        return {"denied": {name: text for name, text in verdict.items() if text is not None}}


def forbidden(
    snapshot: Snapshot, exchange: str, symbol: str, *, opens: bool, wanted_at: datetime | None
) -> Denial | None:
    """Say what forbids an order, or None.

    Args:
        snapshot: the config.
        exchange: where it would go.
        symbol: of what.
        opens: it may enlarge a position.
        wanted_at: when the ledger first knew of it, or a replay took it up; the database's clock.
    """
    scopes = (None, exchange, symbol)
    denial = (
        _barred(snapshot, scopes, opens=opens)
        or _was_barred(snapshot, scopes, opens=opens, wanted_at=wanted_at)
        or _held(snapshot.held if opens else snapshot.closes_held, scopes)
    )
    if denial is None and opens:
        denial = _not_to_be_opened(snapshot, exchange, symbol)
    return denial


def switch_key(scope: str | None) -> str:
    """Write the key of a kill switch; None is the one for everything."""
    return keys.KILL_SWITCH if scope is None else f"{keys.KILL_SWITCH}:{scope}"


def _barred(snapshot: Snapshot, scopes: _Scopes, *, opens: bool) -> Denial | None:
    for scope in scopes if snapshot.switches else ():
        switch = snapshot.switches.get(scope)
        if switch is Switch.ON or (switch is Switch.REDUCE_ONLY and opens):
            key = switch_key(scope)
            what = "sent" if switch is Switch.ON else "opened"
            value = "opens" if opens else "closes"
            return Denial(
                KILL_SWITCH_ACTIVE, key, switch, value, f"{key} is {switch}: nothing may be {what}"
            )
    return None


def _was_barred(
    snapshot: Snapshot, scopes: _Scopes, *, opens: bool, wanted_at: datetime | None
) -> Denial | None:
    """Deny what was wanted before a kill switch was lifted: nothing executes by itself then."""
    if not snapshot.lifted or wanted_at is None:
        return None
    for scope in scopes:
        lifted = snapshot.lifted.get(scope, _NEVER)
        ends = (lifted.everything, lifted.opening if opens else None)
        until = max((end for end in ends if end is not None), default=wanted_at)
        if wanted_at < until:
            key, since, lifted_at = switch_key(scope), wanted_at.isoformat(), until.isoformat()
            return Denial(
                KILL_SWITCH_ACTIVE,
                key,
                f"lifted {lifted_at}",
                since,
                f"{key} was lifted at {lifted_at}, and this order is wanted since {since}: it is "
                "not sent by itself now; a replay sends it",
            )
    return None


def _held(faults: Mapping[str | None, Fault], scopes: _Scopes) -> Denial | None:
    for scope in scopes if faults else ():
        fault = faults.get(scope)
        if fault is not None:
            says = f"held until the config is put right: {fault.says}"
            return Denial(CONFIG_FAULT, fault.key, "readable", None, says, OrderState.DEFERRED)
    return None


def _not_to_be_opened(snapshot: Snapshot, exchange: str, symbol: str) -> Denial | None:
    if exchange in snapshot.disabled:
        key = keys.ENABLED.replace(keys.EXCHANGE, exchange)
        says = f"{key} is false: nothing may be opened there"
        return Denial(EXCHANGE_DISABLED, key, "false", None, says)
    if snapshot.symbols is not None and symbol not in snapshot.symbols:
        allowed = ",".join(sorted(snapshot.symbols))
        says = f"{keys.SYMBOLS} is {allowed}: {symbol} may not be opened"
        return Denial(SYMBOL_NOT_ALLOWED, keys.SYMBOLS, allowed, symbol, says)
    return None
