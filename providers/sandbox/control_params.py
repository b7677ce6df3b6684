"""Reading the fields of a control request: what is wrong names itself, and what would be right."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any


class ControlError(Exception):
    """A control request that cannot be met.

    Args:
        text: which field is wrong and what would be right.
        status: 400, or 404 for an unknown path.
    """

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class Params:
    """The fields of one control request."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def text(self, name: str, default: str | None = None) -> str:
        """A string."""
        value = self._take(name, default)
        if not isinstance(value, str):
            raise ControlError(f"{name} must be a string, not {value!r}")
        return value

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number, also as a string (from a query)."""
        value = self._take(name, default)
        if isinstance(value, str) and value.removeprefix("-").isdecimal():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ControlError(f"{name} must be a whole number, not {value!r}")
        return value

    def decimal(self, name: str, default: Decimal | None = None) -> Decimal:
        """A decimal, as a string or a JSON number."""
        value = self._take(name, default)
        try:
            number = Decimal(value) if isinstance(value, str | int | Decimal) else None
        except InvalidOperation:
            number = None
        if number is None or isinstance(value, bool) or not number.is_finite():
            raise ControlError(f"{name} must be a decimal number, not {value!r}")
        return number

    def flag(self, name: str, *, default: bool = False) -> bool:
        """True or false."""
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise ControlError(f"{name} must be true or false, not {value!r}")
        return value

    def any(self, name: str) -> Any:  # noqa: ANN401 - the caller checks it
        """A value of any kind that must be there."""
        return self._take(name, None)

    def has(self, name: str) -> bool:
        """Whether a field was given."""
        return name in self._values

    def only(self, names: frozenset[str]) -> None:
        """Refuse fields of any other name."""
        unknown = sorted(set(self._values) - names)
        if unknown:
            known = f"there are {', '.join(sorted(names))}" if names else "there are none"
            raise ControlError(f"unknown field {unknown[0]!r}; {known}")

    def _take(self, name: str, default: Any) -> Any:  # noqa: ANN401 - checked by each reader
        if name in self._values:
            return self._values[name]
        if default is None:
            raise ControlError(f"{name} is required")
        return default
