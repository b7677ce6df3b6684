"""The promises, held against what a run left behind. Pure.

Each check says how many things it looked at and names every one that is wrong.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from storage.identity import client_order_id
from storage.states import OrderState, may_follow
from tests.chaos.traffic import POISON, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.sandbox.values import Order
    from storage.orders import OrderRow
    from tests.chaos.evidence import DeadLetter, Evidence
    from tests.chaos.traffic import Message
    from tests.chaos.wire import Send

_OURS = "tw-"
EXHAUSTED = "RETRIES_EXHAUSTED"
CONFLICT = "DUPLICATE_REQUEST"
# Of an order that the exchange had, and that ended without a fill.
_UNFILLED = {OrderState.CANCELED: "EXCHANGE_CANCELED", OrderState.REJECTED: "EXCHANGE_REJECTED"}
# From the last look at a clock or a switch to the first byte on the wire, on a loaded machine.
SLACK = 0.5
_DIGITS = Decimal("1e-4")  # averages and fees are shown rounded
_AWAKE = 1.0  # seconds after a pause in which a send may be one that was decided before it

_DONE = (OrderState.FILLED, OrderState.CANCELED)
_REFUSED = (OrderState.DENIED, OrderState.EXPIRED, OrderState.REJECTED)
_SURRENDERED = (OrderState.RECEIVED, OrderState.DEFERRED)  # not sent, its message a dead letter
# What may become of an intent, where only some of it is right.
_ONLY: dict[Kind, tuple[OrderState, ...]] = {
    Kind.EXPIRED: (OrderState.EXPIRED,),
    Kind.EXPIRING: (*_DONE, OrderState.EXPIRED),
    Kind.TEST: (OrderState.CANCELED,),
    Kind.UNLISTED: (OrderState.DENIED,),
    Kind.GOOD: _DONE,
}
_STATE_OF_BOOK = {
    "filled": OrderState.FILLED,
    "canceled": OrderState.CANCELED,
    "deactivated": OrderState.CANCELED,
    "rejected": OrderState.REJECTED,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One promise: how much was looked at, and what broke it."""

    promise: str
    checked: int
    wrong: tuple[str, ...]


def judge(evidence: Evidence) -> list[Verdict]:
    """Check every promise."""
    verdicts = []
    for promise, check in CHECKS.items():
        found = list(check(evidence))
        wrong = tuple(fault for fault in found if fault is not None)
        verdicts.append(Verdict(promise, len(found), wrong))
    return verdicts


Check = Callable[["Evidence"], "Iterator[str | None]"]


def is_over(row: OrderRow) -> bool:
    """Whether nothing more will happen to an order and to its message."""
    if row.state in (*_REFUSED, *_SURRENDERED) or _came_to_nothing(row):
        return row.dead_lettered_at is not None
    return row.state in _DONE


def _came_to_nothing(row: OrderRow) -> bool:
    if row.state is OrderState.CANCELED and row.payload.get("timeInForce") in ("IOC", "FOK"):
        return False  # it did as it was told
    at_exchange = row.exchange_order_id is not None
    return row.state in _UNFILLED and at_exchange and not row.filled_quantity


def every_intent_has_one_end(evidence: Evidence) -> Iterator[str | None]:
    """A final order, a dead letter, or both in agreement; nothing is lost, nothing is left open."""
    letters: defaultdict[str | None, set[str]] = defaultdict(set)
    for letter in evidence.dead:
        letters[letter.request_id].add(letter.reason)
    for message in evidence.published:
        if message.is_intent and message.request_id is not None:
            row = evidence.rows.get(message.request_id)
            reasons = letters[message.request_id] - {CONFLICT}
            fault = _end(message, row, reasons)
            yield fault and f"{message.request_id} ({message.kind}): {fault}"


def _end(message: Message, row: OrderRow | None, reasons: set[str]) -> str | None:
    if row is None:
        return None if reasons == {EXHAUSTED} else f"no order; dead letters {sorted(reasons)}"
    given_up = EXHAUSTED in reasons
    allowed = _ONLY[message.kind] + (_SURRENDERED if given_up else ())
    if _came_to_nothing(row):
        told = reasons and reasons <= {_UNFILLED[row.state], EXHAUSTED}
        return None if told else f"{row.state} without a fill; dead letters {sorted(reasons)}"
    halted = row.state is OrderState.DENIED and row.code == "KILL_SWITCH_ACTIVE"
    if row.state not in allowed and not halted:
        return f"{row.state} ({row.code}: {row.message})"
    if row.state in _REFUSED and not reasons:
        return f"{row.state}, but its message is not among the dead letters"
    if row.state in _DONE and reasons - {EXHAUSTED}:
        return f"{row.state}, but also a dead letter: {sorted(reasons)}"
    return None


def every_poison_is_a_dead_letter(evidence: Evidence) -> Iterator[str | None]:
    """What can't be read, or contradicts an earlier request, is refused with a reason."""
    bodies: defaultdict[bytes, set[str]] = defaultdict(set)
    for letter in evidence.dead:
        bodies[letter.body].add(letter.reason)
    for message in evidence.published:
        if message.kind in POISON and not bodies[message.body]:
            yield f"message {message.number} ({message.kind}) is nowhere"
        elif message.kind in POISON:
            yield None
        elif message.kind is Kind.CONFLICT:
            yield _conflict(evidence, message, bodies)


def _conflict(
    evidence: Evidence, message: Message, bodies: defaultdict[bytes, set[str]]
) -> str | None:
    """Of two trades with one request id, one is a dead letter: the one that came second."""
    first = next(
        one for one in evidence.published if one.is_intent and one.request_id == message.request_id
    )
    if {CONFLICT, EXHAUSTED} & (bodies[message.body] | bodies[first.body]):
        return None
    return f"{message.request_id}: both trades of one request id went through"


def none_doubled(evidence: Evidence) -> Iterator[str | None]:
    """The exchange has at most one order of an intent."""
    counts = Counter(
        (order.venue, order.client_order_id)
        for order in evidence.book
        if order.client_order_id.startswith(_OURS)
    )
    venues = Counter(name for _, name in counts)
    for (venue, name), count in counts.items():
        if count > 1:
            yield f"{name} stands {count} times at {venue}"
        elif venues[name] > 1:
            yield f"{name} stands at {venues[name]} exchanges"
        else:
            yield None


def none_unaccounted(evidence: Evidence) -> Iterator[str | None]:
    """The ledger knows every order that the exchange has, and nothing that was not to be sent."""
    known = {row.client_order_id: row for row in evidence.rows.values()}
    unsent = {
        client_order_id(message.request_id, "default")
        for message in evidence.published
        if message.kind in (Kind.EXPIRED, Kind.TEST, Kind.UNLISTED, Kind.UNKNOWN_FIELD)
        and message.request_id is not None
    }
    for order in evidence.book:
        if not order.client_order_id.startswith(_OURS):
            yield None  # a protection of a position
        elif order.client_order_id in unsent:
            yield f"{order.client_order_id} was not to be sent"
        elif order.client_order_id not in known:
            yield f"{order.client_order_id} is in no row of the ledger"
        else:
            yield None


def none_sent_late(evidence: Evidence) -> Iterator[str | None]:
    """No order reached the wire after it expired."""
    expires = {
        client_order_id(message.request_id, "default"): message.expires_at.timestamp()
        for message in evidence.published
        if message.expires_at is not None and message.request_id is not None
    }
    for send in evidence.sends:
        limit = expires.get(send.client_order_id)
        if limit is not None:
            late = decided_at(send, evidence) - limit
            yield f"{send.client_order_id} sent {late:.2f} s late" if late > SLACK else None


def none_sent_while_halted(evidence: Evidence) -> Iterator[str | None]:
    """No order reached the wire while the kill switch was on."""
    for send in evidence.sends:
        decided = decided_at(send, evidence)
        halted = any(
            halt.began + SLACK < decided and send.at < halt.ended for halt in evidence.halts
        )
        yield f"{send.client_order_id} sent while trading was halted" if halted else None


def decided_at(send: Send, evidence: Evidence) -> float:
    """When a send was decided at the earliest: its worker may have stood still after that."""
    at = send.at
    for pause in evidence.pauses:
        if pause.worker == send.worker and pause.began <= at <= pause.ended + _AWAKE:
            return min(at, pause.began)
    return at


def every_fill_is_recorded(evidence: Evidence) -> Iterator[str | None]:
    """The ledger has each fill of an order, once, with its quantity and price."""
    recorded: defaultdict[str, list[tuple[Decimal, Decimal]]] = defaultdict(list)
    for fill in evidence.fills:
        recorded[fill.request_id].append((fill.quantity, fill.price))
    book = {order.client_order_id: order for order in evidence.book}
    for row in evidence.rows.values():
        order = book.get(row.client_order_id)
        theirs = sorted((fill.qty, fill.price) for fill in order.fills) if order else []
        ours = sorted(recorded[row.request_id])
        wrong = f"{row.request_id}: fills {ours}, the exchange says {theirs}"
        yield None if ours == theirs else wrong


def fills_agree(evidence: Evidence) -> Iterator[str | None]:
    """State, filled quantity, average price and fee are the exchange's own."""
    book = {order.client_order_id: order for order in evidence.book}
    for row in evidence.rows.values():
        fault = _compare(row, book.get(row.client_order_id))
        yield fault and f"{row.request_id} ({row.exchange}): {fault}"


def _compare(row: OrderRow, order: Order | None) -> str | None:
    if order is None:
        filled = row.filled_quantity or row.state is OrderState.FILLED
        return f"{row.state} with {row.filled_quantity}, the exchange has none" if filled else None
    differences = (
        (row.state not in _states_of(order), row.state, order.state),
        (row.filled_quantity != order.filled, f"filled {row.filled_quantity}", order.filled),
        (_apart(row.average_price, order.average), f"average {row.average_price}", order.average),
        (_apart(row.fee, order.fee or None), f"fee {row.fee}", order.fee),
    )
    return next(
        (f"{ours}, the exchange says {theirs}" for differs, ours, theirs in differences if differs),
        None,
    )


def _states_of(order: Order) -> tuple[OrderState | None, ...]:
    """What an order in the book may be in the ledger. Binance calls what it rejects EXPIRED."""
    state = _STATE_OF_BOOK.get(order.state)
    expires = state is OrderState.REJECTED and order.venue == "binance"
    return (state, OrderState.CANCELED) if expires else (state,)


def _apart(ours: Decimal | None, theirs: Decimal | None) -> bool:
    """Whether two figures differ by more than the digits that an exchange shows of them."""
    if not ours or theirs is None:
        return bool(ours) or theirs is not None
    return abs(ours - theirs) > abs(theirs) * _DIGITS


def every_step_is_legal(evidence: Evidence) -> Iterator[str | None]:
    """Events follow one another without a gap, by the table, and end where the row stands."""
    for row in evidence.rows.values():
        state: OrderState | None = None
        fault = None
        sends = 0
        for event in evidence.events.get(row.request_id, ()):
            sends += event.after is OrderState.SENDING and event.before is not event.after
            if state is not None and event.before is not state:
                fault = f"{event.before} → {event.after} after {state}"
            elif state is not None and not may_follow(state, event.after):
                fault = f"{event.after} may not follow {state}"
            state = event.after
        if state is not row.state:
            fault = f"its events end in {state}, the row is {row.state}"
        elif sends != row.sends:
            fault = f"{sends} intents among its events, {row.sends} in its row"
        yield fault and f"{row.request_id}: {fault}"


def no_intent_is_skipped(evidence: Evidence) -> Iterator[str | None]:
    """An order reached the wire at most as often as an intent to send it was committed."""
    known = {row.client_order_id: row for row in evidence.rows.values()}
    for name, sends in Counter(send.client_order_id for send in evidence.sends).items():
        row = known.get(name)
        # A clock error is signed once more under the same intent.
        if row is None or sends > 2 * row.sends:
            intents = row.sends if row else 0
            yield f"{name} on the wire {sends} times with {intents} intents"
        else:
            yield None


def no_false_alarm(evidence: Evidence) -> Iterator[str | None]:
    """Nothing halted trading by itself, for there was no reason to."""
    yield f"on at the end: {', '.join(evidence.alarms)}" if evidence.alarms else None


def queues_are_empty(evidence: Evidence) -> Iterator[str | None]:
    """No message waits anywhere; the dead letters are collected."""
    for queue, depth in evidence.depths.items():
        yield f"{depth} messages left in {queue}" if depth else None


def workers_end_well(evidence: Evidence) -> Iterator[str | None]:
    """Asked to stop, each worker drains and ends with 0."""
    for number, code in enumerate(evidence.exits):
        yield f"worker {number} ended with {code}" if code != 0 else None


CHECKS: dict[str, Check] = {
    "one end for every intent": every_intent_has_one_end,
    "poison among the dead letters": every_poison_is_a_dead_letter,
    "one order at the exchange": none_doubled,
    "every order accounted for": none_unaccounted,
    "none sent after expiry": none_sent_late,
    "none sent while halted": none_sent_while_halted,
    "fills as the exchange's": fills_agree,
    "every fill recorded": every_fill_is_recorded,
    "every step legal": every_step_is_legal,
    "no send without an intent": no_intent_is_skipped,
    "no false alarm": no_false_alarm,
    "queues empty": queues_are_empty,
    "workers end well": workers_end_well,
}


def count_ends(evidence: Evidence) -> dict[str, int]:
    """How many intents ended how."""
    return dict(Counter(str(row.state) for row in evidence.rows.values()))


def reasons(letters: Sequence[DeadLetter]) -> dict[str, int]:
    """How many dead letters have which reason."""
    return dict(Counter(letter.reason for letter in letters))
