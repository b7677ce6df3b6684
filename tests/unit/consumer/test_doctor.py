"""What `doctor` says of a key, of the order endpoint and of a gate, by what a client tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from consumer.doctor import Finding, Verdict, examine
from providers.errors import ExchangeRefusal, RequestRefused
from providers.exchange import KeyRights
from providers.outcomes import OutcomeClass
from providers.router import ExchangeRouter
from providers.settings import ExchangeSettings
from tests.unit.providers.helpers import FakeClient

if TYPE_CHECKING:
    from providers.exchange import ExchangeClient
    from providers.orders import PreparedOrder


@dataclass
class Examined(FakeClient):
    """A client that tells rights, looks at orders and has a gate."""

    rights: KeyRights | None = None
    refuses: OutcomeClass | None = None
    opening: bool = True
    looked_at: list[PreparedOrder] = field(default_factory=list)

    clearance = ("MEXC_ALLOW_OPENING", "checked-0123456789ab")

    async def key_rights(self) -> KeyRights | None:
        return self.rights

    async def check_order(self, order: PreparedOrder) -> str:
        self.looked_at.append(order)
        if self.refuses is not None:
            raise ExchangeRefusal("fake", "no", outcome_class=self.refuses, code="1")
        return "looked at"

    def check_opening(self, symbol: str) -> None:
        if not self.opening:
            raise RequestRefused("EXCHANGE_NOT_CLEARED", f"{symbol} can't be opened")


@dataclass
class OneClient:
    client: ExchangeClient
    name: str = "fake"

    def has_credentials(self, settings: ExchangeSettings) -> bool:
        del settings
        return True

    def create_client(self, settings: ExchangeSettings) -> ExchangeClient:
        del settings
        return self.client


async def found(client: FakeClient) -> dict[str, Finding]:
    router = ExchangeRouter({"fake": OneClient(client)}, ExchangeSettings())
    findings = await examine(router, "fake", "BTCUSDT", client.clock)
    return {one.check: one for one in findings}


@pytest.mark.parametrize(
    ("rights", "verdict", "says"),
    [
        (KeyRights(True, True, True), Verdict.DANGER, "WITHDRAW"),
        (KeyRights(False, True, True), Verdict.DANGER, "WITHDRAW"),
        (KeyRights(False, False, True), Verdict.FAILED, "may not trade"),
        (KeyRights(True, False, False), Verdict.WARNING, "from everywhere"),
        (KeyRights(True, False, True), Verdict.OK, "not withdraw"),
        (KeyRights(True, False, None), Verdict.OK, "not withdraw"),
        (None, Verdict.SKIPPED, "on the exchange's site"),
    ],
)
async def test_rights(rights: KeyRights | None, verdict: Verdict, says: str) -> None:
    finding = (await found(Examined(rights=rights)))["key's rights"]
    assert finding.verdict is verdict
    assert says in finding.says


async def test_an_exchange_that_tells_no_rights_is_not_guessed_about() -> None:
    assert (await found(FakeClient()))["key's rights"].verdict is Verdict.SKIPPED


@pytest.mark.parametrize(
    ("refuses", "verdict"),
    [
        (None, Verdict.OK),
        (OutcomeClass.MARGIN, Verdict.OK),
        (OutcomeClass.FILTER, Verdict.OK),
        (OutcomeClass.PARAMETER, Verdict.FAILED),
        (OutcomeClass.AUTH, Verdict.FAILED),
        (OutcomeClass.NOT_TRADABLE, Verdict.FAILED),
    ],
)
async def test_the_order_endpoint(refuses: OutcomeClass | None, verdict: Verdict) -> None:
    client = Examined(refuses=refuses)
    assert (await found(client))["order endpoint"].verdict is verdict
    (order,) = client.looked_at
    assert not order.reduce_only
    assert order.quantity * (order.price or 0) >= 5, "worth what the symbol wants at least"
    assert order.price is not None
    assert order.price < client.mark
    assert client.count("place") == 0


async def test_without_a_way_to_look_an_order_that_is_not_there_is_cancelled() -> None:
    client = FakeClient()
    assert (await found(client))["order endpoint"].verdict is Verdict.OK
    assert client.count("cancel") == 1


async def test_a_gate_tells_its_word_only_once_its_check_has_passed() -> None:
    word = Examined.clearance[1]
    shut = (await found(Examined(opening=False)))["opening orders"]
    assert (shut.verdict, f"MEXC_ALLOW_OPENING={word}" in shut.says) == (Verdict.WARNING, True)
    failed = Examined(opening=False, refuses=OutcomeClass.NOT_TRADABLE)
    kept = (await found(failed))["opening orders"]
    assert (kept.verdict, word in kept.says) == (Verdict.WARNING, False)
    opened = (await found(Examined(opening=True)))["opening orders"]
    assert opened.verdict is Verdict.OK
    assert "opening orders" not in await found(FakeClient())
