"""Each check of a chaos run finds what it is for, and nothing in a run that is as it should be."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from consumer.execution.claimed import new_order
from storage.identity import client_order_id
from storage.orders import OrderEvent, OrderRow
from storage.states import OrderState
from tests.chaos.checks import CHECKS, SLACK, judge
from tests.chaos.evidence import DeadLetter, Evidence, Halt, Pause, Recorded
from tests.chaos.traffic import Kind, Message
from tests.chaos.wire import Send
from tests.fakes.ledger import born
from tests.fakes.messages import message as decoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.sandbox.values import Order

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
S = OrderState
GOOD_PATH = (
    (None, S.RECEIVED),
    (S.RECEIVED, S.SENDING),
    (S.SENDING, S.ACCEPTED),
    (S.ACCEPTED, S.FILLED),
)
EXPIRED_PATH = (None, S.RECEIVED), (S.RECEIVED, S.EXPIRED)


class BookOrder:
    """As much of the sandbox's order as the checks look at."""

    def __init__(self, name: str, **changes: Any) -> None:  # noqa: ANN401 - any field
        self.client_order_id = client_order_id(name, "default")
        self.venue = "bybit"
        self.state = "filled"
        self.filled = Decimal(1)
        self.average = Decimal(100)
        self.fee = Decimal("0.05")
        self.fills = [SimpleNamespace(qty=Decimal(1), price=Decimal(100))]
        self.__dict__.update(changes)


def book_order(name: str, **changes: Any) -> Order:  # noqa: ANN401 - any field
    return cast("Order", BookOrder(name, **changes))


def row(name: str, state: OrderState, **changes: Any) -> OrderRow:  # noqa: ANN401 - any field
    order = new_order(decoded(requestId=name), "bybit", NOW)
    return replace(born(order, None, NOW, None), state=state, **changes)


def events(*steps: tuple[OrderState | None, OrderState]) -> list[OrderEvent]:
    return [OrderEvent(NOW, before, after, 1, 1, None, None, {}) for before, after in steps]


def published(number: int, kind: Kind, name: str | None, body: bytes, **changes: Any) -> Message:  # noqa: ANN401 - any field
    message = Message(number, kind, name, {})
    message.body = body
    for field, value in changes.items():
        setattr(message, field, value)
    return message


def send(name: str, at: float = 0.0, worker: int = 0) -> Send:
    return Send(
        "bybit", worker, client_order_id(name, "default"), NOW.timestamp() + at, passed=True
    )


def fill(name: str, quantity: int = 1) -> Recorded:
    return Recorded(name, Decimal(quantity), Decimal(100))


def as_it_should_be() -> Evidence:
    """One good trade with a duplicate and a conflict, one that expired, one that can't be read."""
    filled = {
        "filled_quantity": Decimal(1),
        "average_price": Decimal(100),
        "fee": Decimal("0.05"),
        "sends": 1,
    }
    return Evidence(
        published=[
            published(0, Kind.GOOD, "good", b"good"),
            published(1, Kind.DUPLICATE, "good", b"good"),
            published(2, Kind.CONFLICT, "good", b"other"),
            published(3, Kind.EXPIRED, "late", b"late", expires_at=NOW),
            published(4, Kind.MALFORMED, None, b"{"),
            published(5, Kind.EXPIRING, "soon", b"soon", expires_at=NOW + timedelta(seconds=3)),
        ],
        rows={
            "good": row("good", S.FILLED, **filled),
            "late": row("late", S.EXPIRED, dead_lettered_at=NOW),
            "soon": row("soon", S.FILLED, **filled),
        },
        events={
            "good": events(*GOOD_PATH),
            "late": events(*EXPIRED_PATH),
            "soon": events(*GOOD_PATH),
        },
        dead=[
            DeadLetter(b"other", "DUPLICATE_REQUEST", "good"),
            DeadLetter(b"late", "EXPIRED", "late"),
            DeadLetter(b"{", "NOT_JSON", None),
        ],
        book=[book_order("good"), book_order("soon")],
        fills=[fill("good"), fill("soon")],
        sends=[send("good"), send("soon", 2.0)],
        depths={"trade-execution": 0},
        exits=[0, 0, 0],
    )


def broken(evidence: Evidence) -> set[str]:
    return {verdict.promise for verdict in judge(evidence) if verdict.wrong}


def test_a_run_as_it_should_be_breaks_nothing_and_every_check_looks_at_something() -> None:
    evidence = as_it_should_be()

    verdicts = judge(evidence)

    assert [verdict for verdict in verdicts if verdict.wrong] == []
    assert [verdict.promise for verdict in verdicts if not verdict.checked] == []
    assert [verdict.promise for verdict in verdicts] == list(CHECKS)


def without_row(evidence: Evidence) -> None:
    evidence.rows = {name: one for name, one in evidence.rows.items() if name != "good"}


def change(name: str, **changes: Any) -> Callable[[Evidence], None]:  # noqa: ANN401 - any field
    def changed(evidence: Evidence) -> None:
        evidence.rows = {**evidence.rows, name: replace(evidence.rows[name], **changes)}

    return changed


def extra_letter(letter: DeadLetter) -> Callable[[Evidence], None]:
    def changed(evidence: Evidence) -> None:
        evidence.dead = [*evidence.dead, letter]

    return changed


def no_letter(body: bytes) -> Callable[[Evidence], None]:
    def changed(evidence: Evidence) -> None:
        evidence.dead = [one for one in evidence.dead if one.body != body]

    return changed


def extra_order(order: Order) -> Callable[[Evidence], None]:
    def changed(evidence: Evidence) -> None:
        evidence.book = [*evidence.book, order]

    return changed


def other(**changes: Any) -> Callable[[Evidence], None]:  # noqa: ANN401 - any field
    def changed(evidence: Evidence) -> None:
        for name, value in changes.items():
            setattr(evidence, name, value)

    return changed


def path(*steps: tuple[OrderState | None, OrderState]) -> Callable[[Evidence], None]:
    def changed(evidence: Evidence) -> None:
        evidence.events = {**evidence.events, "good": events(*steps)}

    return changed


END = "one end for every intent"
FILLS = "fills as the exchange's"
LEGAL = "every step legal"


@pytest.mark.parametrize(
    ("spoil", "promise"),
    [
        (without_row, END),
        (change("good", state=S.UNKNOWN), END),
        (change("good", state=S.DEFERRED), END),
        (extra_letter(DeadLetter(b"good", "EXPIRED", "good")), END),
        (no_letter(b"late"), END),
        (no_letter(b"{"), "poison among the dead letters"),
        (no_letter(b"other"), "poison among the dead letters"),
        (extra_order(book_order("good")), "one order at the exchange"),
        (extra_order(book_order("good", venue="mexc")), "one order at the exchange"),
        (extra_order(book_order("nobody's")), "every order accounted for"),
        (extra_order(book_order("late")), "every order accounted for"),
        (other(sends=[send("soon", 3.0 + 2 * SLACK)]), "none sent after expiry"),
        (
            other(halts=[Halt(NOW.timestamp() - 1.0, NOW.timestamp() + 1.0)]),
            "none sent while halted",
        ),
        (change("good", filled_quantity=Decimal(2)), FILLS),
        (change("good", average_price=Decimal(101)), FILLS),
        (change("good", fee=None), FILLS),
        (change("good", state=S.CANCELED), FILLS),
        (other(book=[]), FILLS),
        (other(fills=[fill("good")]), "every fill recorded"),
        (other(fills=[fill("good"), fill("soon"), fill("soon")]), "every fill recorded"),
        (other(fills=[fill("good", 2), fill("soon")]), "every fill recorded"),
        (path(*GOOD_PATH[:2], (S.SENDING, S.FILLED)), LEGAL),
        (path(*GOOD_PATH[:2], (S.ACCEPTED, S.FILLED)), LEGAL),
        (path(*GOOD_PATH[:3]), LEGAL),
        (path(), LEGAL),
        (change("good", sends=2), LEGAL),
        (other(sends=[send("good")] * 3), "no send without an intent"),
        (other(alarms=["trade:kill_switch:bybit"]), "no false alarm"),
        (other(depths={"trade-execution": 1}), "queues empty"),
        (other(exits=[0, None, -9]), "workers end well"),
    ],
)  # fmt: skip
def test_each_check_finds_what_it_is_for(spoil: Callable[[Evidence], None], promise: str) -> None:
    evidence = as_it_should_be()

    spoil(evidence)

    assert promise in broken(evidence)


def test_giving_up_is_an_end_also_where_the_order_was_found_later() -> None:
    evidence = as_it_should_be()

    extra_letter(DeadLetter(b"good", "RETRIES_EXHAUSTED", "good"))(evidence)

    assert not broken(evidence)


def test_a_send_that_was_decided_before_a_pause_is_not_late() -> None:
    evidence = as_it_should_be()
    began = NOW.timestamp() + 2.9
    evidence.sends = [send("good"), send("soon", 6.0, worker=1)]
    assert broken(evidence) == {"none sent after expiry"}

    evidence.pauses = [Pause(1, began, began + 2.5)]

    assert not broken(evidence)


def test_a_send_after_a_halt_is_none_during_it_though_the_worker_stood_still_meanwhile() -> None:
    evidence = as_it_should_be()
    began = NOW.timestamp()
    evidence.halts = [Halt(began, began + 2)]
    evidence.pauses = [Pause(0, began + 1, began + 3)]
    evidence.sends = [send("good", 3.5)]

    assert not broken(evidence)


@pytest.mark.parametrize(
    ("state", "reason"), [(S.CANCELED, "EXCHANGE_CANCELED"), (S.REJECTED, "EXCHANGE_REJECTED")]
)
def test_what_an_exchange_took_and_did_not_fill_is_a_dead_letter_unless_it_was_not_to_wait(
    state: OrderState, reason: str
) -> None:
    evidence = as_it_should_be()
    nothing = {"filled_quantity": Decimal(0), "exchange_order_id": "x-1"}
    change("good", state=state, **nothing)(evidence)
    assert END in broken(evidence)

    extra_letter(DeadLetter(b"good", reason, "good"))(evidence)
    assert END not in broken(evidence)

    extra_letter(DeadLetter(b"good", "EXPIRED", "good"))(evidence)
    assert END in broken(evidence)

    evidence = as_it_should_be()
    change("good", state=state, payload={"timeInForce": "IOC"}, **nothing)(evidence)
    assert (END in broken(evidence)) == (state is S.REJECTED)
