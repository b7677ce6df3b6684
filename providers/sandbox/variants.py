"""Switches for what a venue does one way or another: uncertain, or different by account.

Each has a name and a few values, the first of them the default. A facade says which it has and
reads them where it matters; the control API turns them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_RIGHTS: Final = "key_rights"
"""What keys may do, where a venue tells it: trade; withdraw as well; or read only."""
TRADE: Final = "trade"
WITHDRAW: Final = "withdraw"
READ_ONLY: Final = "read_only"
RIGHTS: Final = (TRADE, WITHDRAW, READ_ONLY)


class Variants:
    """The switches of one venue.

    Args:
        known: values by name, the default first.
    """

    __slots__ = ("_known", "_set")

    def __init__(self, known: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._known = dict(known or {})
        self._set: dict[str, str] = {}
        self.reset()

    def __getitem__(self, name: str) -> str:
        return self._set[name]

    def set(self, name: str, value: str) -> None:
        """Turn a switch.

        Raises:
            ValueError: no such switch, or not one of its values.
        """
        if name not in self._known:
            names = ", ".join(sorted(self._known)) or "none"
            raise ValueError(f"no variant named {name!r} here; there are {names}")
        if value not in self._known[name]:
            raise ValueError(f"{name} must be one of {', '.join(self._known[name])}, not {value!r}")
        self._set[name] = value

    def reset(self) -> None:
        """Every switch back to its default."""
        self._set = {name: values[0] for name, values in self._known.items()}

    def view(self) -> dict[str, str]:
        """The value of every switch."""
        return dict(self._set)
