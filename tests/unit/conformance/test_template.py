"""The template for an exchange of one's own: found as a plug-in is, and held to the suite."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from providers.conformance import Run, carry_out, runs
from providers.errors import NotConfigured
from providers.registry import GROUP, load_providers
from providers.router import ExchangeRouter
from providers.settings import ExchangeSettings
from providers.template.standin import VENUE

ADDING = Path(__file__).parents[3] / "providers" / "ADDING.md"


@pytest.mark.parametrize("run", runs(VENUE), ids=lambda run: run.name)
async def test_conforms(run: Run) -> None:
    await carry_out(run)


def test_it_is_found_through_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("template", "providers.template:PROVIDER", GROUP)
    router = ExchangeRouter(load_providers([point]), ExchangeSettings())
    assert (router.names, router.configured) == (("template",), ())
    with pytest.raises(NotConfigured, match="API secret bindings not configured for template"):
        router.client("template")
    monkeypatch.setenv("TEMPLATE_API_KEY", "key")
    monkeypatch.setenv("TEMPLATE_API_SECRET", "secret")
    assert router.configured == ("template",)
    assert router.client("template").name == "template"


def test_the_page_names_what_there_is() -> None:
    text = ADDING.read_text(encoding="utf-8")
    folder = ADDING.parent
    for name in ("codes.py", "wire.py", "client.py", "standin.py"):
        assert f"`{name}`" in text
        assert (folder / "template" / name).exists()
    assert GROUP in text
