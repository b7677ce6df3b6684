"""The MEXC client as a whole: its life, its contracts, its secrets, its settings."""

from __future__ import annotations

import asyncio
import gc
import logging
from decimal import Decimal
from typing import TYPE_CHECKING

import httpx
import pytest

from providers.errors import ExchangeUnavailable, NotConfigured, RequestRefused
from providers.mexc.clearance import clearance
from providers.orders import MarginMode
from providers.outcomes import PlacementKind
from tests.unit.providers.helpers import FakeClock
from tests.unit.providers.mexc_stub import (
    API,
    CONTRACT,
    CREATE,
    EDGE_PAGE,
    HTML,
    INSTRUMENTS,
    KEY,
    LEVERAGE,
    ORDER,
    SECRET,
    MexcStub,
    accepted,
    leverage_row,
    make_client,
    nothing,
    ok,
    refused,
)

if TYPE_CHECKING:
    from providers.mexc.client import MexcClient


@pytest.fixture
def stub() -> MexcStub:
    return MexcStub()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def client(stub: MexcStub, clock: FakeClock) -> MexcClient:
    client = make_client(stub, clock)
    await client.instrument("BTCUSDT")  # preparing an order has read them before it is placed
    stub.requests.clear()
    return client


# Life.


async def test_start_reads_clock_and_contracts_and_may_be_repeated(
    stub: MexcStub, client: MexcClient
) -> None:
    await client.start()
    await client.start()
    assert len(stub.seen(INSTRUMENTS)) == 2
    assert len([task for task in asyncio.all_tasks() if "keep-warm" in task.get_name()]) == 1
    await client.aclose()
    assert not [task for task in asyncio.all_tasks() if "mexc" in task.get_name()]


@pytest.mark.parametrize("reply", [ok([]), nothing(), ok(7), ok([CONTRACT, 5]), HTML, refused(510)])
async def test_contracts_that_can_not_be_read_leave_the_known_ones_in_use(
    stub: MexcStub, client: MexcClient, reply: httpx.Response
) -> None:
    stub.answers[INSTRUMENTS] = [reply]
    stub.answers[CREATE] = [accepted()]
    with pytest.raises(ExchangeUnavailable):
        await client.refresh_instruments()
    assert (await client.place(ORDER)).kind is PlacementKind.ACCEPTED


async def test_an_odd_contract_is_logged_and_does_not_hide_the_others(
    stub: MexcStub, client: MexcClient, caplog: pytest.LogCaptureFixture
) -> None:
    stub.answers[INSTRUMENTS] = [ok([{**CONTRACT, "symbol": "ODD_USDT", "volUnit": 0}, CONTRACT])]
    await client.refresh_instruments()
    assert (await client.instrument("BTCUSDT")).lot == Decimal("0.0001")
    assert "ODD_USDT: volUnit" in caplog.text


async def test_cancelling_a_placement_leaves_nothing_running(client: MexcClient) -> None:
    entered = asyncio.Event()

    async def hanging(_: httpx.Request) -> httpx.Response:
        entered.set()
        await asyncio.Event().wait()
        raise AssertionError

    client._http._transport = httpx.MockTransport(hanging)
    task = asyncio.create_task(client.place(ORDER))
    await asyncio.wait_for(entered.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gc.collect()
    assert len(asyncio.all_tasks()) == 1


# Secrets and settings.


async def test_no_secret_is_printed(
    stub: MexcStub, client: MexcClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stub.answers[CREATE] = [httpx.Response(403, content=EDGE_PAGE)]
    signed = client._sign(client._order_call(ORDER), 1700000000000)
    placement = await client.place(ORDER)
    with pytest.raises(ExchangeUnavailable) as caught:
        await client.positions()
    texts = [str(caught.value), repr(caught.value)]
    texts += [repr(client), repr(vars(client)), repr(signed), repr(placement), caplog.text]
    assert signed.headers["Signature"]
    for text in texts:
        assert SECRET not in text
        assert KEY not in text
        assert signed.headers["Signature"] not in text


async def test_the_provider_makes_clients_only_with_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from providers.mexc import PROVIDER  # noqa: PLC0415 - reads no environment before this test
    from providers.settings import ExchangeSettings  # noqa: PLC0415 - as above

    for name in ("MEXC_API_KEY", "MEXC_SECRET_BINDING", "MEXC_BASE_URL", "MEXC_ALLOW_OPENING"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    bare = ExchangeSettings()
    assert not PROVIDER.has_credentials(bare)
    with pytest.raises(NotConfigured, match="mexc"):
        PROVIDER.create_client(bare)
    monkeypatch.setenv("MEXC_API_KEY", KEY)
    assert not PROVIDER.has_credentials(ExchangeSettings())
    monkeypatch.setenv("MEXC_SECRET_BINDING", SECRET)
    full = ExchangeSettings()
    assert PROVIDER.has_credentials(full)
    client = PROVIDER.create_client(full)
    assert client.name == PROVIDER.name == "mexc"
    await client.aclose()


@pytest.mark.parametrize(
    ("url", "set_to", "opens"),
    [
        (None, None, False),
        ("https://contract.mexc.com", None, False),
        ("https://API.MEXC.COM./", None, False),
        ("https://mexc.com", None, False),
        (None, "true", False),
        (None, clearance(KEY, SECRET, "api.mexc.com"), True),
        ("https://contract.mexc.com", clearance(KEY, SECRET, "api.mexc.com"), False),
        (None, clearance(KEY, "another", "api.mexc.com"), False),
        ("http://127.0.0.1:8790/mexc", None, True),
        ("http://127.0.0.1:8790/mexc", "false", False),
        ("http://notmexc.com", None, True),
        ("http://api.mexc.com.sandbox.test", None, True),
    ],
)
async def test_opening_is_off_on_the_real_exchange_until_its_check_has_passed(
    monkeypatch: pytest.MonkeyPatch,
    url: str | None,
    set_to: str | None,
    opens: bool,  # noqa: FBT001 - a column of the table
) -> None:
    from providers.mexc import PROVIDER  # noqa: PLC0415 - reads no environment before this test
    from providers.settings import ExchangeSettings  # noqa: PLC0415 - as above

    values = {"MEXC_API_KEY": KEY, "MEXC_SECRET_BINDING": SECRET}
    values |= {"MEXC_BASE_URL": url or "", "MEXC_ALLOW_OPENING": set_to or ""}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    client = PROVIDER.create_client(ExchangeSettings())
    if opens:
        client.check_opening("BTCUSDT")
    else:
        with pytest.raises(RequestRefused):
            client.check_opening("BTCUSDT")
    await client.aclose()


async def test_a_setup_is_read_from_account_and_contract(
    stub: MexcStub, client: MexcClient
) -> None:
    stub.answers[LEVERAGE] = [ok([leverage_row(1), leverage_row(2)])]
    stub.answers[f"{API}/private/position/position_mode"] = [ok(2)]
    setup = await client.symbol_setup("BTCUSDT")
    assert (setup.leverage, setup.margin_mode) == (Decimal(5), MarginMode.ISOLATED)
    assert stub.seen(LEVERAGE)[0].url.query == b"symbol=BTC_USDT"
