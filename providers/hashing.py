"""HMAC-SHA256 as all exchanges want it. Pure."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def make_hmac(secret: bytes) -> Callable[[bytes], str]:
    """Make the function that gives a message's HMAC-SHA256 under a secret, as lower-case hex.

    The secret is taken in once, which is half of the work on a short message.
    """
    keyed = hmac.new(secret, digestmod="sha256")

    def signature(message: bytes) -> str:
        begun = keyed.copy()
        begun.update(message)
        return begun.hexdigest()

    return signature


def signature(secret: bytes, message: bytes) -> str:
    """The HMAC-SHA256 of one message, as lower-case hex."""
    return make_hmac(secret)(message)
