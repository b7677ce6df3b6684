"""Every expression of the dashboard and of the alerts, asked of a real Prometheus and two workers.

An expression that names a metric that exists may still show nothing, for ever: a label that is
spelled otherwise, a counter that nobody moves, a series that is only there after its first event.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from providers.sandbox.faults import FaultKind
from tests.support.api import free_port, keys
from tests.support.messages import trade
from tests.support.prometheus import scraping
from tests.support.waiting import eventually
from tests.support.world import PATIENT_LADDER

if TYPE_CHECKING:
    from tests.conftest import NewWorld
    from tests.support.prometheus import Prometheus

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
TRADES = {"BTCUSDT": "0.005", "ETHUSDT": "0.1", "SOLUSDT": "1", "XRPUSDT": "50"}
NOWHERE = ("nowhere", "or-anywhere")  # exchanges that only messages speak of


def expressions() -> list[tuple[str, str]]:
    """Each expression of the dashboard, with its panel's title."""
    path = DEPLOY / "grafana" / "dashboards" / "trade-worker.json"
    return [
        (panel["title"], target["expr"])
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]
        for target in panel.get("targets", ())
    ]


async def test_every_panel_and_every_alert_has_something_to_go_by(
    new_world: NewWorld, tmp_path: Path
) -> None:
    world = await new_world(
        rate_limits="shared", claim_lease=20.0, retry_delays=PATIENT_LADDER, observe_interval=0.2
    )
    good = [
        trade(symbol=symbol, quantity=quantity, queuedAt=datetime.now(UTC).isoformat())
        for _ in range(3)
        for symbol, quantity in TRADES.items()
    ]
    limited = trade()
    world.fault(
        FaultKind.RATE_LIMIT, request_id=limited["requestId"], endpoint="order/create", count=1
    )
    ports = [free_port(), free_port()]
    async with scraping(ports, tmp_path, DEPLOY / "prometheus" / "alerts.yml") as prometheus:
        for port in ports:
            world.launch(**keys(port))
        await asyncio.gather(*(worker.consuming() for worker in world.workers))
        await prometheus.scraped(len(ports))
        await world.publish(
            *good, limited, good[0], b"{", {**good[1], "quantity": "7"}, trade(symbol="QQQUSDT"),
            *(trade(exchange=name) for name in NOWHERE),
        )  # fmt: skip
        await world.reached([one["requestId"] for one in (*good, limited)], "FILLED", within=40)
        await eventually(lambda: _firing(prometheus, "DeadLetters"), within=20, what="the alert")
        await eventually(lambda: _shows_all(prometheus), within=20, what="a value in each panel")
        assert await _exchanges_named(prometheus) == {"bybit", "other"}
    async with httpx.AsyncClient() as client:
        scraped = await client.get(f"http://127.0.0.1:{ports[0]}/metrics")
    linted = await asyncio.to_thread(
        subprocess.run,
        ["promtool", "check", "metrics"],
        input=scraped.content,
        capture_output=True,
        check=False,
    )
    assert (linted.returncode, linted.stdout + linted.stderr) == (0, b"")


async def _firing(prometheus: Prometheus, alert: str) -> bool:
    """Whether an alert fires; that rules are evaluated at all is shown by it as well."""
    return (await prometheus.alerts()).get(alert) == "firing"


async def _shows_all(prometheus: Prometheus) -> bool:
    empty = [
        f"{title}: {expression}"
        for title, expression in expressions()
        if all(one["value"][1] == "NaN" for one in await prometheus.query(expression))
    ]
    print(*empty, sep="\n")  # noqa: T201 - pytest shows what was missing in the end
    return not empty


async def _exchanges_named(prometheus: Prometheus) -> set[str]:
    named = await prometheus.query(
        'count by (exchange) ({__name__=~"trade_worker_.+", exchange!=""})'
    )
    return {one["metric"]["exchange"] for one in named}
