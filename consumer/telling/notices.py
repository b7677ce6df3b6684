"""The words of a notice: many events as one message, told from what the ledger has. Pure.

Nothing here is remembered from when it happened: of an order the row is read anew, so that the
text is what `trade-worker orders show` would say; of the others the facts were written down in the
transaction that made them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from storage.notifications import Topic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from storage.notifications import PendingNotice
    from storage.orders import OrderRow

_LINES_MOST = 10  # of one topic; the others are counted
_LINE_MOST = 300  # characters


class Mood(StrEnum):
    """How bad it is, as services colour it."""

    SUCCESS = "success"
    INFO = "info"
    WARNING = "warning"
    FAILURE = "failure"


# In the order in which they are told: what somebody must act upon first.
_TOPICS: MappingProxyType[Topic, tuple[str, Mood]] = MappingProxyType(
    {
        Topic.KILL_SWITCH: ("kill switch", Mood.WARNING),
        Topic.QUARANTINED: ("quarantined", Mood.FAILURE),
        Topic.BAN: ("banned", Mood.FAILURE),
        Topic.FOREIGN: ("foreign", Mood.WARNING),
        Topic.DEAD_LETTERED: ("dead-lettered", Mood.FAILURE),
        Topic.FAILED: ("failed", Mood.WARNING),
        Topic.EXECUTED: ("executed", Mood.SUCCESS),
    }
)
_WORST = (Mood.FAILURE, Mood.WARNING, Mood.INFO, Mood.SUCCESS)


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to people."""

    title: str
    body: str
    mood: Mood


def compose(events: Sequence[PendingNotice], orders: Mapping[str, OrderRow]) -> Notice:
    """Put events into one message.

    Args:
        events: at least one, oldest first.
        orders: the orders they are about, by request id, as the ledger has them now.
    """
    dead = {
        event.request_id
        for event in events
        if event.topic is Topic.DEAD_LETTERED and event.request_id is not None
    }
    by_topic = {
        topic: [
            event
            for event in events
            if event.topic is topic
            # An order that failed and died of it is told once.
            and not (topic is Topic.FAILED and event.request_id in dead)
        ]
        for topic in _TOPICS
    }
    told = {topic: some for topic, some in by_topic.items() if some}
    counts = ", ".join(f"{len(some)} {_TOPICS[topic][0]}" for topic, some in told.items())
    moods = {_TOPICS[topic][1] for topic in told}
    sections = [_section(topic, some, orders) for topic, some in told.items()]
    return Notice(
        f"trade-worker: {counts}",
        "\n\n".join(sections),
        next(mood for mood in _WORST if mood in moods),
    )


def _section(topic: Topic, events: Sequence[PendingNotice], orders: Mapping[str, OrderRow]) -> str:
    lines = [_cut(_line(event, orders)) for event in events[:_LINES_MOST]]
    if len(events) > _LINES_MOST:
        lines.append(f"… and {len(events) - _LINES_MOST} more")
    return "\n".join([_TOPICS[topic][0].capitalize() + ":", *(f"- {line}" for line in lines)])


def _line(event: PendingNotice, orders: Mapping[str, OrderRow]) -> str:
    row = orders.get(event.request_id) if event.request_id is not None else None
    match event.topic:
        case Topic.EXECUTED | Topic.FAILED | Topic.QUARANTINED:
            if row is None:
                return f"no longer in the ledger (request {event.request_id})"
            return _order(row)
        case Topic.DEAD_LETTERED:
            return _dead_letter(event, row)
        case Topic.KILL_SWITCH:
            return _kill_switch(event.detail)
        case Topic.BAN:
            return _ban(event.detail)
        case Topic.FOREIGN:
            return _foreign(event.detail)


def _order(row: OrderRow) -> str:
    where = f"{row.action} {row.symbol} on {row.exchange}"
    if row.filled_quantity > 0:
        result = f"{_number(row.filled_quantity)} filled"
        if row.average_price is not None:
            result += f" at {_number(row.average_price)}"
        if row.fee is not None:
            result += f", fee {_number(row.fee)} {row.fee_currency or ''}".rstrip()
    else:
        result = f"{_number(row.order_quantity or row.quantity)} asked for"
    state = ", " + ": ".join(part for part in (row.state, row.code, row.message) if part)
    return f"{where}: {result}{state} (request {row.request_id})"


def _dead_letter(event: PendingNotice, row: OrderRow | None) -> str:
    detail = event.detail
    why = ": ".join(str(detail[part]) for part in ("reason", "error") if detail.get(part))
    what = "a message"
    if row is not None:
        quantity = _number(row.order_quantity or row.quantity)
        what = f"{row.action} {quantity} {row.symbol} on {row.exchange}"
    request = f" (request {event.request_id})" if event.request_id else ""
    return f"{what}: {why or 'no reason given'}{request}"


def _kill_switch(detail: Mapping[str, object]) -> str:
    after = detail.get("after")
    line = (
        f"{detail.get('key', 'trade:kill_switch')} is {'no longer set' if after is None else after}"
    )
    if detail.get("before") is not None:
        line += f", was {detail['before']}"
    if detail.get("by"):
        line += f", by {detail['by']}"
    if detail.get("why"):
        line += f": {detail['why']}"
    return line


def _ban(detail: Mapping[str, object]) -> str:
    line = str(detail.get("exchange", "an exchange"))
    if detail.get("until"):
        line += f" until {detail['until']}"
    if detail.get("reason"):
        line += f": {detail['reason']}"
    return line


def _foreign(detail: Mapping[str, object]) -> str:
    what = " ".join(str(detail.get(part, "?")) for part in ("side", "quantity", "symbol"))
    filled = f", {detail['filled']} filled" if detail.get("filled") else ""
    where = f"{what} on {detail.get('exchange', 'an exchange')}{filled}"
    return f"{where}, order {detail.get('order', '?')}: {detail.get('why', 'not ours')}"


def _number(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _cut(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= _LINE_MOST else f"{line[: _LINE_MOST - 1]}…"
