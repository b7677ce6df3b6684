"""What a case is: a number, a sentence that must be true, and the code that finds out.

A case is written as::

    @case("C01", "a market order is accepted and filled")
    async def _(t: Trader) -> None: ...

It fails by raising `NotConform` (or anything else); `check` and `same` raise it with what was
seen. `assert` is not used, because the suite must find faults under `python -O` too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from providers.conformance.venue import BOTH

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from providers.conformance.trader import Trader
    from providers.orders import PositionMode

    Body = Callable[[Trader], Awaitable[None]]

E = TypeVar("E", bound=Exception)


class NotConform(AssertionError):  # noqa: N818 - names say the condition, as in `providers.errors`
    """A case found something else than its sentence says."""


@dataclass(frozen=True, slots=True)
class Case:
    """One numbered case.

    Attributes:
        number: `C01` and up; a number once given is never used for anything else.
        says: the sentence that must be true.
        modes: the position modes it is run in.
        body: finds out.
        patient: it mostly waits, for seconds, so it need not wait for its turn as well.
    """

    number: str
    says: str
    modes: tuple[PositionMode, ...]
    body: Body
    patient: bool = False


REGISTERED: dict[str, Case] = {}


def case(
    number: str, says: str, modes: tuple[PositionMode, ...] = BOTH, *, patient: bool = False
) -> Callable[[Body], Body]:
    """Register a case under its number."""

    def register(body: Body) -> Body:
        if number in REGISTERED:
            raise ValueError(f"there are two cases {number}")
        REGISTERED[number] = Case(number, says, modes, body, patient)
        return body

    return register


def check(condition: object, says: str) -> None:
    """Fail with `says` unless the condition holds."""
    if not condition:
        raise NotConform(says)


def same(seen: object, wanted: object, what: str) -> None:
    """Fail unless what was seen is what was wanted."""
    if seen != wanted:
        raise NotConform(f"{what} is {seen!r}, should be {wanted!r}")


async def raised(kind: type[E], work: Awaitable[object], what: str) -> E:
    """Await something that must raise, and return what it raised."""
    try:
        result = await work
    except kind as error:
        return error
    raise NotConform(f"{what} gave {result!r}, should raise {kind.__name__}")
