"""The suite is able to fail: a provider with one thing wrong fails the cases that speak of it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from providers.conformance import CASES, Verdict, examine, runs
from providers.conformance.builtin import BYBIT
from providers.errors import ExchangeError
from providers.outcomes import OutcomeClass, PlacementKind, permitted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from providers.exchange import ExchangeClient
    from providers.orders import OrderView, Position, PreparedOrder
    from providers.outcomes import Permit, Placement
    from providers.settings import ExchangeSettings


class Wrong:
    """A client that does everything as the one inside, but for what a subclass gets wrong."""

    def __init__(self, inside: ExchangeClient) -> None:
        self.inside = inside

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the client has
        return getattr(self.inside, name)


class TakesUnknownForNo(Wrong):
    async def place(self, order: PreparedOrder, permit: Permit = permitted) -> Placement:
        placement = await self.inside.place(order, permit)
        if placement.kind is PlacementKind.UNKNOWN:
            return replace(placement, kind=PlacementKind.REJECTED)
        return placement


class SendsAgain(Wrong):
    async def place(self, order: PreparedOrder, permit: Permit = permitted) -> Placement:
        placement = await self.inside.place(order, permit)
        if placement.kind is PlacementKind.UNKNOWN:
            return await self.inside.place(order, permit)
        return placement


class TakesErrorsForFlat(Wrong):
    async def positions(self, symbol: str | None = None) -> Sequence[Position]:
        try:
            return await self.inside.positions(symbol)
        except ExchangeError:
            return []


class TakesErrorsForNotFound(Wrong):
    async def find_order(self, symbol: str, client_order_id: str) -> OrderView | None:
        try:
            return await self.inside.find_order(symbol, client_order_id)
        except ExchangeError:
            return None


class RoundsThroughFloat(Wrong):
    async def place(self, order: PreparedOrder, permit: Permit = permitted) -> Placement:
        rough = Decimal(repr(float(order.quantity) * 1.0000001))
        return await self.inside.place(replace(order, quantity=rough), permit)


class OpensInsteadOfReducing(Wrong):
    async def place(self, order: PreparedOrder, permit: Permit = permitted) -> Placement:
        return await self.inside.place(replace(order, reduce_only=False), permit)


class CallsEverythingMargin(Wrong):
    async def place(self, order: PreparedOrder, permit: Permit = permitted) -> Placement:
        placement = await self.inside.place(order, permit)
        if placement.kind is PlacementKind.REJECTED:
            return replace(placement, outcome_class=OutcomeClass.MARGIN)
        return placement


class AlwaysSetsLeverage(Wrong):
    async def place(self, order: PreparedOrder, permit: Permit = permitted) -> Placement:
        if order.leverage is not None:
            await self.inside.set_leverage(order.symbol, order.leverage, None)
        return await self.inside.place(order, permit)


class ProviderOf:
    def __init__(self, make: Callable[[ExchangeClient], Any]) -> None:
        self.make = make
        self.name = "bybit"

    def has_credentials(self, settings: ExchangeSettings) -> bool:
        return BYBIT.provider.has_credentials(settings)

    def create_client(self, settings: ExchangeSettings) -> ExchangeClient:
        made: ExchangeClient = self.make(BYBIT.provider.create_client(settings))
        return made


@pytest.mark.parametrize(
    ("wrong", "cases"),
    [
        (TakesUnknownForNo, ["C51", "C57"]),
        (SendsAgain, ["C51"]),
        (TakesErrorsForFlat, ["C66"]),
        (TakesErrorsForNotFound, ["C65"]),
        (RoundsThroughFloat, ["C17"]),
        (OpensInsteadOfReducing, ["C22", "C28"]),
        (CallsEverythingMargin, ["C36"]),
        (AlwaysSetsLeverage, ["C16"]),
    ],
)
async def test_a_provider_with_something_wrong_fails(wrong: type[Wrong], cases: list[str]) -> None:
    results = await examine(replace(BYBIT, provider=ProviderOf(wrong)), [*cases, "C79"])
    one_way = {one.number: one.verdict for one in results if one.mode == "ONE_WAY"}
    assert one_way == dict.fromkeys(cases, Verdict.FAILED) | {"C79": Verdict.PASSED}


async def test_what_can_not_be_had_is_told_with_its_reason() -> None:
    results = await examine(BYBIT, ["C71"])
    assert {one.verdict for one in results} == {Verdict.CANNOT}
    assert all("Bybit does not say" in one.says for one in results)


@pytest.mark.parametrize("cannot", [{"C0": "no such case"}, {"C71": " "}])
def test_a_case_that_is_left_out_must_exist_and_have_a_reason(cannot: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="which case"):
        runs(replace(BYBIT, cannot=cannot))


def test_every_number_is_used_once_and_without_a_gap() -> None:
    assert [one.number for one in CASES] == [f"C{n:02d}" for n in range(1, len(CASES) + 1)]
    assert len({one.says for one in CASES}) == len(CASES)
