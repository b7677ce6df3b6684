"""How many orders a second the sandbox takes: what `trade-worker sandbox bench` does.

Starts a sandbox in a process of its own (limits off, no fill delay), creates signed market orders
over several kept-alive connections, and checks at the end that each was accepted once and filled.
Alternate sides keep the position, and so the margin, small.

The client is as small as it can be (a socket, bytes made beforehand but for the signature), so
that it is the sandbox that is measured, and not an HTTP library.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

from providers.sandbox.binance.caller import signed
from providers.sandbox.binance.gate import KEY_HEADER
from providers.sandbox.caller import signed_headers
from providers.sandbox.client import SandboxControl
from providers.sandbox.mexc.caller import signed_headers as mexc_headers

if TYPE_CHECKING:
    from collections.abc import Iterator

_WARM_UP: Final = 500
_LENGTH: Final = b"content-length:"
_END: Final = b"\r\n\r\n"
_OK: Final = {
    "bybit": b'{"retCode":0,',
    "binance": b'{"orderId":',
    "mexc": b'{"success":true,',
}
_PATHS: Final = {
    "bybit": "/v5/order/create",
    "binance": "/fapi/v1/order",
    "mexc": "/api/v1/private/order/create",
}
VENUES: Final = tuple(_PATHS)


class OrderRefused(Exception):  # noqa: N818 - the sandbox's answer, in its own words
    """An order was refused, or the truth at the end is not what was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured.

    Attributes:
        seconds: from the first order to the last answer.
        median_ms: an order's time from the first byte sent to the whole answer.
        server_us: processor time of the sandbox's process, microseconds an order; None where the
            system does not tell it.
    """

    venue: str
    orders: int
    connections: int
    seconds: float
    orders_per_second: float
    median_ms: float
    p99_ms: float
    server_us: float | None


@dataclass(frozen=True, slots=True)
class _Target:
    venue: str
    base_url: str
    key: str
    secret: str

    def request(self, number: int) -> bytes:
        """One signed market order as it goes onto the wire."""
        now_ms = time.time_ns() // 1_000_000
        path, body, headers = _WRITERS[self.venue](self, number, now_ms)
        url = urlsplit(self.base_url)
        lines = [
            f"POST {url.path}{_PATHS[self.venue]}{path} HTTP/1.1",
            f"Host: {url.netloc}",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        return "\r\n".join(lines).encode() + _END + body


def _bybit(target: _Target, number: int, now_ms: int) -> tuple[str, bytes, dict[str, str]]:
    side = "Buy" if number % 2 else "Sell"
    body = (
        f'{{"category":"linear","symbol":"BTCUSDT","side":"{side}","orderType":"Market",'
        f'"qty":"0.001","positionIdx":0,"orderLinkId":"load-{number}"}}'
    ).encode()
    return "", body, signed_headers(target.key, target.secret, body, now_ms)


def _binance(target: _Target, number: int, now_ms: int) -> tuple[str, bytes, dict[str, str]]:
    order = {"symbol": "BTCUSDT", "side": "BUY" if number % 2 else "SELL", "type": "MARKET"}
    more = {"quantity": "0.001", "newClientOrderId": f"load-{number}"}
    query = signed(target.secret, order | more, now_ms)
    return f"?{query}", b"", {KEY_HEADER: target.key}


def _mexc(target: _Target, number: int, now_ms: int) -> tuple[str, bytes, dict[str, str]]:
    side = 1 if number % 2 else 3
    body = (
        f'{{"symbol":"BTC_USDT","price":0,"vol":10,"side":{side},"type":5,"openType":1,'
        f'"leverage":20,"positionMode":2,"externalOid":"load-{number}"}}'
    ).encode()
    return "", body, mexc_headers(target.key, target.secret, body, now_ms)


_WRITERS: Final = {"bybit": _bybit, "binance": _binance, "mexc": _mexc}


def measure(venue: str, *, orders: int, connections: int) -> Figures:
    """Start a sandbox, load one venue of it, stop it.

    Raises:
        OrderRefused: an order was refused, or the truth at the end is not what was sent.
    """
    with _sandbox() as (info, pid):
        found = info["venues"][venue]
        account = found["accounts"][0]
        target = _Target(venue, found["base_url"], account["key"], account["secret"])
        origin = info["control_url"].removesuffix("/_sandbox")
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_measure(target, origin, orders, connections, pid))


@contextmanager
def _sandbox() -> Iterator[tuple[dict[str, Any], int]]:
    """A sandbox in a process of its own: what it says about itself, and its process id."""
    command = [sys.executable, "-m", "providers.sandbox", "--port", "0"]
    command += ["--limits", "off", "--fill-delay", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own program
        try:
            if process.stdout is None:
                raise RuntimeError("the sandbox has no standard output to read its port from")
            yield orjson.loads(process.stdout.readline()), process.pid
        finally:
            process.terminate()


async def _measure(
    target: _Target, origin: str, orders: int, connections: int, pid: int
) -> Figures:
    each = max(1, orders // connections)
    await _lane(target, 0, _WARM_UP)
    cpu_before = _cpu_seconds(pid)
    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_lane(target, _WARM_UP + lane * each, each))
            for lane in range(connections)
        ]
    seconds = time.perf_counter() - begin
    cpu_after = _cpu_seconds(pid)
    took = sorted(value for task in tasks for value in task.result())
    await _check_truth(origin, _WARM_UP + len(took))
    cpu = None if cpu_before is None or cpu_after is None else cpu_after - cpu_before
    return Figures(
        venue=target.venue,
        orders=len(took),
        connections=connections,
        seconds=seconds,
        orders_per_second=len(took) / seconds,
        median_ms=took[len(took) // 2] * 1000,
        p99_ms=took[len(took) * 99 // 100] * 1000,
        server_us=None if cpu is None else cpu * 1e6 / len(took),
    )


async def _lane(target: _Target, first: int, count: int) -> list[float]:
    """Create orders one after the other on one connection; seconds each took."""
    url = urlsplit(target.base_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    took: list[float] = []
    try:
        for number in range(first, first + count):
            request = target.request(number)
            begin = time.perf_counter()
            writer.write(request)
            answer = await _answer(reader)
            took.append(time.perf_counter() - begin)
            if not answer.startswith(_OK[target.venue]):
                raise OrderRefused(f"order load-{number} was refused: {answer.decode()}")
    finally:
        writer.close()
        await writer.wait_closed()
    return took


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(_END)).lower()
    _, _, rest = head.partition(_LENGTH)
    return await reader.readexactly(int(rest.partition(b"\r\n")[0]))


async def _check_truth(origin: str, expected: int) -> None:
    async with SandboxControl(origin) as control:
        report = await control.truth(client_order_id_prefix="load-")
    filled = sum(order["state"] == "filled" for order in report.orders)
    if (len(report.orders), filled) != (expected, expected):
        raise OrderRefused(f"sent {expected}, accepted {len(report.orders)}, filled {filled}")


def _cpu_seconds(pid: int) -> float | None:
    """Processor time a process has used so far (Linux)."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    except OSError:
        return None
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def _loop_factory() -> Any:  # noqa: ANN401 - as asyncio.Runner takes it
    try:
        import uvloop  # noqa: PLC0415 - an optional speed-up
    except ImportError:
        return None
    return uvloop.new_event_loop
