"""The picture of a day: volume, orders, fees and latency by the hour, as PNG.

Drawing needs matplotlib (`trade-worker[reports]`), which is imported only for that. Floats are
good enough here: what is drawn is looked at, not counted with.
"""

from __future__ import annotations

import io
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from consumer.errors import ExtraMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from storage.daily import DaySummary, HourOfDay

_HOURS = range(24)
# Told apart by people who see colours differently, too.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_GOOD, _BAD, _OTHER = "#009E73", "#D55E00", "#BBBBBB"
_INK, _FAINT = "#222222", "#DDDDDD"


def draw(
    day: date, rows: Sequence[DaySummary], hours: Sequence[HourOfDay], fee_currency: str
) -> bytes:
    """Draw a day; raises `ExtraMissing` where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional, and slow to import
        from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415 - as above
    except ImportError:
        raise ExtraMissing("a picture", "matplotlib", "reports") from None
    below_head = ConstrainedLayoutEngine(rect=(0.01, 0.01, 0.98, 0.90), hspace=0.08, wspace=0.05)
    figure = Figure(figsize=(12, 7.5), dpi=120, layout=below_head, facecolor="white")
    panels = figure.subplots(2, 2)
    exchanges = sorted({hour.exchange for hour in hours})
    by_exchange = {name: [one for one in hours if one.exchange == name] for name in exchanges}
    _head(figure, day, rows, exchanges)
    _stacked(panels[0, 0], by_exchange, lambda one: float(one.volume_quote))
    _dress(panels[0, 0], "Volume by hour, quote currency")
    _outcomes(panels[0, 1], hours)
    panels[0, 1].yaxis.get_major_locator().set_params(integer=True)
    _dress(panels[0, 1], "Orders by hour")
    _fees(panels[1, 0], by_exchange)
    _dress(panels[1, 0], f"Fees paid so far, {fee_currency}")
    _latency(panels[1, 1], by_exchange)
    _dress(
        panels[1, 1],
        "Producer to wire, milliseconds: median (●), 99th percentile (○)",
        from_zero=False,
    )
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _head(
    figure: Any,  # noqa: ANN401 - matplotlib's
    day: date,
    rows: Sequence[DaySummary],
    exchanges: Sequence[str],
) -> None:
    """Say what it is about, and once for all panels which colour is which exchange."""
    orders, filled = sum(row.orders for row in rows), sum(row.filled for row in rows)
    traded = sum((row.volume_quote for row in rows), start=0)
    figure.text(
        0.015, 0.978, f"{day:%A, %d %B %Y} (UTC)", va="top", color=_INK, fontsize=15,
        fontweight="bold",
    )  # fmt: skip
    said = f"{orders:,} orders, {filled:,} filled, {traded:,.0f} traded in quote currency"
    figure.text(0.015, 0.936, said, va="top", color=_INK, fontsize=11)
    names = [(name, _colour(number)) for number, name in enumerate(exchanges)]
    _legend(figure, names, anchor=(0.99, 0.985))


def _legend(
    of: Any,  # noqa: ANN401 - matplotlib's figure or axes
    names: Sequence[tuple[str, str]],
    anchor: tuple[float, float],
) -> None:
    """Put names with their colours in a row that ends at a point, outside of what is drawn."""
    from matplotlib.patches import Patch  # noqa: PLC0415 - as above

    if names:
        of.legend(
            handles=[Patch(color=colour, label=name) for name, colour in names],
            loc="upper right", bbox_to_anchor=anchor, ncols=len(names), frameon=False, fontsize=10,
            handlelength=1, handleheight=1, columnspacing=1.5,
        )  # fmt: skip


def _stacked(
    axes: Any,  # noqa: ANN401 - matplotlib's
    by_exchange: Mapping[str, Sequence[HourOfDay]],
    value: Callable[[HourOfDay], float],
) -> None:
    below = [0.0] * len(_HOURS)
    for number, hours in enumerate(by_exchange.values()):
        heights = _by_hour(hours, value)
        axes.bar(_HOURS, heights, bottom=below, width=0.8, color=_colour(number))
        below = [low + high for low, high in zip(below, heights, strict=True)]


def _outcomes(axes: Any, hours: Sequence[HourOfDay]) -> None:  # noqa: ANN401 - as above
    if not hours:
        return
    filled = _by_hour(hours, lambda one: one.filled)
    refused = _by_hour(hours, lambda one: one.refused)
    others = _by_hour(hours, lambda one: one.orders - one.filled - one.refused)
    below = [0.0] * len(_HOURS)
    names = [("filled", _GOOD), ("refused", _BAD), ("other", _OTHER)]
    for (_, colour), heights in zip(names, (filled, refused, others), strict=True):
        axes.bar(_HOURS, heights, bottom=below, width=0.8, color=colour)
        below = [low + high for low, high in zip(below, heights, strict=True)]
    _legend(axes, names, anchor=(1.0, 1.13))


def _fees(axes: Any, by_exchange: Mapping[str, Sequence[HourOfDay]]) -> None:  # noqa: ANN401 - as above
    # A day that is not over yet has no fees after its last order.
    last = max((one.hour for hours in by_exchange.values() for one in hours), default=0)
    for number, hours in enumerate(by_exchange.values()):
        paid = accumulate(_by_hour(hours, lambda one: float(one.fees))[: last + 1], initial=0.0)
        edges = [hour - 0.5 for hour in range(last + 2)]
        axes.step(edges, list(paid), where="pre", color=_colour(number), linewidth=2)


def _latency(axes: Any, by_exchange: Mapping[str, Sequence[HourOfDay]]) -> None:  # noqa: ANN401 - as above
    drawn = False
    for number, hours in enumerate(by_exchange.values()):
        colour = _colour(number)
        for part, style, fill in (("wire_p50", "-", colour), ("wire_p99", ":", "white")):
            known = [(one.hour, getattr(one, part)) for one in hours]
            line = [(hour, seconds * 1000) for hour, seconds in known if seconds]
            if line:
                drawn = True
                axes.plot(
                    *zip(*line, strict=True), style, marker="o", markersize=5, linewidth=1.5,
                    color=colour, markerfacecolor=fill,
                )  # fmt: skip
    if drawn:
        axes.set_yscale("log", subs=[])
        axes.yaxis.get_major_locator().set_params(subs=(1, 2, 5))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")


def _dress(axes: Any, title: str, *, from_zero: bool = True) -> None:  # noqa: ANN401 - as above
    axes.set_title(title, loc="left", fontsize=11, color=_INK)
    axes.set_xlim(-0.6, 23.6)
    axes.set_xticks(range(0, 24, 3), [f"{hour:02d}:00" for hour in range(0, 24, 3)])
    axes.grid(axis="y", which="both", color=_FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, labelsize=9, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_FAINT)
    if from_zero:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    if not axes.has_data():
        axes.set_yticks([])
        axes.text(
            0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center", color="#888888"
        )


def _by_hour(hours: Sequence[HourOfDay], value: Callable[[HourOfDay], float]) -> list[float]:
    totals = [0.0] * len(_HOURS)
    for one in hours:
        totals[one.hour] += value(one)
    return totals


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]
