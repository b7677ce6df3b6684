"""How many orders a second the sandbox takes: `python -m providers.sandbox.load`.

Starts a sandbox in a process of its own (limits off, no fill delay), creates signed market orders
over several keep-alive connections, and checks at the end that each was accepted once and filled.
Alternate sides keep the position, and so the margin, small.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import orjson

from providers.sandbox.binance.caller import signed
from providers.sandbox.binance.gate import KEY_HEADER
from providers.sandbox.caller import signed_headers
from providers.sandbox.client import SandboxControl

_WARM_UP: Final = 500
_OK: Final = {"bybit": b'{"retCode":0,', "binance": b'{"orderId":'}
_PATHS: Final = {"bybit": "v5/order/create", "binance": "fapi/v1/order"}


@dataclass(frozen=True, slots=True)
class _Target:
    venue: str
    url: str
    key: str
    secret: str

    def order(self, number: int) -> tuple[str, bytes, dict[str, str]]:
        """URL, body and headers of one signed market order."""
        now_ms = time.time_ns() // 1_000_000
        side = "Buy" if number % 2 else "Sell"
        if self.venue == "binance":
            order = {"symbol": "BTCUSDT", "side": side.upper(), "type": "MARKET"}
            more = {"quantity": "0.001", "newClientOrderId": f"load-{number}"}
            query = signed(self.secret, order | more, now_ms)
            return f"{self.url}?{query}", b"", {KEY_HEADER: self.key}
        body = (
            f'{{"category":"linear","symbol":"BTCUSDT","side":"{side}","orderType":"Market",'
            f'"qty":"0.001","positionIdx":0,"orderLinkId":"load-{number}"}}'
        ).encode()
        return self.url, body, signed_headers(self.key, self.secret, body, now_ms)


async def _create(
    session: aiohttp.ClientSession, target: _Target, first: int, count: int
) -> list[float]:
    """Create orders one after the other on one connection; seconds each took."""
    took: list[float] = []
    for number in range(first, first + count):
        begin = time.perf_counter()
        url, body, headers = target.order(number)
        async with session.post(url, data=body, headers=headers) as response:
            answer = await response.read()
        took.append(time.perf_counter() - begin)
        if not answer.startswith(_OK[target.venue]):
            raise RuntimeError(f"order load-{number} was refused: {answer.decode()}")
    return took


async def _measure(target: _Target, origin: str, orders: int, connections: int, pid: int) -> str:
    connector = aiohttp.TCPConnector(limit=connections)
    each = orders // connections
    async with aiohttp.ClientSession(connector=connector) as session:
        await _create(session, target, 0, _WARM_UP)
        cpu_before = _cpu_seconds(pid)
        begin = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_create(session, target, _WARM_UP + lane * each, each))
                for lane in range(connections)
            ]
        seconds = time.perf_counter() - begin
    cpu_us = (_cpu_seconds(pid) - cpu_before) * 1e6 / (each * connections)
    took = sorted(value for task in tasks for value in task.result())
    async with SandboxControl(origin) as control:
        report = await control.truth(client_order_id_prefix="load-")
    expected = _WARM_UP + each * connections
    filled = sum(order["state"] == "filled" for order in report.orders)
    if (len(report.orders), filled) != (expected, expected):
        raise RuntimeError(f"sent {expected}, accepted {len(report.orders)}, filled {filled}")
    return (
        f"{len(took)} orders over {connections} connections in {seconds:.2f} s: "
        f"{len(took) / seconds:.0f} orders/s, median {took[len(took) // 2] * 1000:.2f} ms, "
        f"p99 {took[len(took) * 99 // 100] * 1000:.2f} ms; server {cpu_us:.0f} us of CPU each, "
        f"{1e6 / cpu_us:.0f} orders/s for a whole core; all accepted once and filled\n"
    )


def _cpu_seconds(pid: int) -> float:
    """Processor time a process has used so far (Linux)."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Start a sandbox, load it, print the figures, stop it."""
    parser = argparse.ArgumentParser(prog="python -m providers.sandbox.load", description=__doc__)
    parser.add_argument("--orders", type=int, default=30_000)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--venue", choices=tuple(_PATHS), default="bybit")
    given = parser.parse_args()
    command = [sys.executable, "-m", "providers.sandbox", "--port", "0"]
    command += ["--limits", "off", "--fill-delay", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own program
        try:
            if process.stdout is None:
                raise RuntimeError("the sandbox has no standard output to read its port from")
            info = orjson.loads(process.stdout.readline())
            venue = info["venues"][given.venue]
            account = venue["accounts"][0]
            target = _Target(
                given.venue,
                f"{venue['base_url']}/{_PATHS[given.venue]}",
                account["key"],
                account["secret"],
            )
            origin = info["control_url"].removesuffix("/_sandbox")
            line = asyncio.run(
                _measure(target, origin, given.orders, given.connections, process.pid)
            )
            sys.stdout.write(line)
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
