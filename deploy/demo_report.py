"""What came of the demo: counted from the ledger, the queues and the sandbox's own book."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.table import Table

from consumer.cli.orders import price_of, quantity_of
from storage.states import OrderState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from storage.orders import OrderRow

_OUR_PREFIX = "tw-"
_STYLE = {
    OrderState.FILLED: "green",
    OrderState.REJECTED: "red",
    OrderState.DENIED: "red",
    OrderState.UNKNOWN: "yellow",
}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message found among the dead letters."""

    request_id: str | None
    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class Report:
    """The demo's figures. `lost` and `doubled` name what they count."""

    published: int
    filled: int
    rejected: int
    dead_lettered: int
    retried: int
    lost: tuple[str, ...]
    doubled: tuple[str, ...]

    @property
    def line(self) -> str:
        """The last line of the demo."""
        return (
            f"demo: {self.published} published, {self.filled} filled, {self.rejected} rejected, "
            f"{self.dead_lettered} dead-lettered, {self.retried} retried, {len(self.lost)} lost, "
            f"{len(self.doubled)} doubled"
        )


def count(
    published: Sequence[str],
    rows: Sequence[OrderRow],
    dead: Sequence[DeadLetter],
    book: Sequence[Mapping[str, Any]],
    still_queued: int,
) -> Report:
    """Count. Pure.

    Args:
        published: the request id of every message that was published.
        rows: the ledger.
        dead: the dead-letter queue.
        book: every order that the sandbox accepted.
        still_queued: messages left in the trade queue and its retry queues.
    """
    buried = {letter.request_id for letter in dead}
    by_id = {row.request_id: row for row in rows}
    lost = [
        request_id
        for request_id in sorted(set(published))
        if request_id not in buried
        and (request_id not in by_id or not by_id[request_id].state.final)
    ]
    lost += [f"{still_queued} messages still queued"] if still_queued else []
    return Report(
        published=len(published),
        filled=sum(row.state is OrderState.FILLED for row in rows),
        rejected=sum(row.state is OrderState.REJECTED for row in rows),
        dead_lettered=len(dead),
        retried=sum(row.attempts > 1 for row in rows),
        lost=tuple(lost),
        doubled=tuple(doubled(rows, book)),
    )


def doubled(rows: Sequence[OrderRow], book: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name every order at the exchange that is one too many, or that we know nothing of."""
    ours = [order for order in book if str(order["client_order_id"]).startswith(_OUR_PREFIX)]
    counted = Counter(order["client_order_id"] for order in ours)
    extra = [f"{client_id} stands {n} times" for client_id, n in counted.items() if n > 1]
    known = {row.client_order_id: row for row in rows}
    for order in ours:
        row = known.get(order["client_order_id"])
        if row is None:
            extra.append(f"{order['client_order_id']} is in no ledger row")
        elif row.state.final and row.filled_quantity != Decimal(str(order["filled"])):
            extra.append(
                f"{row.request_id}: the ledger has {row.filled_quantity:f} filled, the exchange "
                f"{order['filled']}"
            )
    return extra


def orders_table(
    rows: Sequence[OrderRow], dead: Collection[DeadLetter], wire: Mapping[str, float]
) -> Table:
    """Draw every order, and the dead letters that never became one."""
    table = Table(title="every order", title_justify="left", box=None, header_style="bold")
    for name in ("REQUEST ID", "EXCHANGE", "SYMBOL", "ACTION", "QUANTITY", "PRICE", "STATUS",
                 "ATTEMPTS", "MS TO WIRE"):  # fmt: skip
        right = name in ("QUANTITY", "PRICE", "ATTEMPTS", "MS TO WIRE")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for row in rows:
        style = _STYLE.get(row.state, "")
        seconds = wire.get(row.request_id)
        table.add_row(
            row.request_id,
            row.exchange,
            row.symbol,
            row.action,
            quantity_of(row),
            price_of(row) or "",
            f"[{style}]{row.state}[/]" if style else str(row.state),
            str(row.attempts),
            f"{seconds * 1000:.1f}" if seconds is not None else "",
        )
    known = {row.request_id for row in rows}
    for letter in dead:
        if letter.request_id not in known:
            table.add_row(
                letter.request_id or "?", "", "", "", "", "", f"[red]{letter.reason}[/]", "", ""
            )
    return table
