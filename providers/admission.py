"""May this request leave now? What every client asks before it signs, and tells after the answer.

The count is kept by a `providers.limits.limiter.Limiter`. Here is the waiting, what is asked again
after it, and what an answer means for the count: a ban or a broken limit shuts its scope for
everybody who shares it, and where the exchange has counted more than we know of, somebody else is
using the account.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from providers.limits.limiter import Closed, OpenLimiter
from providers.limits.plan import Plan, Rules
from providers.limits.quota import Scope
from providers.outcomes import OutcomeClass, Placement, PlacementKind
from providers.values import value

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from providers.calls import Call
    from providers.clock import Clock
    from providers.limits.limiter import Joined, Limiter, Slot
    from providers.limits.plan import Want
    from providers.limits.quota import Quota
    from providers.orders import PreparedOrder

_log = logging.getLogger(__name__)

_TRIES: Final = 3  # to leave on time; a process that can't is too slow to exceed a limit
_WORTH_ASKING: Final = 0.01  # seconds of waiting after which a scope may have been shut
_MOST_HELD: Final = 256
_ACCOUNT: Final = "default"  # the only one so far
_ON_TIME: Final = 0.6  # of the margin is ours; the rest is left to the network and the exchange
_ADDRESS_PAUSE: Final = 600.0  # seconds without any request after a ban that names no end
# Answers overtake each other, so one that shows a little more than we had counted says nothing.
_OVERTAKING: Final = 1
_FADING: Final = 0.95  # of the longest time that orders were held, with each that follows
_MOST_AHEAD: Final = 0.25  # seconds
_BUSY: Final = 0.5
_BUSY_FOR: Final = 5.0  # seconds after the last request, for nobody else says how full it is now
_ALMOST_USED_UP: Final = 5  # units of a long window, of which we see only the last part ourselves


@value(frozen=True, slots=True)
class Ticket:
    """A slot that has come, or is about to.

    Attributes:
        due: monotonic seconds.
        used: see `providers.limits.limiter.Slot`.
    """

    want: Want
    due: float
    used: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer says of a limit: units used of it, and seconds until its window ends."""

    limit: str
    used: int
    ends_in: float = 0.0


class Admission:
    """The limits as one client keeps to them.

    Args:
        quota: the exchange's limits.
        base_url: where the exchange is; another host has limits of its own.
        placing: the call that places an order, without anything about the order.
        clock: local time.
        sleep: waits for a slot.
    """

    def __init__(
        self,
        quota: Quota,
        base_url: str,
        placing: Call,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._quota = quota
        url = urlsplit(base_url)
        self._scheme, self._host = url.scheme, url.netloc.rpartition("@")[2]
        self._placing = placing
        self._clock = clock
        self._sleep = sleep
        self._held: dict[str, tuple[Ticket, float]] = {}
        self._full, self._full_at = 0.0, 0.0
        self._held_for = 0.0  # seconds between the end of `hold` and `admit`, lately
        self.limit_with(OpenLimiter(clock), 0.0)

    def limit_with(self, limiter: Limiter, patience: float) -> None:
        """Ask this limiter from now on, and wait at most so many seconds for a slot."""
        self._limiter = limiter
        self._patience = patience
        rules = limiter.rules
        self._plan = Plan(self._quota, self._host, _ACCOUNT, rules or Rules())

    @property
    def origin(self) -> str:
        """The exchange's scheme, host and port."""
        return f"{self._scheme}://{self._host}"

    def want(self, call: Call, *, urgent: bool = False) -> Want:
        """What a request asks for; `urgent` for a close."""
        return self._plan.want(
            call.method, call.path, of_all="symbol=" not in call.query, urgent=urgent
        )

    async def hold(self, order: PreparedOrder) -> Closed | None:
        """Wait for an order's slot and keep it until `admit` asks for it by the order's id.

        Ends ahead of the slot by what usually passes until then: a slot that is missed is lost.
        """
        want = self.want(self._placing, urgent=order.reduce_only)
        ticket = await self._wait_for(want, ahead=self._held_for)
        if isinstance(ticket, Closed):
            return ticket
        self._keep(order, ticket)
        return None

    def joins(self, order: PreparedOrder) -> Want | None:
        """What to ask for if the ledger takes an order's slot; None if it can't now."""
        return self._limiter.joins(self.want(self._placing, urgent=order.reduce_only))

    def keep(self, order: PreparedOrder, taken: Joined) -> None:
        """Keep the slot that the ledger took until `admit` asks for it by the order's id."""
        want = self.want(self._placing, urgent=order.reduce_only)
        self._keep(order, self._ticket(want, self._limiter.joined(want, taken)))

    async def admit(
        self, want: Want, order_id: str | None = None, *, patient: bool = True
    ) -> Ticket | Closed:
        """Wait until a request may leave, which it then must at once.

        Args:
            want: what it asks for.
            order_id: of the order that it places, whose slot may be held.
            patient: False does not wait for a slot.
        """
        ticket = None if order_id is None else await self._from_hold(order_id)
        for _ in range(_TRIES):
            if ticket is None or self._late(ticket):
                waited = await self._wait_for(want, patient=patient)
                if isinstance(waited, Closed):
                    return waited
                ticket = waited
            if not self._late(ticket):
                break
        assert ticket is not None  # noqa: S101 - the loop has run
        left = self._limiter.shut(want.scopes)
        return ticket if left is None else Closed(left, cooling=True)

    @property
    def busy(self) -> bool:
        """True if what can be left out should be: half of a limit was in use a moment ago."""
        return self._full > _BUSY and self._clock.monotonic() - self._full_at < _BUSY_FOR

    def refused(
        self, ticket: Ticket, outcome: OutcomeClass, seconds: float | None, why: str
    ) -> float | None:
        """Shut what an answer says is used up, for as long as it says; returns the seconds."""
        if outcome is OutcomeClass.RATE_IP:
            seconds = seconds or _ADDRESS_PAUSE
            _log.error("%s: address banned for %.0f s: %s", self._quota.venue, seconds, why)
            self._limiter.cool_down(ticket.want.address, seconds, why)
        elif outcome is OutcomeClass.RATE_ACCOUNT and self._limiter.rules is not None:
            for need in ticket.want.needs:
                if need.limit.scope is Scope.ACCOUNT:
                    self._limiter.cool_down(need.bucket, seconds or need.pace.period_ms / 1000, why)
        return seconds

    def counted(self, ticket: Ticket, usages: Iterable[Usage]) -> None:
        """Compare the exchange's own count with ours."""
        if self._limiter.rules is None:
            return
        needs = {need.limit.name: number for number, need in enumerate(ticket.want.needs)}
        for usage in usages:
            number = needs.get(usage.limit)
            if number is None or number >= len(ticket.used):
                continue
            need = ticket.want.needs[number]
            if need.limit.window_ms <= need.pace.period_ms:  # kept whole, so comparable
                unknown = usage.used - ticket.used[number] - _OVERTAKING
                if unknown > 0:
                    self._limiter.charge(need, unknown)
            elif need.limit.units - usage.used < _ALMOST_USED_UP and usage.ends_in > 0:
                self._limiter.cool_down(
                    need.bucket, usage.ends_in, f"{usage.used} of {need.limit.units} are used"
                )

    def _late(self, ticket: Ticket) -> bool:
        """Whether a slot is missed: it would arrive later than its limits allow for."""
        if self._limiter.rules is None:
            return False
        margin = ticket.want.margin_ms / 1000
        return self._clock.monotonic() - ticket.due > margin * _ON_TIME

    def _keep(self, order: PreparedOrder, ticket: Ticket) -> None:
        if len(self._held) >= _MOST_HELD:
            self._held.clear()  # of orders that were not sent after all
        self._held[order.client_order_id] = (ticket, self._clock.monotonic())

    async def _from_hold(self, order_id: str) -> Ticket | None:
        held = self._held.pop(order_id, None)
        if held is None:
            return None
        ticket, since = held
        now = self._clock.monotonic()
        self._held_for = min(max(now - since, self._held_for * _FADING), _MOST_AHEAD)
        if ticket.due > now:
            await self._sleep(ticket.due - now)
        return ticket

    async def _wait_for(
        self, want: Want, *, patient: bool = True, ahead: float = 0.0
    ) -> Ticket | Closed:
        slot = await self._limiter.take(want, self._patience if patient else 0.0)
        if isinstance(slot, Closed):
            return slot
        wait = slot.at - self._clock.monotonic()
        if wait > ahead:
            await self._sleep(wait - ahead)
            if wait > _WORTH_ASKING:
                left = await self._limiter.cooling(want.scopes)
                if left is not None:
                    return Closed(left, cooling=True)
        return self._ticket(want, slot)

    def _ticket(self, want: Want, slot: Slot) -> Ticket:
        full = [
            used / (need.pace.general + need.pace.reserved)
            for need, used in zip(want.needs, slot.used, strict=False)
            if need.limit.scope is Scope.ADDRESS
        ]
        if full:
            self._full, self._full_at = max(full), self._clock.monotonic()
        return Ticket(want, slot.at, slot.used)


def say_closed(closed: Closed) -> str:
    """Why nothing was sent."""
    if closed.cooling:
        return (
            f"the exchange has told us to stay away for {closed.seconds:.1f} s more; "
            "nothing was sent"
        )
    return f"the next free request slot is {closed.seconds:.1f} s away; nothing was sent"


def class_of_closed(closed: Closed) -> OutcomeClass:
    """The outcome class of a request that did not leave."""
    return OutcomeClass.RATE_IP if closed.cooling else OutcomeClass.RATE_ACCOUNT


def not_placed(closed: Closed) -> Placement:
    """The placement of an order that did not leave."""
    return Placement(
        PlacementKind.DEFERRED,
        class_of_closed(closed),
        message=say_closed(closed),
        retry_after=closed.seconds,
    )
