"""Changing the config: what is written has been read by the registry before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumer.controls.registry import KILL_SWITCH
from consumer.controls.snapshot import barred
from consumer.controls.values import Switch
from storage import config_writing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.controls.registry import Registry
    from storage.postgres import Database

_STRENGTH = {Switch.OFF: 0, Switch.REDUCE_ONLY: 1, Switch.ON: 2}


async def change(
    database: Database,
    registry: Registry,
    changes: Mapping[str, str | None],
    *,
    who: str,
    why: str | None = None,
) -> list[str]:
    """Set keys, or remove those whose value is None; all of them or none.

    Throwing a kill switch is urgent: it ends the sessions of others that keep the config locked.

    Returns:
        The keys that are different now.

    Raises:
        ConfigRefused: one of them may not be written so; says what would be right.
        ConfigLocked: somebody keeps the config locked; says who.
    """
    accepted = registry.accept(changes)
    urgent = any(
        key.startswith(KILL_SWITCH) and value not in (None, Switch.OFF)
        for key, value in accepted.items()
    )
    return await config_writing.change(database, accepted, who=who, why=why, urgent=urgent)


def lifts(now: Mapping[str, str], changes: Mapping[str, str | None]) -> list[str]:
    """Name the kill switches that changes would lift, or weaken. Pure.

    Args:
        now: what is stored.
        changes: accepted by the registry; None removes a key.
    """
    return [
        key
        for key, value in changes.items()
        if key.startswith(KILL_SWITCH)
        and _STRENGTH[barred(value)] < _STRENGTH[barred(now.get(key))]
    ]


async def never_traded(
    database: Database, registry: Registry, changes: Mapping[str, str | None]
) -> list[str]:
    """Name the symbols that keys are set for though no order of them came by so far.

    They may be written wrong: a kill switch for BTC stops nothing where orders say BTCUSDT.
    """
    scopes = {registry.known(key).scope for key, value in changes.items() if value is not None}
    symbols = sorted(one for one in scopes if one is not None and one not in registry.exchanges)
    if not symbols:
        return []
    rows = await database.fetch(
        "SELECT one FROM unnest($1::text[]) AS one "
        "WHERE NOT EXISTS (SELECT FROM lanes WHERE symbol = one) ORDER BY 1",
        symbols,
    )
    return [row["one"] for row in rows]
