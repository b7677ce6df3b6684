"""What a Binance key may do, and where that can be asked. Pure.

Futures addresses do not tell it (what `accountConfig` says is about the account, not the key).
`/sapi/v1/account/apiRestrictions` does, which is served beside spot trading, on another host, with
the same key and signature. The demo exchanges have no such host. Source: Binance API docs, Wallet,
page "Get API Key Permission".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.exchange import KeyRights
from providers.fields import MalformedReply

if TYPE_CHECKING:
    from providers.fields import Row

PATH = "/sapi/v1/account/apiRestrictions"

_FUTURES = "https://fapi.binance.com"
_SPOT = "https://api.binance.com"
_REAL_DOMAINS = ("binance.com", "binancefuture.com")


def base_url_for_rights(base_url: str, host: str) -> str | None:
    """Where rights can be asked for a futures base URL; None where nowhere.

    An address that is none of Binance's own, such as a sandbox, is asked itself.
    """
    if base_url == _FUTURES:
        return _SPOT
    if any(host == domain or host.endswith(f".{domain}") for domain in _REAL_DOMAINS):
        return None
    return base_url


def key_rights(result: Row) -> KeyRights:
    """Read the answer."""
    return KeyRights(
        trade=_flag(result, "enableFutures"),
        withdraw=_flag(result, "enableWithdrawals"),
        addresses=_flag(result, "ipRestrict"),
    )


def _flag(result: Row, name: str) -> bool:
    value = result.get(name)
    if not isinstance(value, bool):
        raise MalformedReply(f"{name} is not true or false")
    return value
