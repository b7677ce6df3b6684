"""No worker of the whole session may have written a secret; the loudest ones run here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import pytest

from providers.sandbox.faults import FaultKind
from tests.support.messages import trade
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.world import World

pytestmark = pytest.mark.late

DATABASE_PASSWORD = "hidden-database-word"
BROKER_PASSWORD = "hidden-broker-word"
WRONG_SECRET = "hidden-exchange-word"
SIGNATURE = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
PASSWORD_IN_URL = re.compile(r"\w+://[^\s/:@]*:(?!\*+@)[^\s/@]+@")


def with_password(url: str, password: str) -> str:
    """A URL with another password."""
    parts = urlsplit(url)
    return urlunsplit(
        parts._replace(netloc=f"{parts.username}:{password}@{parts.hostname}:{parts.port}")
    )


async def test_no_log_of_any_worker_has_a_secret(world: World, log_folder: Path) -> None:
    await _be_loud(world)

    texts = _read(log_folder)
    assert sum(len(text) for text in texts.values()) > 5_000
    secrets = [
        world.sandbox.key(),
        *(world.sandbox.secret(venue) for venue in world.sandbox.sandbox.facades),
        DATABASE_PASSWORD,
        BROKER_PASSWORD,
        WRONG_SECRET,
    ]
    assert world.sandbox.secret() in secrets
    for name, text in texts.items():
        for secret in secrets:
            assert secret not in text, f"{name} has {secret!r}"
        for what, pattern in {"a signature": SIGNATURE, "a password": PASSWORD_IN_URL}.items():
            found = pattern.search(text)
            assert found is None, (
                f"{name} has {what}: …{text[found.start() - 100 : found.end() + 20]}"
            )
        assert "X-BAPI" not in text
        assert "x-bapi" not in text


def _read(folder: Path) -> dict[str, str]:
    return {
        log.name: log.read_text(encoding="utf-8", errors="replace") for log in folder.glob("*.log")
    }


async def _be_loud(world: World) -> None:
    """Let everything go wrong that makes a worker speak, at the level that says most."""
    database_url = with_password(str(world.settings.database_url), DATABASE_PASSWORD)
    loud = await world.start_worker(log_level="DEBUG", database_url=database_url)
    messages: dict[str, dict[str, object]] = {
        "good": trade(),
        "answer lost": trade(symbol="ETHUSDT", quantity="0.1"),
        "page": trade(symbol="SOLUSDT", quantity="1"),
        "refused": trade(symbol="BTCUSDT", quantity="400", leverage=2),
        "malformed": {"requestId": "r", "secret": WRONG_SECRET},
    }
    create = {"endpoint": "order/create", "count": 1}
    world.fault(FaultKind.DROP_AFTER, symbol="ETHUSDT", **create)
    world.fault(FaultKind.SERVER_ERROR, symbol="SOLUSDT", execute=True, **create)
    await world.publish(*messages.values())
    await world.reached(
        [messages[name]["requestId"] for name in ("good", "answer lost", "page")], "FILLED"
    )
    await loud.says("settled", 7)

    wrong_key = world.launch(log_level="DEBUG", bybit_api_secret=WRONG_SECRET)
    await wrong_key.consuming()
    wrong_broker = world.launch(amqp_url=with_password(world.amqp.url, BROKER_PASSWORD))
    await wrong_broker.says("broker unreachable, trying again")
    away = with_password(str(world.settings.database_url), DATABASE_PASSWORD)
    no_database = world.launch(database_url=away.replace(f":{urlsplit(away).port}", ":9"))
    await no_database.says("ledger unreachable, waiting")
    await loud.stop()
    message = trade(symbol="XRPUSDT", quantity="50")
    await world.publish(message)
    await eventually(
        lambda: wrong_key.events("settled"), what="what a wrong key makes of a message"
    )
