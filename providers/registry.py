"""Finds the exchanges: everything registered under the entry-point group `trade_worker.providers`.

An exchange of one's own is a package with such an entry point, and nothing here need change.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING

from providers.errors import BrokenProvider

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from importlib.metadata import EntryPoint

    from providers.exchange import Provider

GROUP = "trade_worker.providers"


def provider_names(found: Iterable[EntryPoint] | None = None) -> frozenset[str]:
    """Name every registered exchange, without importing any: for what has to be quick.

    Args:
        found: entry points to take in place of the installed ones.
    """
    return frozenset(
        point.name for point in (entry_points(group=GROUP) if found is None else found)
    )


def load_providers(found: Iterable[EntryPoint] | None = None) -> Mapping[str, Provider]:
    """Load every registered provider, by name.

    Args:
        found: entry points to load in place of the installed ones.

    Raises:
        BrokenProvider: one can't be imported, is not a provider, is not named as its entry point
            is, or takes the name of another.
    """
    providers: dict[str, Provider] = {}
    for point in entry_points(group=GROUP) if found is None else found:
        provider = _load(point)
        if point.name in providers:
            raise BrokenProvider(point.name, "two packages register an exchange of this name")
        providers[point.name] = provider
    return MappingProxyType(dict(sorted(providers.items())))


def _load(point: EntryPoint) -> Provider:
    try:
        provider = point.load()
    except Exception as error:  # a plug-in may fail in any way while it is imported
        reason = f"{point.value} can't be imported: {type(error).__name__}: {error}"
        raise BrokenProvider(point.name, reason) from error
    for needed in ("has_credentials", "create_client"):
        if not callable(getattr(provider, needed, None)):
            raise BrokenProvider(point.name, f"{point.value} has no method {needed}()")
    name = getattr(provider, "name", None)
    if name != point.name:
        raise BrokenProvider(
            point.name, f"{point.value} calls itself {name!r}; both names must be the same"
        )
    if name != name.lower():
        raise BrokenProvider(point.name, "the name must be in lower case")
    return provider  # type: ignore[no-any-return]  # checked above as far as it can be
