"""Whether positions may be opened on MEXC. Pure.

MEXC has no test environment, and its order endpoint was closed for years. So against the real
exchange opening is off until `trade-worker doctor` has found that the endpoint takes orders of
this very key. It then prints a word; MEXC_ALLOW_OPENING set to that word opens the gate. The word
is made from key, secret and host, so that it can't be guessed, and another key needs a check of
its own.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

SETTING = "MEXC_ALLOW_OPENING"

_PURPOSE = b"trade-worker: the order endpoint was checked with this key\n"
_REAL_DOMAIN = "mexc.com"
_LENGTH = 12
_NEVER = ("false", "no", "off", "0")


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether opening orders are let through, and the word that would let them."""

    allowed: bool
    word: str


def opening(setting: str | None, api_key: str, api_secret: str, host: str) -> Opening:
    """Judge the setting for a key at a host."""
    word = clearance(api_key, api_secret, host)
    return Opening(may_open(setting, word, host), word)


def clearance(api_key: str, api_secret: str, host: str) -> str:
    """The word that opens the gate for a key at a host; it tells nothing of the secret."""
    text = _PURPOSE + f"{_bare(host)}\n{api_key}".encode()
    return f"checked-{hmac.digest(api_secret.encode(), text, 'sha256').hex()[:_LENGTH]}"


def may_open(setting: str | None, word: str, host: str) -> bool:
    """Whether opening orders are let through.

    Args:
        setting: MEXC_ALLOW_OPENING as given. `false` closes the gate everywhere.
        word: the clearance of the key.
        host: where orders go; away from MEXC's own hosts the gate is open.
    """
    given = (setting or "").strip()
    if given.lower() in _NEVER:
        return False
    if not is_real(host):
        return True
    return hmac.compare_digest(given.encode(), word.encode())


def is_real(host: str) -> bool:
    """Whether a host is one of MEXC's own."""
    bare = _bare(host)
    return bare == _REAL_DOMAIN or bare.endswith(f".{_REAL_DOMAIN}")


def _bare(host: str) -> str:
    return host.lower().rstrip(".")
