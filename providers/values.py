"""Values that cannot be changed, without paying for that each time one is made.

A frozen dataclass sets every field through a guard; one of eight fields takes 2.2 µs to make and
0.3 without, and an order makes many values, one with forty-four fields. So the guard is the type
checker's alone: to it a `value` is a frozen dataclass, and it reads all of the code. Comparing and
hashing are those of a frozen dataclass. For values of an order's way; others have the guard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:

    def value(*, frozen: bool, slots: bool, kw_only: bool = False):  # noqa: ANN201 - see above
        """Make a dataclass whose instances nobody changes; to be called as `dataclass` is."""
        if not frozen:
            raise TypeError("a value is frozen")
        return dataclass(slots=slots, kw_only=kw_only, unsafe_hash=True)


__all__ = ["value"]
