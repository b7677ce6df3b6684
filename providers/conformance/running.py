"""Runs cases: one by one, for a test runner, or all of them, for a report."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from providers.conformance import (
    account,
    ambiguity,
    limits,
    many,
    mapping,
    permits,
    protection,
    reading,
    recent,
    refusals,
    trading,
)
from providers.conformance.cases import REGISTERED
from providers.conformance.trader import Trader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.conformance.cases import Case
    from providers.conformance.venue import Venue
    from providers.orders import PositionMode

_FAMILIES = (
    trading, mapping, refusals, ambiguity, limits, account, reading, protection, permits, recent,
    many,
)  # fmt: skip
CASES: tuple[Case, ...] = tuple(
    sorted(REGISTERED.values(), key=lambda one: (len(one.number), one.number))
)
"""Every case, by number."""

MOST_SECONDS = 90.0


class Verdict(StrEnum):
    """How a case came out."""

    PASSED = "passed"
    FAILED = "failed"
    CANNOT = "cannot"


@dataclass(frozen=True, slots=True)
class Result:
    """One case in one position mode."""

    number: str
    mode: PositionMode
    verdict: Verdict
    says: str


@dataclass(frozen=True, slots=True)
class Run:
    """A case that is to be run over a venue in a position mode."""

    venue: Venue
    case: Case
    mode: PositionMode

    @property
    def name(self) -> str:
        """A name for test reports."""
        return f"{self.venue.name}-{self.mode.lower()}-{self.case.number}"


def runs(venue: Venue) -> list[Run]:
    """Everything that must pass over a venue.

    Raises:
        ValueError: the venue declares a case that does not exist, or gives no reason.
    """
    numbers = {one.number for one in CASES}
    for number, reason in venue.cannot.items():
        if number not in numbers or not reason.strip():
            raise ValueError(f"{venue.name} says {number!r} can't be had: {reason!r}; which case?")
    return [
        Run(venue, one, mode)
        for one in CASES
        if one.number not in venue.cannot
        for mode in one.modes
        if mode in venue.modes
    ]


async def carry_out(run: Run) -> None:
    """Run one case on a stage of its own; raises what it found wrong."""
    async with run.venue.stage(run.mode) as stage:
        await stage.hold_price(run.venue.price)
        client = stage.connect()
        try:
            await client.start()
            async with asyncio.timeout(MOST_SECONDS):
                await run.case.body(Trader(run.venue, stage, run.mode, client))
        finally:
            await client.aclose()


class Turns:
    """Lets so many runs be under way at once, and those that mostly wait besides."""

    def __init__(self, at_once: int = 6) -> None:
        self._gate = asyncio.Semaphore(at_once)

    async def carry_out(self, run: Run) -> None:
        """Run one case when it is its turn; raises what it found wrong."""
        async with contextlib.nullcontext() if run.case.patient else self._gate:
            await carry_out(run)


async def examine(venue: Venue, only: Sequence[str] = ()) -> list[Result]:
    """Run the suite, or some cases of it, several at a time, and say how each came out."""
    turns = Turns()

    async def one(run: Run) -> Result:
        try:
            await turns.carry_out(run)
        except Exception as error:  # noqa: BLE001 - whatever it is, the case failed by it
            found = f"{type(error).__name__}: {error}"
            return Result(run.case.number, run.mode, Verdict.FAILED, found)
        return Result(run.case.number, run.mode, Verdict.PASSED, run.case.says)

    wanted = [run for run in runs(venue) if not only or run.case.number in only]
    results = list(await asyncio.gather(*map(one, wanted)))
    for case in CASES:
        if case.number in venue.cannot and (not only or case.number in only):
            reason = venue.cannot[case.number]
            results += [
                Result(case.number, mode, Verdict.CANNOT, reason)
                for mode in case.modes
                if mode in venue.modes
            ]
    return sorted(results, key=lambda found: (len(found.number), found.number, found.mode))
