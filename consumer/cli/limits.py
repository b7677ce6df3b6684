"""`trade-worker limits`: request limits of the exchanges, their use, and cool-downs."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.common import load_settings, run_with_database
from consumer.cli.output import ExitCode, fail, out, print_json, print_table, short_time
from providers.limits.pacing import margin_of, pace
from providers.limits.plan import overridden
from providers.settings import QUOTAS
from storage import rate_limits

if TYPE_CHECKING:
    from storage.postgres import Database
    from storage.rate_limits import BucketRow, CoolDownRow

app = typer.Typer(
    help="Request limits of the exchanges: what is allowed, used, and shut.", no_args_is_help=True
)
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("show")
def show(
    *,
    exchange: Annotated[str | None, typer.Option(help="Only this exchange.")] = None,
    as_json: _Json = False,
) -> None:
    """Show the limits in use by all workers on this database, and cool-downs in force.

    USED is what was taken of UNITS during the last MS, AHEAD what waiting requests have reserved.

    Example: trade-worker limits show --exchange bybit
    """
    settings = load_settings()

    async def work(database: Database) -> tuple[list[BucketRow], list[CoolDownRow]]:
        buckets = await rate_limits.show_buckets(database)
        return buckets, await rate_limits.show_cool_downs(database)

    buckets, shut = run_with_database(settings, work)
    if exchange is not None:
        buckets = [row for row in buckets if row.bucket.startswith(f"{exchange}@")]
        shut = [row for row in shut if row.scope.startswith(f"{exchange}@")]
    if as_json:
        print_json(
            {
                "limits": [asdict(row) for row in buckets],
                "cool_downs": [asdict(row) for row in shut],
            }
        )
        return
    if shut:
        print_table(
            ("SHUT", "FOR", "UNTIL", "SINCE", "WHY"),
            (
                (
                    row.scope,
                    f"{row.seconds:.0f} s",
                    short_time(row.until),
                    short_time(row.since),
                    row.why,
                )
                for row in shut
            ),
        )
        out.print()
    print_table(
        ("LIMIT", "UNITS", "MS", "USED", "AHEAD", "LAST"),
        (
            (row.bucket, row.units, row.period_ms, row.used, row.waiting, short_time(row.last_at))
            for row in buckets
        ),
    )
    if not buckets and not shut:
        out.print("no limit was asked for yet (or RATE_LIMITS is not shared)")


@app.command("published")
def published(*, as_json: _Json = False) -> None:
    """List the exchanges' limits as they are kept: names for RATE_LIMIT_OVERRIDES. Needs no server.

    UNITS in MS are the exchange's; KEPT in KEPT MS is the rule that workers follow, of which
    RESERVED are for closes and look-ups.

    Example: RATE_LIMIT_OVERRIDES=bybit:order/create=20 trade-worker limits published
    """
    rules = load_settings().rate_rules
    rows = []
    for quota in QUOTAS:
        for limit in overridden(quota, rules.overrides.get(quota.venue, {})).values():
            margin_ms = margin_of(limit, rules.margin_ms)
            kept = pace(limit, margin_ms=margin_ms, reserve=rules.reserve)
            rows.append(
                {
                    "limit": f"{quota.venue}:{limit.name}",
                    "units": limit.units,
                    "window_ms": limit.window_ms,
                    "scope": str(limit.scope),
                    "kept": kept.general + kept.reserved,
                    "kept_ms": kept.period_ms,
                    "reserved": kept.reserved,
                }
            )
    if as_json:
        print_json(rows)
        return
    print_table(
        ("LIMIT", "UNITS", "MS", "COUNTED BY", "KEPT", "KEPT MS", "RESERVED"),
        (tuple(row.values()) for row in rows),
    )


@app.command("clear-cooldown")
def clear_cooldown(
    exchange: Annotated[str, typer.Argument(help="The exchange, such as bybit.")],
    *,
    why: Annotated[str, typer.Option(help="Why it is safe to send again; kept with the row.")],
    who: Annotated[str | None, typer.Option(help="Who ends it; default: the login name.")] = None,
    as_json: _Json = False,
) -> None:
    """End an exchange's cool-downs before their time; exit 4 if none is in force.

    A ban that still holds is made longer by whatever is sent: be sure first.

    Example: trade-worker limits clear-cooldown bybit --why "new address, 403 was the old one's"
    """
    settings = load_settings()
    by = who or getpass.getuser()

    async def work(database: Database) -> list[str]:
        return await rate_limits.clear_cool_downs(database, exchange, f"ended by {by}: {why}")

    ended = run_with_database(settings, work)
    if as_json:
        print_json({"ended": ended})
    if not ended:
        fail(f"no cool-down of {exchange} is in force", ExitCode.NOT_FOUND)
    if not as_json:
        for scope in ended:
            out.print(f"ended: {scope}", markup=False, soft_wrap=True)
