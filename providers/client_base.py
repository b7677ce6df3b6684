"""What every exchange client does alike: the order of work around signing, sending and reading.

A venue's client says how to sign, which calls to make, and what its JSON means. This module
holds the rest, so that it is the same everywhere: a request waits for its slot (`admission`), and
only then is it signed, last before sending; a clock error is followed by one clock sync and
exactly one more try; an answer that can't be read is `UNKNOWN`; a ban of the address stops every
request; reads are tried again, orders never are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import tenacity

from providers.admission import Admission, class_of_closed, not_placed, say_closed
from providers.calls import Verdict, retry_after, without_signatures
from providers.clock import ServerClock, from_ms
from providers.errors import ExchangeRefusal, ExchangeUnavailable
from providers.fields import MalformedReply
from providers.http import Fault, TransportFault
from providers.instruments import InstrumentBook
from providers.limits.limiter import Closed
from providers.observing import CallTeller
from providers.outcomes import (
    PLACEMENT_OF_CLASS,
    OutcomeClass,
    Placement,
    PlacementKind,
    permitted,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from providers.admission import Ticket, Usage
    from providers.calls import Call, Signed
    from providers.clock import Clock
    from providers.fields import Row
    from providers.http import Answer, Http
    from providers.limits.limiter import Joined, Limiter
    from providers.limits.plan import Want
    from providers.observing import CallObserver
    from providers.orders import Instrument, OrderView, PreparedOrder
    from providers.outcomes import Permit

_log = logging.getLogger(__name__)

T = TypeVar("T")
V = TypeVar("V")

MESSAGE_LENGTH = 300
MALFORMED = "malformed-reply"  # the code of an answer that could not be read
_CLOCK_READINGS = 3  # at start; the tightest of them is kept
_WARM_SECONDS = 10.0  # between clock readings, which also keep connections from going idle
_READ_TRIES = 3
_FIRST_PAUSE = 0.1  # seconds at most, before the second; twice as long before the third

# Statuses that ask to stay away, though what became of the request is not known; the seconds if
# they do not say for how long. None: as after a ban.
_STAY_AWAY: MappingProxyType[int, float | None] = MappingProxyType(
    {403: None, 418: None, 429: 10.0}
)

# What reads and setters raise. The classes left out are success.
_REFUSALS = frozenset(
    {
        OutcomeClass.AUTH,
        OutcomeClass.PARAMETER,
        OutcomeClass.FILTER,
        OutcomeClass.MARGIN,
        OutcomeClass.REDUCE_ONLY,
        OutcomeClass.NO_POSITION,
        OutcomeClass.NOT_TRADABLE,
        OutcomeClass.DUPLICATE_ID,
        OutcomeClass.NOT_FOUND,
    }
)
_SUCCESSES = frozenset({OutcomeClass.ACCEPTED, OutcomeClass.BENIGN})
_WORTH_ANOTHER_READ = frozenset(
    {OutcomeClass.UNKNOWN, OutcomeClass.NOT_SENT, OutcomeClass.OVERLOAD}
)
_RATE_LIMITS = frozenset({OutcomeClass.RATE_ACCOUNT, OutcomeClass.RATE_IP})


class VenueClient(ABC):
    """The common half of an `ExchangeClient`; the abstract methods are the venue's half.

    Args:
        name: the venue's name.
        http: the seam to the network, owned by this client.
        clock: local time.
        recv_window_ms: how long after its timestamp the venue may accept a request.
        instruments_ttl: seconds after which instruments are read anew.
        future_tolerance: how far ahead of its own clock the venue accepts a timestamp.
        admission: the request limits.
        sleep: waits between tries of a read; tests put something faster here.
    """

    def __init__(
        self,
        name: str,
        http: Http,
        clock: Clock,
        *,
        recv_window_ms: int,
        instruments_ttl: float,
        future_tolerance: timedelta,
        admission: Admission,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._name = name
        self._http = http
        self._clock = clock
        self._recv_window_ms = recv_window_ms
        self._acceptance_window = timedelta(milliseconds=recv_window_ms) + future_tolerance
        self._server_clock = ServerClock(clock)
        self._book = InstrumentBook(name, self._load_instruments_checked, clock, instruments_ttl)
        self._sleep = sleep
        self._admission = admission
        self._keeper: asyncio.Task[None] | None = None
        self._teller = CallTeller(name, clock, admission.origin)

    # What a venue says.

    @abstractmethod
    def _sign(self, call: Call, timestamp_ms: int) -> Signed:
        """Add timestamp and signature; `call.signed` False asks for neither."""

    @abstractmethod
    def _classify(self, status: int, body: bytes) -> Verdict:
        """Look an answer up in the venue's outcome table."""

    @abstractmethod
    def _order_call(self, order: PreparedOrder) -> Call:
        """Translate an order."""

    @abstractmethod
    def _order_id(self, result: Row, order: PreparedOrder) -> str:
        """The exchange's order id in an accepted placement; raises `MalformedReply`."""

    @abstractmethod
    def _lookup_calls(self, symbol: str, client_order_id: str) -> Sequence[Call]:
        """The reads that find an order by client id, in the order they are to be tried."""

    @abstractmethod
    def _orders_in(self, result: Row) -> list[OrderView]:
        """The orders in the answer to a look-up; raises `MalformedReply`."""

    @abstractmethod
    async def _read_server_ms(self) -> float:
        """Ask the venue for its clock, ms since 1970."""

    @abstractmethod
    async def _load_instruments(self) -> Mapping[str, Instrument]:
        """Read all instruments."""

    def _reset_after(self, headers: Mapping[str, str]) -> float | None:
        """Seconds until a rate limit ends, where a header of the venue's own says so."""
        del headers
        return None

    def _usages(self, ticket: Ticket, headers: Mapping[str, str]) -> Iterable[Usage]:
        """What headers say of limits, by the venue's own count."""
        del ticket, headers
        return ()

    def _pause(self, verdict: Verdict, headers: Mapping[str, str]) -> float | None:
        """Seconds that an answer asks to stay away."""
        seconds = retry_after(headers, self._clock.now())
        if verdict.outcome_class in _RATE_LIMITS and seconds is None:
            return self._reset_after(headers)
        return seconds

    # The interface, as far as it is the same everywhere.

    @property
    def name(self) -> str:
        """The venue's name in lower case."""
        return self._name

    @property
    def busy(self) -> bool:
        """True if what can wait should: see `providers.exchange.TellsLoad`."""
        return self._admission.busy

    @property
    def acceptance_window(self) -> timedelta:
        """How long after its timestamp the venue may still accept a signed request."""
        return self._acceptance_window

    def observe(self, observer: CallObserver) -> None:
        """Tell an observer of every request from now on; see `providers.exchange.Observable`."""
        self._teller.observer = observer

    async def start(self) -> None:
        """Open a connection, read the venue's clock and instruments. Safe to call again.

        If it fails, whatever is missing is read when first needed, and the clock is tried again
        in the background.
        """
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_warm(), name=f"{self._name}-keep-warm")
        for _ in range(_CLOCK_READINGS):
            await self.server_time()
        await self._book.refresh()

    async def aclose(self) -> None:
        """End background work and close connections."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        await self._book.aclose()
        await self._http.aclose()

    async def server_time(self) -> datetime:
        """The venue's clock, read now; also corrects the offset used for signing."""
        sent = self._clock.monotonic()
        server_ms = await self._read_server_ms()
        self._server_clock.add(sent, self._clock.monotonic(), server_ms)
        return from_ms(server_ms)

    async def instrument(self, symbol: str) -> Instrument:
        """The rules of a symbol, cached."""
        return await self._book.get(symbol)

    async def refresh_instruments(self) -> None:
        """Read all instruments anew."""
        await self._book.refresh()

    def limit_with(self, limiter: Limiter, patience: float) -> None:
        """Ask this limiter from now on, and wait at most so many seconds for a slot."""
        self._admission.limit_with(limiter, patience)

    async def reserve(self, order: PreparedOrder) -> None:
        """Wait for the slot of an order; see `ExchangeClient.reserve`."""
        closed = await self._admission.hold(order)
        if closed is not None:
            raise ExchangeUnavailable(
                self._name,
                say_closed(closed),
                outcome_class=class_of_closed(closed),
                retry_after=closed.seconds,
            )

    def slot_to_take(self, order: PreparedOrder) -> Want | None:
        """What slot an order needs; see `providers.exchange.JoinsCommit`."""
        return self._admission.joins(order)

    def slot_taken(self, order: PreparedOrder, taken: Joined) -> None:
        """Keep a slot that the ledger took; see `providers.exchange.JoinsCommit`."""
        self._admission.keep(order, taken)

    async def place(self, order: PreparedOrder, permit: Permit = permitted) -> Placement:
        """Sign and send one order, once; see `ExchangeClient.place`."""
        return await self._place_call(self._order_call(order), order, permit)

    async def find_order(self, symbol: str, client_order_id: str) -> OrderView | None:
        """Look an order up by client id, over open orders and history."""
        for call in self._lookup_calls(symbol, client_order_id):
            try:
                verdict = await self._read(call._replace(client_order_id=client_order_id))
            except ExchangeRefusal as error:
                if error.outcome_class is OutcomeClass.NOT_FOUND:
                    continue
                raise
            for order in self._parse(self._orders_in, verdict.result):
                if order.client_order_id == client_order_id:
                    return order
        return None

    # Sending.

    async def _place_call(self, call: Call, order: PreparedOrder, permit: Permit) -> Placement:
        """Send a placement, once, or twice if the clock was wrong."""
        placement = await self._place_once(call, order, permit)
        if placement.outcome_class is not OutcomeClass.CLOCK:
            return placement
        # Refused for its timestamp, so certainly not executed: correct the clock, try once more.
        if not await self._resync():
            return placement
        return await self._place_once(call, order, permit)

    async def _place_once(self, call: Call, order: PreparedOrder, permit: Permit) -> Placement:
        want = self._admission.want(call, urgent=order.reduce_only)
        ticket = await self._admission.admit(want, order.client_order_id)
        if isinstance(ticket, Closed):
            return not_placed(ticket)
        refused = permit()
        if refused is not None:
            return Placement(
                PlacementKind.DEFERRED, OutcomeClass.NOT_PERMITTED, message=refused[:MESSAGE_LENGTH]
            )
        # Nothing but the send comes after the signature.
        timestamp_ms = self._server_clock.timestamp_ms()
        signing = self._clock.monotonic()
        signed = self._sign(call, timestamp_ms)
        sent_at = self._clock.now()
        began = self._clock.monotonic()
        signing = began - signing
        try:
            answer = await self._http.send(signed.method, signed.url, signed.headers, signed.body)
        except TransportFault as fault:
            self._teller.unanswered(
                call, began, fault, placed=order.client_order_id, signing=signing
            )
            if fault.fault is Fault.NOT_SENT:
                return Placement(
                    PlacementKind.DEFERRED, OutcomeClass.NOT_SENT, fault.name, str(fault)
                )
            return Placement(
                PlacementKind.UNKNOWN,
                OutcomeClass.UNKNOWN,
                fault.name,
                str(fault),
                signed_at=from_ms(timestamp_ms),
                sent_at=sent_at,
            )
        verdict, order_id, seconds = self._judge_placement(answer, order, ticket)
        self._teller.answered(
            call, began, answer.status, verdict, placed=order.client_order_id, signing=signing
        )
        return Placement(
            PLACEMENT_OF_CLASS[verdict.outcome_class],
            verdict.outcome_class,
            verdict.code,
            verdict.message[:MESSAGE_LENGTH],
            exchange_order_id=order_id,
            signed_at=from_ms(timestamp_ms),
            sent_at=sent_at,
            retry_after=seconds,
        )

    def _judge_placement(
        self, answer: Answer, order: PreparedOrder, ticket: Ticket
    ) -> tuple[Verdict, str | None, float | None]:
        """The verdict, the exchange's order id if it was accepted, and seconds to stay away."""
        try:
            verdict = self._judge(answer)
            seconds = self._note_limits(verdict, answer, ticket)
            if verdict.outcome_class is not OutcomeClass.ACCEPTED:
                return verdict, None, seconds
            return verdict, self._order_id(verdict.result, order), seconds
        except Exception as error:  # noqa: BLE001 - the order may exist, so nothing may be raised
            reason = str(error) if isinstance(error, MalformedReply) else type(error).__name__
            message = f"the answer could not be read: {reason}"
            return Verdict(OutcomeClass.UNKNOWN, MALFORMED, message), None, None

    def _judge(self, answer: Answer) -> Verdict:
        """Look an answer up; what is passed on of a refusal's words is no signature."""
        verdict = self._classify(answer.status, answer.body)
        if verdict.outcome_class in _SUCCESSES:
            return verdict
        return replace(verdict, message=without_signatures(verdict.message))

    async def _read(self, call: Call) -> Verdict:
        """Make a call that changes nothing; tries again where that may help."""
        try:
            return await self._call(call)
        except ExchangeUnavailable as error:
            if not _worth_another_read(error):
                raise
        # Made only now, for it takes half as long as the request.
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(_READ_TRIES - 1),
            wait=tenacity.wait_random_exponential(multiplier=2 * _FIRST_PAUSE, max=1.0),
            retry=tenacity.retry_if_exception(_worth_another_read),
            sleep=self._sleep,
            reraise=True,
        )
        await self._sleep(random.uniform(0, _FIRST_PAUSE))  # noqa: S311 - jitter, no secret
        return await retrying(self._call, call)

    async def _call(self, call: Call) -> Verdict:
        """Make a call that is no placement, once, or twice if the clock was wrong.

        Raises:
            ExchangeRefusal: the venue said no.
            ExchangeUnavailable: there was no usable answer.
        """
        verdict, retry_after = await self._send(call)
        if verdict.outcome_class is OutcomeClass.CLOCK and call.signed and await self._resync():
            verdict, retry_after = await self._send(call)
        if verdict.outcome_class in _SUCCESSES:
            return verdict
        kind = ExchangeRefusal if verdict.outcome_class in _REFUSALS else ExchangeUnavailable
        raise kind(
            self._name,
            f"{call.method} {call.path}: {verdict.message[:MESSAGE_LENGTH]}",
            outcome_class=verdict.outcome_class,
            code=verdict.code,
            retry_after=retry_after,
        )

    async def _send(self, call: Call) -> tuple[Verdict, float | None]:
        ticket = await self._admission.admit(self._admission.want(call), patient=call.patient)
        if isinstance(ticket, Closed):
            return Verdict(class_of_closed(ticket), None, say_closed(ticket)), ticket.seconds
        signed = self._sign(call, self._server_clock.timestamp_ms())
        began = self._clock.monotonic()
        try:
            answer = await self._http.send(signed.method, signed.url, signed.headers, signed.body)
        except TransportFault as fault:
            self._teller.unanswered(call, began, fault)
            return Verdict(OutcomeClass(fault.fault), fault.name, str(fault)), None
        verdict = self._judge(answer)
        self._teller.answered(call, began, answer.status, verdict)
        return verdict, self._note_limits(verdict, answer, ticket)

    def _parse(self, parse: Callable[[V], T], value: V) -> T:
        """Translate a good answer; what can't be read is an answer we did not get."""
        try:
            return parse(value)
        except MalformedReply as error:
            raise self._malformed(str(error)) from error

    def _malformed(self, reason: str) -> ExchangeUnavailable:
        return ExchangeUnavailable(
            self._name,
            f"the answer could not be read: {reason}",
            outcome_class=OutcomeClass.UNKNOWN,
            code=MALFORMED,
        )

    # Clock, limits, instruments.

    async def _resync(self) -> bool:
        sent = self._clock.monotonic()
        try:
            server_ms = await self._read_server_ms()
        except (ExchangeRefusal, ExchangeUnavailable) as error:
            _log.warning("%s: clock refused, and it can't be read: %s", self._name, error)
            return False
        self._server_clock.forget()  # what the estimate stood on is proven wrong
        self._server_clock.add(sent, self._clock.monotonic(), server_ms)
        return True

    def _note_limits(self, verdict: Verdict, answer: Answer, ticket: Ticket) -> float | None:
        """Seconds to stay away; what an answer says of limits is kept for every later request."""
        self._admission.counted(ticket, self._usages(ticket, answer.headers))
        outcome = verdict.outcome_class
        if outcome in _SUCCESSES:
            return None
        seconds = self._pause(verdict, answer.headers)
        if outcome is OutcomeClass.UNKNOWN and answer.status in _STAY_AWAY:
            outcome = OutcomeClass.RATE_IP
            seconds = seconds or _STAY_AWAY[answer.status]
        if outcome in _RATE_LIMITS:
            return self._admission.refused(
                ticket, outcome, seconds, verdict.message[:MESSAGE_LENGTH] or verdict.code or ""
            )
        return seconds

    async def _load_instruments_checked(self) -> Mapping[str, Instrument]:
        instruments = await self._load_instruments()
        if not instruments:
            # Taken at its word, an empty list would refuse every order for an unknown symbol.
            raise self._malformed("the list of instruments is empty")
        return MappingProxyType(dict(instruments))

    async def _keep_warm(self) -> None:
        failing = False
        while True:
            await asyncio.sleep(_WARM_SECONDS)
            try:
                await self.server_time()
                failing = False
            except (ExchangeRefusal, ExchangeUnavailable) as error:
                if not failing:
                    _log.warning("%s: clock can't be read: %s", self._name, error)
                failing = True


def _worth_another_read(error: BaseException) -> bool:
    return isinstance(error, ExchangeUnavailable) and error.outcome_class in _WORTH_ANOTHER_READ
