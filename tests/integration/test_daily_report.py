"""A day summed up from a real ledger: every digit, every order in one count, files that open."""

from __future__ import annotations

import csv
import io
import json
import random
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq  # type: ignore[import-untyped]  # ships no types
import pytest

from storage.daily import hours_of, summarise
from storage.objects.opening import open_store
from storage.states import OrderState as S
from tests.support.commands import Commands

if TYPE_CHECKING:
    from pathlib import Path

    from storage.postgres import Database
    from tests.support.world import World

DAY = date(2026, 1, 31)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
EXACT = Decimal("12345678901234567.123456789012345678")  # more digits than a float holds
TRADED = Decimal("2469135780252919.4746913578024691356")  # 0.1 × 60000.5 + 0.2 × EXACT + 3 × 2


async def put(database: Database, **values: Any) -> None:  # noqa: ANN401 - columns of any type
    """Put an order into the ledger as it came out at the end of its day."""
    number = await database.fetch("SELECT count(*) AS n FROM orders")
    name = f"r-{number[0]['n']}"
    row: dict[str, Any] = {
        "request_id": name,
        "client_order_id": name,
        "fingerprint": b"",
        "payload": "{}",
        "exchange": "bybit",
        "account": "default",
        "symbol": "BTCUSDT",
        "action": "LONG",
        "quantity": Decimal(1),
        "received_at": NOON,
        "state": S.FILLED,
        **values,
    }
    names = ", ".join(row)
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    await database.execute(f"INSERT INTO orders ({names}) VALUES ({places})", *row.values())  # noqa: S608 - names of our own


def filled(
    quantity: str,
    price: str,
    fee: str,
    wire: float = 0.01,
    **values: Any,  # noqa: ANN401 - as above
) -> dict[str, Any]:
    at = values.get("received_at", NOON)
    return {
        "filled_quantity": Decimal(quantity),
        "average_price": Decimal(price),
        "fee": Decimal(fee),
        "fee_currency": "USDT",
        "queued_at": at,
        "sent_at": at + timedelta(seconds=wire),
        **values,
    }


@pytest.fixture
async def day(database: Database) -> None:
    """One order of every kind on the day, and two that lie just outside of it."""
    await put(database, **filled("0.1", "60000.5", "1.10"))
    await put(database, **filled("0.2", str(EXACT), "0.000000000000000001", wire=0.03))
    await put(database, **filled("3", "2", "0.5", fee_currency="BNB", state=S.CANCELED))
    for state in S:
        if state is not S.FILLED:
            await put(database, symbol="ETHUSDT", state=state)
    await put(database, exchange="mexc", received_at=NOON.replace(hour=0))
    await put(database, exchange="early", received_at=NOON.replace(hour=0) - timedelta(seconds=1))
    await put(database, exchange="late", received_at=NOON + timedelta(hours=12))


@pytest.mark.usefixtures("day")
async def test_a_day_is_summed_up_exactly(database: Database) -> None:
    btc, eth, mexc = await summarise(database, DAY)

    assert (btc.exchange, btc.symbol, mexc.exchange) == ("bybit", "BTCUSDT", "mexc")
    assert (btc.orders, btc.filled, btc.partly_filled) == (3, 2, 1)
    assert btc.volume_base == Decimal("3.3")
    assert btc.volume_quote == TRADED
    assert btc.fees == {"BNB": Decimal("0.5"), "USDT": Decimal("1.100000000000000001")}
    assert btc.wire_p50 == pytest.approx(0.01)
    assert btc.wire_p99 == pytest.approx(0.03, rel=0.05)
    counts = ("filled", "partly_filled", "canceled", "rejected", "denied", "expired", "quarantined")
    for row in (btc, eth, mexc):
        assert sum(getattr(row, name) for name in (*counts, "open")) == row.orders
    assert (eth.orders, eth.open, eth.wire_p50, eth.fees) == (11, 6, None, {})

    (noon, midnight) = await hours_of(database, DAY, "USDT")
    assert (noon.exchange, noon.hour, noon.orders, noon.refused) == ("bybit", 12, 14, 3)
    assert noon.fees == Decimal("1.100000000000000001")
    assert (midnight.exchange, midnight.hour) == ("mexc", 0)


@pytest.mark.usefixtures("day")
async def test_the_files_hold_every_digit(world: World, tmp_path: Path) -> None:
    commands = Commands(world.settings)
    table, parquet = tmp_path / "day.csv", tmp_path / "day.parquet"
    words = ["report", "daily", "--date", "2026-01-31"]
    await commands.good(*words, "--out", str(table))
    await commands.good(*words, "--out", str(parquet), "--upload")
    shown = await commands.good(*words, "--format", "csv")
    as_json = (await commands.good(*words, "--json")).json

    (btc, *_) = csv.DictReader(io.StringIO(table.read_text(encoding="utf-8")))
    assert shown.out == table.read_text(encoding="utf-8")
    assert btc["volume_quote"] == str(TRADED)
    assert json.loads(btc["fees"])["USDT"] == "1.100000000000000001"
    assert as_json["rows"][0]["volume_base"] == "3.3"

    read = pq.read_table(parquet)
    assert str(read.schema.field("volume_base").type) == "decimal128(38, 18)"
    (row, *_) = read.to_pylist()
    assert row["date"] == DAY
    assert row["volume_base"] == Decimal("3.3")
    assert row["volume_quote"] == Decimal("2469135780252919.474691357802469136")
    assert dict(row["fees"])["USDT"] == Decimal("1.100000000000000001")
    async with open_store(world.settings, world.settings.reports_bucket) as store:
        stored = await store.get("trade-reports/_daily/2026-01-31.parquet")
    assert stored == parquet.read_bytes()


async def test_a_day_is_drawn_even_an_empty_one(
    world: World, database: Database, tmp_path: Path
) -> None:
    await busy(database)
    for name, day in (("busy", "2026-01-31"), ("empty", "2026-02-01")):
        picture = tmp_path / f"{name}.png"
        words = ["report", "daily", "--date", day, "--plot", str(picture)]
        ran = await Commands(world.settings).good(*words)
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert f"{day} (UTC): " in ran.out


async def busy(database: Database) -> None:
    """A day to look at."""
    chance = random.Random(7)  # noqa: S311 - no secret
    for number in range(240):
        at = NOON.replace(hour=0) + timedelta(minutes=chance.triangular(0, 1439, 840))
        exchange = chance.choice(["bybit", "bybit", "binance", "mexc"])
        state = S.REJECTED if number % 11 == 0 else S.CANCELED if number % 23 == 0 else S.FILLED
        values: dict[str, Any] = {"received_at": at, "exchange": exchange, "state": state}
        if state is S.FILLED:
            quantity, wire = chance.uniform(0.01, 0.4), chance.lognormvariate(-4.6, 0.5)
            values = filled(f"{quantity:.3f}", "60000", f"{quantity * 33:.4f}", wire, **values)
        await put(database, **values)


async def test_without_the_extra_it_says_what_to_install(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    commands = Commands(world.settings)
    for option, name in (("--out", "day.parquet"), ("--plot", "day.png")):
        ran = await commands.run("report", "daily", option, str(tmp_path / name))
        assert ran.exit_code == 1
        assert "pip install 'trade-worker[reports]'" in ran.err
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["daily", "--date", "yesterday"], "2026-01-31"),
        (["daily", "--format", "parquet"], "--out day.parquet"),
        (["list", "--symbol", "BTCUSDT"], "--exchange"),
        (["list", "--since", "soon"], "2h"),
    ],
)
async def test_wrong_words_are_told_what_would_be_right(
    world: World, words: list[str], says: str
) -> None:
    ran = await Commands(world.settings).run("report", *words)
    assert ran.exit_code == 2
    assert says in ran.err


async def test_reports_are_listed_and_read(world: World, tmp_path: Path) -> None:
    settings = world.changed(object_store_url=f"file://{tmp_path}")
    keys = [
        "trade-reports/bybit/BTCUSDT/2026-01-31T12-00-00-123Z-r-1.json",
        "trade-reports/mexc/ETHUSDT/2026-01-31T12-00-00-123Z-r-2.json",
    ]
    async with open_store(settings, settings.reports_bucket) as store:
        for key in keys:
            await store.put(key, key.encode(), "application/json")
    commands = Commands(settings)

    assert {one["key"] for one in (await commands.good("report", "list", "--json")).json} == {*keys}
    some = await commands.good(
        "report", "list", "--exchange", "bybit", "--symbol", "btc-usdt", "--since", "1h", "--json"
    )
    assert [one["key"] for one in some.json] == keys[:1]
    assert (await commands.good("report", "get", keys[1])).out == keys[1]
    missing = await commands.run("report", "get", "trade-reports/no/such/one.json")
    assert missing.exit_code == 4
