"""The gate: shut by an error of the ledger, opened by itself when the ledger is back."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from consumer.gate import LedgerGate
from storage.errors import LedgerUnavailable
from tests.fakes.virtual_time import on_virtual_time, turns

if TYPE_CHECKING:
    from collections.abc import MutableMapping

AWAY = LedgerUnavailable("PostgreSQL: connection refused")


class Probe:
    """Raises what it is given, one a call; then all is well."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = deque(errors)
        self.asked_at: list[float] = []

    async def __call__(self) -> None:
        self.asked_at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.popleft()


@on_virtual_time
async def test_it_is_open_until_something_is_reported() -> None:
    gate = LedgerGate(Probe())
    assert gate.is_open
    await gate.wait_open()


@on_virtual_time
async def test_it_opens_by_itself_once_the_ledger_is_back() -> None:
    probe = Probe(*[AWAY] * 12)
    gate = LedgerGate(probe)
    gate.report(AWAY)
    await gate.wait_shut()
    assert probe.asked_at == []
    await gate.wait_open()
    assert gate.is_open
    assert len(probe.asked_at) == 13
    await gate.aclose()


@on_virtual_time
async def test_it_asks_less_and_less_often_but_at_least_every_two_seconds() -> None:
    began = asyncio.get_running_loop().time()
    probe = Probe(*[AWAY] * 20)
    gate = LedgerGate(probe)
    gate.report(AWAY)
    await gate.wait_open()
    times = [began, *probe.asked_at]
    gaps = [after - before for before, after in pairwise(times)]
    for number, gap in enumerate(gaps):
        longest = min(0.1 * 2**number, 2.0)
        assert longest / 2 - 1e-9 <= gap <= longest + 1e-9


@on_virtual_time
async def test_reports_while_it_is_shut_start_no_second_prober(
    logs: list[MutableMapping[str, Any]],
) -> None:
    probe = Probe(AWAY)
    gate = LedgerGate(probe)
    for _ in range(5):
        gate.report(AWAY)
    await gate.wait_open()
    assert len(probe.asked_at) == 2
    paused = [line for line in logs if line["event"] == "ledger unreachable, trading paused"]
    assert len(paused) == 1


@on_virtual_time
async def test_it_shuts_again_after_it_opened() -> None:
    gate = LedgerGate(Probe())
    for _ in range(2):
        gate.report(AWAY)
        shut = asyncio.ensure_future(gate.wait_shut())
        await turns(3)
        assert shut.done()
        await gate.wait_open()
        waiting = asyncio.ensure_future(gate.wait_shut())
        await turns(3)
        assert not waiting.done(), "open means not shut"
        waiting.cancel()


@on_virtual_time
async def test_everybody_who_waits_is_let_through() -> None:
    gate = LedgerGate(Probe(AWAY, AWAY))
    gate.report(AWAY)
    await asyncio.gather(*(gate.wait_open() for _ in range(10)))


@pytest.mark.parametrize("error", [RuntimeError("a defect"), KeyError("row"), ZeroDivisionError()])
@on_virtual_time
async def test_a_probe_that_fails_in_another_way_is_tried_again_too(
    error: Exception, logs: list[MutableMapping[str, Any]]
) -> None:
    gate = LedgerGate(Probe(AWAY, error, AWAY))
    gate.report(AWAY)
    await gate.wait_open()
    assert [line["error"] for line in logs if line["event"] == "ledger probe failed"] == [
        repr(error)
    ]


@on_virtual_time
async def test_closing_ends_the_probing() -> None:
    probe = Probe(*[AWAY] * 1000)
    gate = LedgerGate(probe)
    gate.report(AWAY)
    await asyncio.sleep(5)
    await gate.aclose()
    asked = len(probe.asked_at)
    await asyncio.sleep(60)
    assert len(probe.asked_at) == asked
    assert not gate.is_open


@on_virtual_time
async def test_an_open_gate_closes_too() -> None:
    await LedgerGate(Probe()).aclose()
