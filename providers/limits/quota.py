"""The words for an exchange's limits: what is counted, by whom, and what each request costs. Pure.

A `Published` limit allows so many units in so many milliseconds, counted for an account or for an
address. An `Endpoint` says which limits a request counts against, and whether it is urgent:
cancels, look-ups of an order, what a close needs and the clock are, and so are the closes
themselves; part of every limit is kept for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_PARAMETERS = 2  # in a path
IP = "ip"
"""The name of every exchange's limit of an address."""


class Scope(StrEnum):
    """Whose requests are counted together."""

    ACCOUNT = "account"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class Published:
    """At most `units` in any `window_ms` milliseconds, or in each that the exchange's clock starts.

    Both are kept as the first, which is the stricter: what holds for any window holds for those.

    Attributes:
        bursts: of what is read and set up, at a worker's start above all; no order counts.
    """

    name: str
    units: int
    window_ms: int
    scope: Scope = Scope.ACCOUNT
    bursts: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What one request costs.

    Attributes:
        costs: names of limits and units.
        costs_of_all: the same for a request that names no symbol, where that differs.
        urgent: may use what is kept for closes and look-ups.
    """

    costs: tuple[tuple[str, int], ...]
    costs_of_all: tuple[tuple[str, int], ...] | None = None
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Quota:
    """All limits of an exchange.

    Attributes:
        limits: by name.
        endpoints: by method and path, without path parameters.
        otherwise: what a request costs that is not listed.
    """

    venue: str
    limits: Mapping[str, Published]
    endpoints: Mapping[tuple[str, str], Endpoint]
    otherwise: Endpoint

    def endpoint(self, method: str, path: str) -> tuple[str, Endpoint]:
        """The entry of a path and the path it is listed under, without path parameters."""
        listed_as = path
        for _ in range(_MOST_PARAMETERS + 1):
            found = self.endpoints.get((method, listed_as))
            if found is not None:
                return listed_as, found
            listed_as = listed_as.rpartition("/")[0]
        return "", self.otherwise


def listed(*limits: Published) -> dict[str, Published]:
    """Limits by name."""
    return {limit.name: limit for limit in limits}
