"""The summary of a day as a file: CSV with every digit, or Parquet with decimals for programs.

Writing Parquet needs pyarrow (`trade-worker[reports]`), which is imported only for that.
"""

from __future__ import annotations

import csv
import io
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from enum import StrEnum
from typing import TYPE_CHECKING

import orjson

from consumer.errors import ExtraMissing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from storage.daily import DaySummary

_COUNTS = (
    "orders",
    "filled",
    "partly_filled",
    "canceled",
    "rejected",
    "denied",
    "expired",
    "quarantined",
    "open",
)
_MONEY = ("volume_base", "volume_quote")
_SECONDS = ("wire_p50", "wire_p99")
_PRECISION = 38  # the digits that decimal128 has
_SCALE = 18
_STEP = Decimal(1).scaleb(-_SCALE)


class DailyFormat(StrEnum):
    """How a summary is written."""

    CSV = "csv"
    PARQUET = "parquet"


CONTENT_TYPES = {
    DailyFormat.CSV: "text/csv; charset=utf-8",
    DailyFormat.PARQUET: "application/vnd.apache.parquet",
}


def daily_key(day: date, suffix: str) -> str:
    """Name the summary of a day in the object store: beside the reports, as no exchange is."""
    return f"trade-reports/_daily/{day.isoformat()}.{suffix}"


def write(day: date, rows: Sequence[DaySummary], wanted: DailyFormat) -> bytes:
    """Write a summary; raises `ExtraMissing`."""
    return write_csv(day, rows) if wanted is DailyFormat.CSV else write_parquet(day, rows)


def write_csv(day: date, rows: Sequence[DaySummary]) -> bytes:
    """Write CSV in UTF-8: numbers with every digit, fees as a JSON object, empty for unknown."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["date", "exchange", "symbol", *_COUNTS, *_MONEY, "fees", *_SECONDS])
    for row in rows:
        fees = {name: plain(paid) for name, paid in row.fees.items()}
        writer.writerow(
            [
                day.isoformat(),
                row.exchange,
                row.symbol,
                *(getattr(row, name) for name in _COUNTS),
                *(plain(getattr(row, name)) for name in _MONEY),
                orjson.dumps(fees).decode() if fees else "",
                *(_seconds(getattr(row, name)) for name in _SECONDS),
            ]
        )
    return file.getvalue().encode()


def write_parquet(day: date, rows: Sequence[DaySummary]) -> bytes:
    """Write Parquet: money as decimal128(38, 18), fees as a map from currency.

    Raises:
        ExtraMissing: pyarrow is not installed.
        ValueError: a sum has more than 20 digits before the point.
    """
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 - optional; no types
        import pyarrow.parquet as pq  # type: ignore[import-untyped]  # noqa: PLC0415 - as above
    except ImportError:
        raise ExtraMissing("Parquet", "pyarrow", "reports") from None
    money = pa.decimal128(_PRECISION, _SCALE)
    schema = pa.schema(
        [
            pa.field("date", pa.date32(), nullable=False),
            pa.field("exchange", pa.string(), nullable=False),
            pa.field("symbol", pa.string(), nullable=False),
            *(pa.field(name, pa.int64(), nullable=False) for name in _COUNTS),
            *(pa.field(name, money, nullable=False) for name in _MONEY),
            pa.field("fees", pa.map_(pa.string(), money), nullable=False),
            *(pa.field(name, pa.float64()) for name in _SECONDS),
        ]
    )
    table = pa.Table.from_pylist(
        [
            {
                "date": day,
                "exchange": row.exchange,
                "symbol": row.symbol,
                **{name: getattr(row, name) for name in (*_COUNTS, *_SECONDS)},
                **{name: _scaled(getattr(row, name)) for name in _MONEY},
                "fees": [(name, _scaled(paid)) for name, paid in row.fees.items()],
            }
            for row in rows
        ],
        schema=schema,
    )
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def plain(value: Decimal) -> str:
    """Write a number with every digit that says something, without an exponent."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _scaled(value: Decimal) -> Decimal:
    """Fit a number into decimal128(38, 18); only what lies beyond 18 decimals is rounded."""
    if value.adjusted() >= _PRECISION - _SCALE:
        raise ValueError(f"{value} has more digits than Parquet's decimal128 takes; use CSV")
    with localcontext() as context:
        context.prec = _PRECISION + 1
        return value.quantize(_STEP, ROUND_HALF_EVEN)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
