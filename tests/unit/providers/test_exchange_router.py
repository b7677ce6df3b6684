"""The router and the registry: who is there, who is configured, and what one broken one may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import pytest

from providers.errors import (
    BrokenProvider,
    ExchangeUnavailable,
    NotConfigured,
    UnknownExchange,
)
from providers.outcomes import OutcomeClass
from providers.registry import GROUP, load_providers, provider_names
from providers.router import ExchangeRouter
from providers.settings import ExchangeSettings
from tests.unit.providers.helpers import FakeClient

if TYPE_CHECKING:
    from providers.exchange import ExchangeClient, Provider

DOWN = ExchangeUnavailable("b", "down", outcome_class=OutcomeClass.NOT_SENT)


@dataclass
class FakeProvider:
    name: str
    configured: bool = True
    made: list[FakeClient] = field(default_factory=list)
    failing: dict[str, Exception] = field(default_factory=dict)

    def has_credentials(self, settings: ExchangeSettings) -> bool:
        del settings
        return self.configured

    def create_client(self, settings: ExchangeSettings) -> ExchangeClient:
        del settings
        client = FakeClient(failing=self.failing)
        self.made.append(client)
        return client


def router_of(*providers: FakeProvider) -> ExchangeRouter:
    known: dict[str, Provider] = {provider.name: provider for provider in providers}
    return ExchangeRouter(known, ExchangeSettings())


# The router.


def test_names_are_all_and_configured_are_some() -> None:
    router = router_of(FakeProvider("a"), FakeProvider("b", configured=False))
    assert (router.names, router.configured) == (("a", "b"), ("a",))


async def test_a_client_and_its_preparation_are_made_once() -> None:
    provider = FakeProvider("a")
    router = router_of(provider)
    assert provider.made == []
    assert router.client("a") is router.client("a")
    assert router.preparation("a") is router.preparation("a")
    assert len(provider.made) == 1


@pytest.mark.parametrize("method", ["client", "preparation"])
def test_what_is_not_there_is_told_apart(method: str) -> None:
    router = router_of(FakeProvider("a"), FakeProvider("b", configured=False))
    with pytest.raises(UnknownExchange, match="'kraken'; known here: a, b"):
        getattr(router, method)("kraken")
    with pytest.raises(NotConfigured, match="not configured for b"):
        getattr(router, method)("b")


async def test_one_that_can_not_start_does_not_keep_the_others_from_it() -> None:
    good, broken = FakeProvider("a"), FakeProvider("b", failing={"start": DOWN})
    off = FakeProvider("c", configured=False)
    router = router_of(good, broken, off)
    assert await router.start() == {"b": DOWN}
    assert good.made[0].count("start") == 1
    assert off.made == []
    assert router.client("b") is broken.made[0]
    broken.failing.clear()
    assert await router.start() == {}


async def test_closing_closes_all_even_if_one_fails() -> None:
    broken, good = FakeProvider("a", failing={"aclose": DOWN}), FakeProvider("b")
    router = router_of(broken, good)
    await router.start()
    await router.aclose()
    assert (broken.made[0].count("aclose"), good.made[0].count("aclose")) == (1, 1)
    with pytest.raises(RuntimeError, match="closed"):
        router.client("b")


# The registry.

GOOD = FakeProvider("good")
SHOUTING = FakeProvider("SHOUTING")
NO_PROVIDER = object()


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{value}" if ":" not in value else value, GROUP)


def test_providers_are_found_by_entry_point() -> None:
    assert load_providers([point("good", "GOOD")]) == {"good": GOOD}


def test_bybit_can_be_loaded_as_it_is_registered() -> None:
    found = load_providers([point("bybit", "providers.bybit:PROVIDER")])
    assert found["bybit"].name == "bybit"


@pytest.mark.parametrize(
    ("points", "named", "reason"),
    [
        ([("gone", "no_such_module_here:PROVIDER")], "gone", "ModuleNotFoundError"),
        ([("gone", "providers.bybit:NOTHING")], "gone", "can't be imported"),
        ([("odd", "NO_PROVIDER")], "odd", "no method has_credentials"),
        ([("better", "GOOD")], "better", "calls itself 'good'"),
        ([("SHOUTING", "SHOUTING")], "SHOUTING", "lower case"),
        ([("good", "GOOD"), ("good", "GOOD")], "good", "two packages"),
    ],
)
def test_a_broken_plug_in_is_named(points: list[tuple[str, str]], named: str, reason: str) -> None:
    with pytest.raises(BrokenProvider, match=f"{named!r} can't be used: .*{reason}"):
        load_providers([point(*one) for one in points])


def test_names_are_known_without_an_import() -> None:
    assert provider_names([point("gone", "GONE"), point("good", "GOOD")]) == {"gone", "good"}
    assert {"bybit", "binance", "mexc"} <= provider_names()
