"""Checks of the exchanges, for `trade-worker doctor`: can they be reached, and may we trade?

Nothing is traded and no setting is changed. Whether orders are taken is asked of the exchange with
an order that it only looks at, or that can't trade; see each client's `check_order`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from providers.errors import ExchangeRefusal, NotConfigured, ProviderError, RequestRefused
from providers.exchange import ChecksOrders, ClearedByCheck, OpeningGate, TellsKeyRights
from providers.orders import (
    MarginMode,
    OrderType,
    PositionMode,
    PositionSide,
    PreparedOrder,
    Side,
)
from providers.outcomes import OutcomeClass
from providers.sizing import ceil_to, floor_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from providers.clock import Clock
    from providers.exchange import ExchangeClient
    from providers.router import ExchangeRouter

# Refusals by which an exchange shows that it would take orders of this key, only not this one.
_REACHED = frozenset({OutcomeClass.FILTER, OutcomeClass.MARGIN})
_BELOW_MARKET = Decimal("0.97")
_CAN_WITHDRAW = (
    "the key may WITHDRAW: whoever gets hold of it can empty the account. Take that right from it, "
    "or make another key"
)
_CLOCK_WARNING = 1.0  # seconds; an exchange accepts no timestamp further ahead of it


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    DANGER = "danger"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of one exchange; a danger is a warning that nobody may overlook."""

    exchange: str
    check: str
    verdict: Verdict
    says: str


async def examine(router: ExchangeRouter, name: str, symbol: str, clock: Clock) -> list[Finding]:
    """Check one exchange; goes on after a failed check where the next can still tell something."""
    try:
        client = router.client(name)
    except NotConfigured as error:
        return [Finding(name, "configured", Verdict.SKIPPED, str(error))]
    findings = [
        await _check(name, "reachable, clock", lambda: _clock(client, clock)),
        await _check(name, "instruments", lambda: _instrument(client, symbol)),
        await _check(name, "key, balance", lambda: _balance(client)),
        await _check(name, "key's rights", lambda: _rights(client)),
        await _check(name, "account setup", lambda: _setup(client, symbol)),
    ]
    orders = await _check(name, "order endpoint", lambda: _order_endpoint(client, symbol))
    findings.append(orders)
    if isinstance(client, OpeningGate):
        findings.append(Finding(name, "opening orders", *_opening(client, symbol, orders)))
    return findings


async def _check(
    exchange: str, check: str, look: Callable[[], Awaitable[tuple[Verdict, str]]]
) -> Finding:
    try:
        verdict, says = await look()
    except ProviderError as error:
        verdict, says = Verdict.FAILED, str(error)
    return Finding(exchange, check, verdict, says)


async def _clock(client: ExchangeClient, clock: Clock) -> tuple[Verdict, str]:
    sent = clock.now()
    server = await client.server_time()
    middle = sent + (clock.now() - sent) / 2
    offset = (server - middle).total_seconds()
    says = f"its clock is {offset:+.3f} s from ours; signatures use its clock"
    if abs(offset) > _CLOCK_WARNING:
        return Verdict.WARNING, f"{says}. Check system NTP sync."
    return Verdict.OK, says


async def _instrument(client: ExchangeClient, symbol: str) -> tuple[Verdict, str]:
    found = await client.instrument(symbol)
    says = (
        f"{symbol}: tick {found.tick:f}, lot {found.lot:f}, least {found.min_quantity:f}, "
        f"leverage to {found.max_leverage}"
    )
    return (Verdict.OK if found.tradable else Verdict.WARNING), says


async def _balance(client: ExchangeClient) -> tuple[Verdict, str]:
    balances = [balance for balance in await client.balances() if balance.total]
    says = ", ".join(f"{b.available:.2f} {b.currency} available" for b in balances[:3])
    return (Verdict.OK, says) if balances else (Verdict.WARNING, "the key works; no balance")


async def _setup(client: ExchangeClient, symbol: str) -> tuple[Verdict, str]:
    setup = await client.symbol_setup(symbol)
    margin = setup.margin_mode or "margin mode not told"
    leverage = f"leverage {setup.leverage:f}" if setup.leverage is not None else "no leverage told"
    return Verdict.OK, f"{symbol}: {setup.position_mode}, {margin}, {leverage}"


async def _rights(client: ExchangeClient) -> tuple[Verdict, str]:
    rights = await client.key_rights() if isinstance(client, TellsKeyRights) else None
    if rights is None:
        return (
            Verdict.SKIPPED,
            "can't be asked here: look on the exchange's site that the key may not withdraw",
        )
    if rights.withdraw:
        return Verdict.DANGER, _CAN_WITHDRAW
    if rights.trade is False:
        return Verdict.FAILED, "the key may not trade; give it the right to trade futures"
    if rights.addresses is False:
        return (
            Verdict.WARNING,
            "it may trade and not withdraw, but from everywhere; bind it to this machine's address",
        )
    return Verdict.OK, "it may trade, and not withdraw"


async def _order_endpoint(client: ExchangeClient, symbol: str) -> tuple[Verdict, str]:
    if not isinstance(client, ChecksOrders):
        await client.cancel(symbol, _new_id())
        return Verdict.OK, "the key may trade (tried by cancelling an order that does not exist)"
    order = await _trial(client, symbol)
    try:
        return Verdict.OK, await client.check_order(order)
    except ExchangeRefusal as error:
        if error.outcome_class not in _REACHED:
            raise
        return Verdict.OK, f"orders are taken; the one it was tried with would be refused: {error}"


async def _trial(client: ExchangeClient, symbol: str) -> PreparedOrder:
    """The smallest order to buy, well below the market, as the account is set up."""
    rules = await client.instrument(symbol)
    setup = await client.symbol_setup(symbol)
    mark = (await client.mark_price(symbol)).price
    price = floor_to(mark * _BELOW_MARKET, rules.tick)
    least = rules.min_quantity
    if rules.min_notional is not None and price > 0:
        least = max(least, ceil_to(rules.min_notional / price, rules.lot))
    hedge = setup.position_mode is PositionMode.HEDGE
    leverage = setup.leverage
    return PreparedOrder(
        client_order_id=_new_id(),
        symbol=symbol,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=least,
        reduce_only=False,
        price=price,
        position_side=PositionSide.LONG if hedge else None,
        leverage=rules.min_leverage if leverage is None else int(leverage),
        margin_mode=setup.margin_mode or MarginMode.ISOLATED,
    )


def _opening(client: OpeningGate, symbol: str, orders: Finding) -> tuple[Verdict, str]:
    """Whether positions may be opened, and how the gate is opened once its check has passed."""
    try:
        client.check_opening(symbol)
    except RequestRefused as error:
        if not isinstance(client, ClearedByCheck):
            return Verdict.WARNING, f"off: {error}"
        setting, word = client.clearance
        if orders.verdict is not Verdict.OK:
            return Verdict.WARNING, f"off, and {setting} stays untold until the check above passes"
        return (
            Verdict.WARNING,
            f"off. The check has passed: set {setting}={word} to let them through",
        )
    return Verdict.OK, "let through"


def _new_id() -> str:
    return f"tw-doctor-{secrets.token_hex(8)}"
