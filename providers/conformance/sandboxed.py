"""A `Venue` over the sandbox of this package: the faults, the truth, the clock of a stand-in.

The sandbox runs in this process, one for each case, on a free port of loopback, without rate
limits. A sheet says what differs from venue to venue: endpoints, codes, settings.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from providers.conformance.venue import BOTH, Doing, TrueOrder, What
from providers.orders import PositionMode, PositionSide, Side
from providers.sandbox.faults import FaultKind, FaultRule
from providers.sandbox.sandbox import Credentials
from providers.sandbox.server import start_sandbox
from providers.sandbox.values import Leg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from providers.conformance.venue import Fault
    from providers.exchange import ExchangeClient, Provider
    from providers.outcomes import OutcomeClass
    from providers.sandbox.limits import LimitsSetting
    from providers.sandbox.server import RunningSandbox
    from providers.sandbox.values import Order
    from providers.settings import ExchangeSettings

PATIENCE: Final = 2.5
"""Seconds that a client waits for an answer; what is late is later than that."""

_BALANCE: Final = Decimal(1_000_000)
_KEYS: Final = Credentials(name="trader", key="conformance-key", secret="conformance-secret")  # noqa: S106 - made up, and good for a sandbox only
_FILL_DELAY: Final = 0.002
_LATE_MS: Final = 5500
_HIDDEN_MS: Final = 1500
_BAN_MS: Final = 1000
_SKEW_MS: Final = 60_000
_BAD_GATEWAY: Final = 502
_OK: Final = 200
_UNLISTED: Final = "987654"
_LEGS: Final = {Leg.NET: None, Leg.LONG: PositionSide.LONG, Leg.SHORT: PositionSide.SHORT}
_EVERYTHING: Final = (("", "*"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxVenue:
    """A venue of the sandbox; see `providers.conformance.venue.Venue`.

    Attributes:
        provider: what is examined.
        settings: settings that lead to a base URL with a key and a secret.
        endpoints: method and path pattern of what a client does; every look-up has to be there.
        codes: the venue's code for each class of refusal.
        maybe: the code by which the venue says that it does not know.
        unchanged: the code by which a setter says that it is so already, if it has one.
        overloaded: the code by which it says that it is overloaded, if that means no.
        reject_reason: the sandbox's word for a later rejection for want of margin.
    """

    provider: Provider
    settings: Callable[[str, str, str], ExchangeSettings]
    endpoints: Mapping[Doing, tuple[tuple[str, str], ...]]
    codes: Mapping[OutcomeClass, str]
    maybe: str
    cannot: Mapping[str, str]
    reject_reason: str
    unchanged: str = ""
    overloaded: str = ""
    symbol: str = "BTCUSDT"
    quantity: Decimal = Decimal("0.01")
    price: Decimal = Decimal(50_000)
    modes: tuple[PositionMode, ...] = BOTH

    @property
    def name(self) -> str:
        """As the provider is registered."""
        return self.provider.name

    @asynccontextmanager
    async def stage(self, mode: PositionMode) -> AsyncIterator[SandboxStage]:
        """Open a sandbox with one funded account."""
        stage = SandboxStage(self, mode)
        await stage.come_back()
        try:
            yield stage
        finally:
            await stage.go_away()


class SandboxStage:
    """One sandbox with one account; see `providers.conformance.venue.Stage`.

    Attributes:
        mode: the account's position mode.
    """

    def __init__(self, venue: SandboxVenue, mode: PositionMode) -> None:
        self._venue = venue
        self.mode = mode
        self._running: RunningSandbox | None = None
        self._base_url = ""
        self._port = 0

    @property
    def secrets(self) -> Sequence[str]:
        """Key and secret."""
        return (_KEYS.key, _KEYS.secret)

    @property
    def settings(self) -> ExchangeSettings:
        """Settings that lead to the account."""
        return self._venue.settings(self._base_url, _KEYS.key, _KEYS.secret)

    def connect(self, *, wrong_secret: bool = False) -> ExchangeClient:
        """Make a client of the account."""
        settings = self.settings
        if wrong_secret:
            settings = self._venue.settings(self._base_url, _KEYS.key, "another-secret")
        return self._venue.provider.create_client(settings)

    async def inject(self, fault: Fault) -> None:
        """Add a rule for each endpoint that does what the fault is to strike."""
        sandbox = self._sandbox.sandbox
        endpoints = self._endpoints(fault.doing)
        for method, path in endpoints:
            rule = _rule(fault, self._venue, method, path)
            sandbox.faults.add(rule, sandbox.clock.now_ms())

    async def orders(self, client_order_id: str) -> Sequence[TrueOrder]:
        """Every order of the truth that bears the id."""
        self._sandbox.sandbox.advance()
        truth = self._sandbox.sandbox.truth.orders
        return [_true(one) for one in truth if one.client_order_id == client_order_id]

    async def every_order(self) -> Sequence[TrueOrder]:
        """Every order of the truth."""
        self._sandbox.sandbox.advance()
        return [_true(one) for one in self._sandbox.sandbox.truth.orders]

    async def arrived(self, doing: Doing) -> int:
        """Count what the sandbox has seen; what still waits for its answer is not seen yet."""
        endpoints = self._endpoints(doing)
        return sum(
            seen.venue == self._venue.name
            and any(
                method in ("", seen.method) and fnmatchcase(seen.path, path)
                for method, path in endpoints
            )
            for seen in self._sandbox.sandbox.truth.recent
        )

    async def hold_price(self, price: Decimal) -> None:
        """Hold the symbol's price."""
        self._sandbox.sandbox.set_price(self._venue.symbol, price)

    def limit(self, setting: LimitsSetting) -> None:
        """Change the rate limits, which are off; no case of the suite does."""
        self._sandbox.sandbox.set_limits(setting)

    def turn(self, variant: str, value: str) -> None:
        """Turn a switch of the sandbox's side of the venue; no case of the suite does."""
        self._sandbox.sandbox.facade(self._venue.name).variants.set(variant, value)

    async def shift_clock(self, seconds: float) -> None:
        """Put the sandbox's clock forward."""
        by_ms = round(seconds * 1000)
        self._sandbox.sandbox.change_clock(lambda clock: clock.advance(by_ms))

    async def go_away(self) -> None:
        """Stop serving."""
        running, self._running = self._running, None
        if running is not None:
            await running.close()

    async def come_back(self) -> None:
        """Serve, with the account as it was at first; on the port of before, if there was one."""
        running = self._running = await start_sandbox(
            port=self._port, limits="off", fill_delay=_FILL_DELAY
        )
        self._port = running.port
        name = self._venue.name
        self._base_url = running.base_url(name)
        running.sandbox.add_account(
            name, _KEYS, balance=_BALANCE, hedge=self.mode is PositionMode.HEDGE
        )

    @property
    def _sandbox(self) -> RunningSandbox:
        if self._running is None:
            raise RuntimeError("the sandbox has gone away")
        return self._running

    def _endpoints(self, doing: Doing) -> tuple[tuple[str, str], ...]:
        return _EVERYTHING if doing is Doing.ANYTHING else self._venue.endpoints[doing]


def _rule(fault: Fault, venue: SandboxVenue, method: str, path: str) -> FaultRule:
    """The sandbox's words for a fault.

    Raises:
        ValueError: the sheet has no code for it; then the venue can't have the case.
    """
    values = _values(fault, venue)
    return FaultRule(venue=venue.name, method=method, endpoint=path, count=fault.times, **values)


def _values(fault: Fault, venue: SandboxVenue) -> dict[str, Any]:
    """Kind and fields: from the table, or with a code of the venue's sheet."""
    if fault.what is What.CUT:
        return {"kind": FaultKind.DROP_AFTER if fault.executed else FaultKind.DROP_BEFORE}
    values = dict(_FIXED.get(fault.what, ()))
    if not values:
        refusal = venue.codes.get(fault.outcome_class, "") if fault.outcome_class else ""
        values = _answer(
            {
                What.MAYBE: venue.maybe,
                What.REFUSED: refusal,
                What.UNCHANGED: venue.unchanged,
                What.OVERLOADED: venue.overloaded,
            }.get(fault.what, "")
        )
    if fault.what is What.REJECTED_LATER:
        values["message"] = venue.reject_reason
    if values["kind"] in (FaultKind.ANSWER, FaultKind.SERVER_ERROR):
        values["execute"] = fault.executed
    return values


_FIXED: Final[Mapping[What, dict[str, Any]]] = {
    What.LATE_REPLY: {"kind": FaultKind.DELAY_REPLY, "ms": _LATE_MS},
    What.LATE_PROCESSING: {"kind": FaultKind.DELAY_PROCESSING, "ms": _LATE_MS},
    What.SERVER_ERROR: {"kind": FaultKind.SERVER_ERROR, "status": _BAD_GATEWAY},
    What.NOT_JSON: {"kind": FaultKind.ANSWER, "status": _OK},
    What.UNKNOWN_CODE: {"kind": FaultKind.ANSWER, "code": _UNLISTED},
    What.RATE_LIMITED: {"kind": FaultKind.RATE_LIMIT},
    What.BANNED: {"kind": FaultKind.BAN, "ms": _BAN_MS},
    What.MAINTENANCE: {"kind": FaultKind.MAINTENANCE},
    What.CLOCK_BEHIND: {"kind": FaultKind.CLOCK_SKEW, "ms": -_SKEW_MS},
    What.CLOCK_AHEAD: {"kind": FaultKind.CLOCK_SKEW, "ms": _SKEW_MS},
    What.HIDDEN: {"kind": FaultKind.HIDE, "ms": _HIDDEN_MS},
    What.PARTIAL: {"kind": FaultKind.PARTIAL_CANCEL, "fraction": Decimal("0.3")},
    What.SPLIT: {"kind": FaultKind.SPLIT, "parts": 3},
    What.REJECTED_LATER: {"kind": FaultKind.REJECT_LATER},
}


def _answer(code: str) -> dict[str, Any]:
    if not code:
        raise ValueError("the venue's sheet has no code for this; declare that it can't be had")
    return {"kind": FaultKind.ANSWER, "code": code}


def _true(order: Order) -> TrueOrder:
    return TrueOrder(
        client_order_id=order.client_order_id,
        exchange_order_id=order.order_id,
        symbol=order.symbol,
        side=Side[order.side.name],
        leg=_LEGS[order.leg],
        reduces=order.reduce_only,
        quantity=order.qty,
        price=order.price,
        filled=order.filled,
        value=order.value,
        fee=order.fee,
        take_profit=order.protection.take_profit,
        stop_loss=order.protection.stop_loss,
    )
