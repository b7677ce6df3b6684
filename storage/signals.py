"""Signals: what strategies published, kept for people to look at; nothing is traded from them.

For `POST /api/signals` and `GET /api/signals`. A signal has a symbol, a type and the time it was
made; where it came from, the exchange and the price it speaks of are optional, and the body it
came as is kept untouched beside them.

    signal = await add_signal(database, NewSignal(symbol="BTCUSDT", signal_type="LONG", …))
    page = await list_signals(database, SignalFilter(symbol="BTCUSDT", limit=10))
    more = await list_signals(database, SignalFilter(symbol="BTCUSDT", limit=10, before=page.next))
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from storage.postgres import statement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    import asyncpg

    from storage.postgres import Database

SIGNALS_MOST = 100  # of one page
SIGNALS_USUAL = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSignal:
    """A signal as it came.

    Attributes:
        signaled_at: when the strategy says it made it.
        symbol: as `providers.symbols.normalise` writes it, so that filters find it.
        signal_type: what the strategy calls it, in capitals: BUY, SELL, HOLD, LONG, …
        raw: the body as it came: the text of one JSON object.
        signal_id: a publisher that gives its own may say the same thing twice.
    """

    signaled_at: datetime
    symbol: str
    signal_type: str
    raw: str = field(repr=False)
    source: str | None = None
    exchange: str | None = None
    price: Decimal | None = None
    signal_id: UUID = field(default_factory=uuid4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A signal as it is kept; `id` is the place in the list, `received_at` by our clock."""

    id: int
    signal_id: UUID
    signaled_at: datetime
    received_at: datetime
    symbol: str
    signal_type: str
    source: str | None
    exchange: str | None
    price: Decimal | None
    raw: str = field(repr=False)

    @classmethod
    def read(cls, record: asyncpg.Record) -> Signal:
        """Make a signal from a row of `trade_signals`."""
        return cls(**{name: record[name] for name in _COLUMNS})


_COLUMNS = tuple(one.name for one in fields(Signal))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalFilter:
    """Which signals to list; None means any.

    Attributes:
        since: made at this instant or later.
        until: made before this instant.
        limit: the most of one page, 1 to `SIGNALS_MOST`.
        before: `SignalPage.next` of the page before; None begins with the newest.
    """

    symbol: str | None = None
    signal_type: str | None = None
    source: str | None = None
    exchange: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = SIGNALS_USUAL
    before: int | None = None

    def __post_init__(self) -> None:
        """Refuse a page size that nobody should ask for."""
        if not 1 <= self.limit <= SIGNALS_MOST:
            raise ValueError(f"limit is {self.limit}; it must be 1 to {SIGNALS_MOST}")


@dataclass(frozen=True, slots=True)
class SignalPage:
    """Signals, newest first, and where the next page begins; None if this is the last."""

    signals: Sequence[Signal]
    next: int | None


async def add_signal(database: Database, signal: NewSignal) -> Signal:
    """Keep a signal and return it as it is kept; one with a known id is returned as it was."""
    rows = await database.fetch(
        statement("insert_signal"),
        signal.signal_id,
        signal.signaled_at,
        signal.symbol,
        signal.signal_type,
        signal.source,
        signal.exchange,
        signal.price,
        signal.raw,
    )
    kept = Signal.read(rows[0]) if rows else await get_signal(database, signal.signal_id)
    assert kept is not None  # noqa: S101 - nothing removes a signal
    return kept


async def get_signal(database: Database, signal_id: UUID) -> Signal | None:
    """Return one signal, or None."""
    rows = await database.fetch("SELECT * FROM trade_signals WHERE signal_id = $1", signal_id)
    return Signal.read(rows[0]) if rows else None


async def list_signals(database: Database, wanted: SignalFilter) -> SignalPage:
    """List signals, newest first, a page at a time.

    Pages are told apart by where they begin, so signals that arrive meanwhile move none from one
    page to the next.
    """
    rows = await database.fetch(
        statement("list_signals"),
        wanted.before,
        wanted.symbol,
        wanted.signal_type,
        wanted.source,
        wanted.exchange,
        wanted.since,
        wanted.until,
        wanted.limit + 1,
    )
    signals = [Signal.read(row) for row in rows[: wanted.limit]]
    return SignalPage(signals, signals[-1].id if len(rows) > wanted.limit else None)
