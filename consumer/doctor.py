"""Checks of the exchanges, for `trade-worker doctor`: can they be reached, and may we trade?

Only reads, and one cancel of an order that does not exist: it needs the right to trade, and
changes nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from providers.errors import NotConfigured, ProviderError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from providers.clock import Clock
    from providers.exchange import ExchangeClient
    from providers.router import ExchangeRouter

_CLOCK_WARNING = 1.0  # seconds; an exchange accepts no timestamp further ahead of it


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of one exchange."""

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
    return [
        await _check(name, "reachable, clock", lambda: _clock(client, clock)),
        await _check(name, "instruments", lambda: _instrument(client, symbol)),
        await _check(name, "key, balance", lambda: _balance(client)),
        await _check(name, "account setup", lambda: _setup(client, symbol)),
        await _check(name, "order endpoint", lambda: _order_endpoint(client, symbol)),
        Finding(
            name,
            "withdrawal right",
            Verdict.SKIPPED,
            "not checked: look on the exchange's site that the key may not withdraw",
        ),
    ]


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


async def _order_endpoint(client: ExchangeClient, symbol: str) -> tuple[Verdict, str]:
    await client.cancel(symbol, f"tw-doctor-{secrets.token_hex(8)}")
    return Verdict.OK, "the key may trade (tried by cancelling an order that does not exist)"
