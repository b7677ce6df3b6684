"""Who an order is: its client order id and the fingerprint of what was asked. Pure.

Both are functions of the message alone, so that every replica, at any time, computes the same.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "tw-"
_DIGEST_CHARS = 26  # 130 bits in base32: a collision is not a thing that happens
_DIGEST_BYTES = 17  # the first that hold them
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"  # RFC 4648, in small letters
_PAIRS = tuple(one + other for one in _BASE32 for other in _BASE32)  # of ten bits each
_SHIFTS = tuple(range(8 * _DIGEST_BYTES - 10, 8 * _DIGEST_BYTES - 5 * _DIGEST_CHARS - 1, -10))

CLIENT_ORDER_ID = rf"{_PREFIX}[a-z2-7]{{{_DIGEST_CHARS}}}"  # a regular expression


@lru_cache(maxsize=1024)  # asked for more than once on an order's way
def client_order_id(request_id: str, account: str, leg: str = "main") -> str:
    """Derive the id an order carries at the exchange, for ever.

    29 characters of `[a-z2-7-]`, which Bybit (36), Binance (36) and MEXC (32) all accept.
    """
    seed = f"{account}\x00{request_id}\x00{leg}".encode()
    digest = int.from_bytes(hashlib.sha256(seed).digest()[:_DIGEST_BYTES])
    return _PREFIX + "".join([_PAIRS[digest >> shift & 1023] for shift in _SHIFTS])


def fingerprint(terms: Mapping[str, object]) -> bytes:
    """Digest the terms of a trade: equal for equal terms, however the numbers were written.

    `terms` are the fields that say what is wanted; fields that only say when a message was made
    are left out by the caller. None counts as absent.
    """
    canonical = {key: _canonical(value) for key, value in terms.items() if value is not None}
    return hashlib.sha256(orjson.dumps(canonical, option=orjson.OPT_SORT_KEYS)).digest()


def _canonical(value: object) -> object:
    if isinstance(value, Decimal):
        # Not `normalize()`: that would round to the context's 28 digits.
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, Enum):
        return value.value
    return value
