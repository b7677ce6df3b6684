"""What passes between the HTTP server and a venue's facade, and what a facade must offer.

A facade is synchronous: it reads a request into a `Call`, says at the gate whether the call is
admitted, and executes it. Sockets, waiting and spoiled answers are the server's part.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from providers.sandbox.values import ORDINARY, Treatment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.sandbox.account import Account
    from providers.sandbox.engine import Engine
    from providers.sandbox.faults import FaultRule
    from providers.sandbox.limits import LimitsSetting, Verdict
    from providers.sandbox.streams import Session
    from providers.sandbox.variants import Variants


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """A request as received, nothing decoded.

    Attributes:
        path: raw path below the venue's base URL.
        query: raw query, without the question mark.
        headers: case-insensitive.
        arrived_ms: sandbox clock; `arrived_ns` the machine's wall clock.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    arrived_ms: int
    arrived_ns: int


@dataclass(slots=True, kw_only=True)
class Call:
    """A request as a venue understands it.

    Attributes:
        endpoint: the venue's short name for the route, empty for none.
        problem: what made it unreadable, empty when it was read.
        account: who calls, once the gate has found out.
        verdict: the rate limit it was counted against, for the answer's headers.
        skew_ms: how far off the venue's clock shall seem.
    """

    inbound: Inbound
    endpoint: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    symbol: str = ""
    client_order_id: str = ""
    account: Account | None = None
    verdict: Verdict | None = None
    skew_ms: int = 0
    treatment: Treatment = ORDINARY


@dataclass(slots=True, kw_only=True)
class Reply:
    """An answer to be written; `code` is the venue's own code, for the counters."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    code: str = ""


class Facade(Protocol):
    """One venue as its customers see it; `cap_names` are the names its limits have."""

    venue: str
    engine: Engine
    limits: LimitsSetting
    cap_names: frozenset[str]
    variants: Variants

    def read(self, inbound: Inbound) -> Call:
        """Recognise the route and decode parameters; never fails (see `Call.problem`)."""
        ...

    def admit(self, call: Call, now_ms: int) -> Reply | None:
        """Bans, limits, credentials, signature and age; an answer only if it is turned away."""
        ...

    def too_old(self, call: Call, now_ms: int) -> Reply | None:
        """Check the age alone, for a call that waited after it was admitted."""
        ...

    def execute(self, call: Call, now_ms: int) -> Reply:
        """Carry the call out."""
        ...

    def refuse(self, call: Call, rule: FaultRule, now_ms: int) -> Reply:
        """The venue's own words for an injected answer, rate limit, ban or maintenance."""
        ...

    def connect(self, inbound: Inbound) -> Session | None:
        """What a WebSocket handshake opens; None where the venue has no stream."""
        ...

    def set_limits(self, setting: LimitsSetting) -> None:
        """Change the request limits and forget what was counted."""
        ...

    def clock_set_back(self, by_ms: int) -> None:
        """The clock was set back: keep bans as long as they were."""
        ...

    def new_account(
        self, name: str, key: str, secret: str, balance: str, *, hedge: bool = False
    ) -> Account:
        """An account with this venue's defaults, not yet opened."""
        ...

    def reset(self, accounts: list[Account]) -> None:
        """Start again with these accounts, without orders, bans or counts."""
        ...
