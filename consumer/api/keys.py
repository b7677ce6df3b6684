"""Who may do what: the header `X-Internal-Auth-Key` against the keys of the settings.

There are keys that may execute (and read), and keys that may only read; several of each may hold at
once, so that one can be changed for another. Without any the API is closed, never open.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consumer.api.errors import ApiError

if TYPE_CHECKING:
    from pydantic import SecretStr

HEADER = "X-Internal-Auth-Key"


@dataclass(frozen=True, slots=True)
class Keys:
    """Digests of the keys, so that comparing takes as long for any key."""

    execute: tuple[bytes, ...]
    read: tuple[bytes, ...]

    @classmethod
    def of(cls, execute: SecretStr | None, read: SecretStr | None) -> Keys:
        """Read keys separated by spaces or commas."""
        return cls(_digests(execute), _digests(read))

    def check(self, given: str | None, *, execute: bool) -> None:
        """Raise `ApiError` unless a key may do what is asked for."""
        if not self.execute and (execute or not self.read):
            raise ApiError(500, "Service configuration error")
        digest = _digest(given or "")
        may_execute = _among(digest, self.execute)
        may_read = _among(digest, self.read)
        if not given or not (may_execute or may_read):
            raise ApiError(401, f"{HEADER} is missing or not a key that is known here")
        if execute and not may_execute:
            raise ApiError(403, "this key may read, not execute")


def _among(digest: bytes, keys: tuple[bytes, ...]) -> bool:
    """Compare with every key, whichever matches, in the same time."""
    found = False
    for key in keys:
        found |= hmac.compare_digest(digest, key)
    return found


def _digests(secret: SecretStr | None) -> tuple[bytes, ...]:
    if secret is None:
        return ()
    return tuple(_digest(key) for key in secret.get_secret_value().replace(",", " ").split())


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
