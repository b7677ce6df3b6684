"""Every error the ledger raises, in one tree.

StorageError
├── LedgerUnavailable    no usable database right now: nothing may be sent; wait and try again
│   └── ConfigLocked     somebody else has the config locked
├── ClaimLost            somebody else took the order over: stop working on it, send nothing
├── LimitExceeded        the intent would break a limit: nothing was written, send nothing
├── IllegalTransition    a state was asked for that may not follow the present one (a defect)
└── MigrationError       the schema is not what this version needs
"""

from __future__ import annotations


class StorageError(Exception):
    """The root of what storage raises."""


class LedgerUnavailable(StorageError):  # noqa: N818 - names say the condition, as in providers.errors
    """PostgreSQL did not answer, refused, or is out of resources.

    Whether the statement was committed is not known; every caller repeats it in a way that
    makes no difference if it was.
    """


class ConfigLocked(LedgerUnavailable):
    """A transaction that is left open keeps the config from being changed; says whose."""


class ClaimLost(StorageError):  # noqa: N818 - as above
    """The order's fencing number or state moved on: another owner has it."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        super().__init__(f"order {request_id!r} was taken over by another owner")


class LimitExceeded(StorageError):  # noqa: N818 - as above
    """An intent would break a limit that is judged in its commit."""

    def __init__(self, control: str, limit: str, value: str) -> None:
        self.control = control
        self.limit = limit
        self.value = value
        super().__init__(f"{control} is {limit}, this order makes it {value}")


class IllegalTransition(StorageError):  # noqa: N818 - as above
    """The state table does not allow this step."""


class MigrationError(StorageError):
    """The schema is missing, older or newer than this version needs, or was edited."""
