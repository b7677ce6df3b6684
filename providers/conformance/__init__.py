"""The conformance suite: numbered cases that every provider passes, in one-way and hedge mode.

It belongs to whoever writes a provider, here or elsewhere, and needs no test runner::

    results = asyncio.run(examine(VENUE))          # VENUE is your `Venue`

With pytest, one test a case::

    @pytest.mark.parametrize("run", runs(VENUE), ids=lambda run: run.name)
    async def test_conformance(run: Run) -> None:
        await carry_out(run)

From a shell: `python -m providers.conformance your_package.venue:VENUE`. How to write a `Venue` is
told in `providers/ADDING.md`. What a venue can't have, it declares with the reason; nothing is
left out silently.
"""

from providers.conformance.cases import Case, NotConform
from providers.conformance.running import (
    CASES,
    Result,
    Run,
    Turns,
    Verdict,
    carry_out,
    examine,
    runs,
)
from providers.conformance.venue import Doing, Fault, Stage, TrueOrder, Venue, What

__all__ = [
    "CASES",
    "Case",
    "Doing",
    "Fault",
    "NotConform",
    "Result",
    "Run",
    "Stage",
    "TrueOrder",
    "Turns",
    "Venue",
    "Verdict",
    "What",
    "carry_out",
    "examine",
    "runs",
]
