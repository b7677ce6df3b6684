"""What a Bybit key may do, out of `/v5/user/query-api`. Pure.

Source: Bybit API docs, V5, page "Get API Key Information".
"""

from __future__ import annotations

from providers.exchange import KeyRights
from providers.fields import Row, row, whole

_EVERYWHERE = "*"


def key_rights(result: Row) -> KeyRights:
    """Read the answer; `ips` holds an asterisk where the key works from everywhere."""
    permissions = row(result.get("permissions"), "permissions")
    addresses = result.get("ips")
    bound = None
    if isinstance(addresses, list) and addresses:
        bound = _EVERYWHERE not in addresses
    writes = whole(result, "readOnly") == 0
    return KeyRights(
        trade=writes and "Order" in _names(permissions, "ContractTrade"),
        withdraw=writes and "Withdraw" in _names(permissions, "Wallet"),
        addresses=bound,
    )


def _names(permissions: Row, group: str) -> tuple[object, ...]:
    found = permissions.get(group)
    return tuple(found) if isinstance(found, list) else ()
