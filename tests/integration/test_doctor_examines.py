"""`doctor` over the three exchanges of the sandbox: it tells the truth and trades nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consumer.doctor import Verdict, examine
from providers.clock import SystemClock
from providers.conformance.builtin import BINANCE, BYBIT, MEXC
from providers.conformance.venue import Doing, Fault, What
from providers.orders import MarginMode, PositionMode
from providers.outcomes import OutcomeClass
from providers.router import ExchangeRouter

if TYPE_CHECKING:
    from providers.conformance.sandboxed import SandboxStage, SandboxVenue

BOTH = (PositionMode.ONE_WAY, PositionMode.HEDGE)


async def verdicts(venue: SandboxVenue, stage: SandboxStage) -> dict[str, Verdict]:
    router = ExchangeRouter({venue.name: venue.provider}, stage.settings)
    try:
        findings = await examine(router, venue.name, venue.symbol, SystemClock())
    finally:
        await router.aclose()
    return {one.check: one.verdict for one in findings}


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("venue", [BYBIT, BINANCE, MEXC], ids=lambda venue: venue.name)
async def test_a_good_account_passes_and_nothing_is_placed(
    venue: SandboxVenue, mode: PositionMode
) -> None:
    async with venue.stage(mode) as stage:
        seen = await verdicts(venue, stage)
        assert await stage.every_order() == []
    assert seen.pop("key's rights") is (Verdict.SKIPPED if venue is MEXC else Verdict.WARNING)
    assert set(seen.values()) == {Verdict.OK}
    assert ("opening orders" in seen) is (venue is MEXC)


@pytest.mark.parametrize("venue", [BYBIT, BINANCE], ids=lambda venue: venue.name)
async def test_the_rights_of_a_key_are_told(venue: SandboxVenue) -> None:
    async with venue.stage(PositionMode.ONE_WAY) as stage:
        stage.turn("key_rights", "withdraw")
        seen = await verdicts(venue, stage)
        assert (seen["key's rights"], seen["order endpoint"]) == (Verdict.DANGER, Verdict.OK)
        stage.turn("key_rights", "read_only")
        seen = await verdicts(venue, stage)
        assert (seen["key's rights"], seen["order endpoint"]) == (Verdict.FAILED, Verdict.FAILED)
        assert (seen["key, balance"], seen["account setup"]) == (Verdict.OK, Verdict.OK)


@pytest.mark.parametrize(
    "outcome_class", [OutcomeClass.NOT_TRADABLE, OutcomeClass.AUTH, OutcomeClass.PARAMETER]
)
async def test_an_order_endpoint_of_mexc_that_takes_no_orders_fails_its_check(
    outcome_class: OutcomeClass,
) -> None:
    async with MEXC.stage(PositionMode.ONE_WAY) as stage:
        await stage.inject(Fault(What.REFUSED, Doing.PLACE, outcome_class=outcome_class))
        assert (await verdicts(MEXC, stage))["order endpoint"] is Verdict.FAILED


async def test_bybits_isolated_accounts_are_asked_another_way() -> None:
    async with BYBIT.stage(PositionMode.ONE_WAY) as stage:
        client = stage.connect()
        await client.set_margin_mode("BTCUSDT", MarginMode.ISOLATED, None)
        await client.aclose()
        assert (await verdicts(BYBIT, stage))["order endpoint"] is Verdict.OK
