"""Faults as values: what to spoil, for which requests, how often; and the plan for one request.

A rule matches requests by venue, endpoint, symbol and client order id, lets the first `after` of
them pass, and then spoils `count` of them (or all), each with a probability drawn from its seed.
Rules that match one request add up, in the order they were made, until one answers or drops it.
Nothing here sleeps or writes to a socket: the server carries the plan out.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from providers.sandbox.fault_kinds import ANSWERS, NEEDS_MS, OF_STREAMS, REFUSALS, FaultKind
from providers.sandbox.values import ORDINARY, Treatment

if TYPE_CHECKING:
    from decimal import Decimal


__all__ = ["FaultKind", "FaultRule", "Faults", "Plan", "Target"]

_MAX_MS: Final = 86_400_000
_BAD_GATEWAY: Final = 502
_HTTP_STATUSES: Final = range(200, 600)
_SERVER_ERRORS: Final = range(500, 600)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """What to spoil. A selector left empty matches everything.

    Attributes:
        endpoint: name or path, `*` and `?` allowed (`order/create`, `/v5/order/*`).
        client_order_id_prefix: matches requests that name such a client order id.
        count: how many requests to spoil, None for all.
        after: matching requests to let pass first.
        for_ms: the rule ends so long after it was added, None for never.
        code: the venue's code of an `answer`, as text.
        recheck_window: a delayed request is checked for age again when it is processed.
    """

    kind: FaultKind
    venue: str = ""
    method: str = ""
    endpoint: str = ""
    symbol: str = ""
    client_order_id_prefix: str = ""
    client_order_id_regex: str = ""
    count: int | None = None
    after: int = 0
    probability: float = 1.0
    seed: int = 0
    for_ms: int | None = None
    ms: int = 0
    status: int | None = None
    code: str = ""
    message: str = ""
    execute: bool = False
    fraction: Decimal | None = None
    parts: int = 0
    recheck_window: bool = False

    def __post_init__(self) -> None:
        """Refuse a rule that could do nothing or nonsense, saying which field is wrong."""
        for wrong, text in _problems(self):
            if wrong:
                raise ValueError(f"fault {self.kind}: {text}")
        try:
            re.compile(self.client_order_id_regex)
        except re.error as error:
            raise ValueError(
                f"fault {self.kind}: client_order_id_regex does not compile: {error}"
            ) from error


def _problems(rule: FaultRule) -> tuple[tuple[bool, str], ...]:
    kind, status, fraction = rule.kind, rule.status, rule.fraction
    needs_ms = kind in NEEDS_MS
    return (
        (needs_ms and not 0 < abs(rule.ms) <= _MAX_MS, f"ms must be 1..{_MAX_MS}, not {rule.ms}"),
        (kind is not FaultKind.CLOCK_SKEW and rule.ms < 0, f"ms must not be below 0, is {rule.ms}"),
        (not 0 < rule.probability <= 1, f"probability must be in (0, 1], not {rule.probability}"),
        (
            rule.count is not None and rule.count < 1,
            f"count must be 1 or more, or left out for always, not {rule.count}",
        ),
        (rule.after < 0, f"after must be 0 or more, not {rule.after}"),
        (
            rule.for_ms is not None and rule.for_ms < 1,
            f"for_ms must be 1 or more, not {rule.for_ms}",
        ),
        (
            status is not None and status not in _HTTP_STATUSES,
            f"status must be an HTTP status, not {status}",
        ),
        (
            kind is FaultKind.SERVER_ERROR and (status or _BAD_GATEWAY) not in _SERVER_ERRORS,
            f"status must be 500..599, not {status}",
        ),
        (
            kind is FaultKind.ANSWER and not rule.code and status is None,
            "give the venue's code, or an HTTP status",
        ),
        (
            kind is FaultKind.PARTIAL_CANCEL and (fraction is None or not 0 <= fraction < 1),
            f"fraction must be in [0, 1), not {fraction}",
        ),
        (kind is FaultKind.SPLIT and rule.parts <= 1, f"parts must be above 1, not {rule.parts}"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a rule can match on: a request, or an event of a stream (its endpoint is the topic)."""

    venue: str
    method: str
    path: str
    endpoint: str
    symbol: str
    client_order_id: str
    streamed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do to one request; the empty plan serves it as usual.

    Attributes:
        answer: the rule whose answer replaces the venue's, if any.
        executes: whether the request is processed although it is answered otherwise or dropped.
    """

    skew_ms: int = 0
    latency_ms: int = 0
    processing_delay_ms: int = 0
    recheck_window: bool = False
    reply_delay_ms: int = 0
    dropped: bool = False
    answer: FaultRule | None = None
    executes: bool = True
    treatment: Treatment = ORDINARY
    kinds: tuple[FaultKind, ...] = ()


NO_FAULT: Final = Plan()


@dataclass(slots=True, eq=False)
class ActiveRule:
    """A rule at work: its number, what it has let pass and what it has spoiled."""

    number: int
    rule: FaultRule
    added_ms: int
    matched: int = 0
    injected: int = 0
    _draw: random.Random = field(init=False, repr=False)
    _pattern: re.Pattern[str] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rule = self.rule
        self._draw = random.Random(rule.seed)  # noqa: S311 - reproducible faults, nothing secret
        regex = rule.client_order_id_regex
        self._pattern = re.compile(regex) if regex else None

    def strikes(self, target: Target, now_ms: int) -> bool:
        """Whether this request is to be spoiled; counts it."""
        rule = self.rule
        if rule.count is not None and self.injected >= rule.count:
            return False
        if rule.for_ms is not None and now_ms >= self.added_ms + rule.for_ms:
            return False
        if not matches(rule, target, self._pattern):
            return False
        self.matched += 1
        if self.matched <= rule.after:
            return False
        if rule.probability < 1 and self._draw.random() >= rule.probability:
            return False
        self.injected += 1
        return True


class Faults:
    """The rules in force and how often each kind was injected."""

    def __init__(self) -> None:
        self._rules: dict[int, ActiveRule] = {}
        self._numbers = 0
        self.injected: Counter[FaultKind] = Counter()

    @property
    def rules(self) -> list[ActiveRule]:
        """All rules, in the order they were added; spent ones too."""
        return list(self._rules.values())

    def add(self, rule: FaultRule, now_ms: int) -> ActiveRule:
        """Put a rule into force."""
        self._numbers += 1
        active = self._rules[self._numbers] = ActiveRule(self._numbers, rule, now_ms)
        return active

    def remove(self, number: int) -> bool:
        """Take one rule out of force; whether there was one."""
        return self._rules.pop(number, None) is not None

    def clear(self) -> None:
        """Take all rules out of force; what was injected stays counted."""
        self._rules.clear()

    def reset(self) -> None:
        """Take all rules out of force and forget the counts."""
        self._rules.clear()
        self.injected.clear()

    def plan(self, target: Target, now_ms: int) -> Plan:
        """What to do to this request."""
        struck = self.strike(target, now_ms)
        return combine(struck) if struck else NO_FAULT

    def strike(self, target: Target, now_ms: int) -> list[FaultRule]:
        """The rules that strike this request or event, up to one that settles it; counts them."""
        struck: list[FaultRule] = []
        for active in self._rules.values():
            if active.strikes(target, now_ms):
                struck.append(active.rule)
                self.injected[active.rule.kind] += 1
                if _settles(active.rule):
                    break
        return struck


def matches(rule: FaultRule, target: Target, pattern: re.Pattern[str] | None = None) -> bool:
    """Whether a rule's selectors fit a request."""
    link_id, regex = target.client_order_id, rule.client_order_id_regex
    if regex and pattern is None:
        pattern = re.compile(regex)
    return (
        (rule.kind in OF_STREAMS) is target.streamed
        and rule.venue in ("", target.venue)
        and rule.method.upper() in ("", target.method)
        and rule.symbol in ("", target.symbol)
        and (
            not rule.endpoint
            or fnmatchcase(target.endpoint, rule.endpoint)
            or fnmatchcase(target.path, rule.endpoint)
        )
        and link_id.startswith(rule.client_order_id_prefix)
        and (pattern is None or (bool(link_id) and pattern.search(link_id) is not None))
    )


def combine(rules: list[FaultRule]) -> Plan:
    """Add up the rules that struck one request."""
    by_kind: defaultdict[FaultKind, list[FaultRule]] = defaultdict(list)
    for rule in rules:
        by_kind[rule.kind].append(rule)

    def total_ms(kind: FaultKind) -> int:
        return sum(rule.ms for rule in by_kind[kind])

    def latest(*kinds: FaultKind) -> FaultRule | None:
        return next((rule for rule in reversed(rules) if rule.kind in kinds), None)

    answer = latest(*ANSWERS)
    rejects = latest(FaultKind.REJECT_LATER)
    partial = latest(FaultKind.PARTIAL_CANCEL)
    split = latest(FaultKind.SPLIT)
    return Plan(
        skew_ms=total_ms(FaultKind.CLOCK_SKEW),
        latency_ms=total_ms(FaultKind.LATENCY),
        processing_delay_ms=total_ms(FaultKind.DELAY_PROCESSING),
        recheck_window=any(rule.recheck_window for rule in by_kind[FaultKind.DELAY_PROCESSING]),
        reply_delay_ms=total_ms(FaultKind.DELAY_REPLY),
        dropped=latest(FaultKind.DROP_BEFORE, FaultKind.DROP_AFTER) is not None,
        answer=answer,
        executes=not any(_settles(rule) for rule in rules),
        treatment=Treatment(
            hide_ms=max((rule.ms for rule in by_kind[FaultKind.HIDE]), default=0),
            reject_reason=rejects.message if rejects is not None else None,
            take_fraction=partial.fraction if partial is not None else None,
            splits=split.parts if split is not None else None,
        ),
        kinds=tuple(rule.kind for rule in rules),
    )


def _settles(rule: FaultRule) -> bool:
    """Whether nothing after this rule can matter: the request is not processed."""
    if rule.kind in (FaultKind.SERVER_ERROR, FaultKind.ANSWER):
        return not rule.execute
    return rule.kind in REFUSALS or rule.kind is FaultKind.DROP_BEFORE
