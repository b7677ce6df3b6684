"""What each request of one client has to ask for: the published limits, overridden and paced. Pure.

A bucket is named after the exchange's host, whose limit it is (an account, or the address that
requests leave from) and the limit; whoever names the same buckets shares them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from providers.limits.pacing import Pace, margin_of, pace
from providers.limits.quota import Published, Quota, Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_OVERRIDE = re.compile(r"([a-z][a-z0-9_-]*):([A-Za-z0-9_/]+)=([0-9]{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rules:
    """How limits are kept, on every exchange alike.

    Attributes:
        margin_ms: how much later than another a request may arrive that left with it.
        reserve: the part of each limit that is kept for closes and look-ups.
        address: names the address that requests leave from.
        overrides: units by exchange and limit, in place of the published ones.
    """

    margin_ms: int = 70
    reserve: float = 0.1
    address: str = "default"
    overrides: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Need:
    """Units of one bucket.

    Attributes:
        margin_ms: how much later than another a request may arrive that left with it.
    """

    bucket: str
    limit: Published
    units: int
    pace: Pace
    margin_ms: int


@dataclass(frozen=True, slots=True)
class Want:
    """What one request asks for.

    Attributes:
        exchange: the venue's name.
        address: the scope that a ban of the address is kept under; every request belongs to it.
        scopes: everything whose cool-down keeps this request from leaving.
        margin_ms: the least of its needs; 0 without any.
    """

    exchange: str
    address: str
    needs: tuple[Need, ...]
    urgent: bool
    scopes: tuple[str, ...] = field(init=False, repr=False, compare=False)
    margin_ms: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        scopes = (self.address, *(need.bucket for need in self.needs))
        object.__setattr__(self, "scopes", scopes)
        margin_ms = min((need.margin_ms for need in self.needs), default=0)
        object.__setattr__(self, "margin_ms", margin_ms)


class Plan:
    """The wants of one client.

    Args:
        quota: the exchange's limits.
        host: the exchange's host and port: a test network counts apart.
        account: the account's name.
        rules: how limits are kept.

    Raises:
        ValueError: an override names no limit of this exchange.
    """

    def __init__(self, quota: Quota, host: str, account: str, rules: Rules) -> None:
        self._quota = quota
        self._place = f"{quota.venue}@{host}"
        self._account = account
        self._rules = rules
        self._limits = overridden(quota, rules.overrides.get(quota.venue, {}))
        self._wants: dict[tuple[str, str, bool, bool], Want] = {}
        self.address = f"{self._place} ip:{rules.address}"

    def want(self, method: str, path: str, *, of_all: bool, urgent: bool) -> Want:
        """What a request asks for.

        Args:
            method: of the request.
            path: of the request.
            of_all: it names no symbol.
            urgent: it is urgent even if its endpoint is not (a close).
        """
        listed_as, endpoint = self._quota.endpoint(method, path)
        key = (method, listed_as, of_all, urgent)
        found = self._wants.get(key)
        if found is None:
            costs = endpoint.costs
            if of_all and endpoint.costs_of_all is not None:
                costs = endpoint.costs_of_all
            needs = tuple(self._need(self._limits[name], units) for name, units in costs)
            found = Want(self._quota.venue, self.address, needs, urgent or endpoint.urgent)
            self._wants[key] = found
        return found

    def _need(self, limit: Published, units: int) -> Need:
        rules = self._rules
        whose = self._account if limit.scope is Scope.ACCOUNT else f"ip:{rules.address}"
        margin_ms = margin_of(limit, rules.margin_ms)
        paced = pace(limit, margin_ms=margin_ms, reserve=rules.reserve)
        return Need(f"{self._place} {whose} {limit.name}", limit, units, paced, margin_ms)


def overridden(quota: Quota, overrides: Mapping[str, int]) -> dict[str, Published]:
    """The limits of an exchange with some of the figures replaced.

    Raises:
        ValueError: a name is no limit of this exchange.
    """
    unknown = sorted(set(overrides) - set(quota.limits))
    if unknown:
        raise ValueError(
            f"{quota.venue} has no limit {unknown[0]!r}; "
            f"there are {', '.join(sorted(quota.limits))}"
        )
    return {
        name: replace(limit, units=overrides.get(name, limit.units))
        for name, limit in quota.limits.items()
    }


def parse_overrides(text: str, quotas: Iterable[Quota]) -> dict[str, dict[str, int]]:
    """Read `bybit:order/create=20,binance:orders_10s=600`.

    Raises:
        ValueError: naming what is wrong and what would be right.
    """
    known = {quota.venue: quota for quota in quotas}
    found: dict[str, dict[str, int]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _OVERRIDE.fullmatch(part)
        if match is None:
            raise ValueError(
                f"{part!r} is no limit; write EXCHANGE:LIMIT=REQUESTS, such as "
                "bybit:order/create=20"
            )
        exchange, name, units = match[1], match[2], int(match[3])
        if exchange not in known:
            raise ValueError(
                f"{part!r}: no limits of {exchange!r} are known; there are those of "
                f"{', '.join(sorted(known))}"
            )
        if units < 1:
            raise ValueError(f"{part!r}: at least 1 request must be allowed")
        if name in found.setdefault(exchange, {}):
            raise ValueError(f"{part!r}: this limit is given twice")
        found[exchange][name] = units
        overridden(known[exchange], found[exchange])
    return found
