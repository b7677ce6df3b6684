"""Reading system logs back: the lines of some span of time from all replicas, in order.

An hour at a time: its objects are read, their lines put in order, and let go.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from consumer.telling.system_log import PREFIX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from storage.objects.store import ObjectInfo, ObjectStore

_AT_ONCE = 8  # objects under way
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class HourOfLines:
    """What there is of one hour.

    Attributes:
        lines: JSON without line ends, oldest first.
        objects: how many they come from.
        unreadable: keys of objects that are no logs, or broken.
    """

    hour: datetime
    lines: list[bytes]
    objects: int
    unreadable: list[str]


def hours_between(since: datetime, until: datetime) -> Iterator[datetime]:
    """Go through the hours that some moment of the span lies in. Pure."""
    hour = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while hour < until:
        yield hour
        hour += _HOUR


async def read_lines(
    store: ObjectStore, since: datetime, until: datetime
) -> AsyncIterator[HourOfLines]:
    """Read the lines noted at `since` or later and before `until`, hour by hour.

    Raises:
        ObjectStoreUnavailable: the store can't give them now.
    """
    for hour in hours_between(since, until):
        found = [one async for one in store.list_objects(f"{PREFIX}/{hour:%Y/%m/%d/%H}/")]
        places = asyncio.Semaphore(_AT_ONCE)
        objects = await asyncio.gather(*(_read(store, one, places) for one in found))
        unreadable = [one.key for one, lines in zip(found, objects, strict=True) if lines is None]
        stamped = [
            (at, line) for lines in objects for at, line in lines or () if since <= at < until
        ]
        stamped.sort(key=lambda item: item[0])
        yield HourOfLines(hour, [line for _, line in stamped], len(found), unreadable)


async def _read(
    store: ObjectStore, info: ObjectInfo, places: asyncio.Semaphore
) -> list[tuple[datetime, bytes]] | None:
    async with places:
        body = await store.get(info.key)
    try:
        return [
            (datetime.fromisoformat(json.loads(line)["at"]), line)
            for line in gzip.decompress(body).splitlines()
        ]
    except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError):
        return None
