"""What MEXC's endpoints work on: the engine, and switches for what MEXC leaves open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from providers.sandbox.mexc.gate import EITHER, ENCODED, RAW

if TYPE_CHECKING:
    from providers.sandbox.engine import Engine
    from providers.sandbox.variants import Variants

DUPLICATES: Final = "duplicate_ids"
REFUSED: Final = "refused"
EXISTING: Final = "existing"
ACCEPTED: Final = "accepted"
REJECTED_LATER: Final = "rejected_later"

CREATE_REPLY: Final = "create_reply"
SIGNED_VALUES: Final = "signed_values"
SUCCESS_CODE: Final = "success_code"
MISSING_MODE: Final = "missing_position_mode"
ONE_WAY_CLOSES: Final = "one_way_closes"
HEDGE_REDUCE_ONLY: Final = "hedge_reduce_only"
NOT_FOUND: Final = "not_found"
HISTORY_ROWS: Final = "history_rows"
MARKET_PRICE: Final = "market_price"
LEAST_VALUE: Final = "least_value"

VARIANTS: Final[dict[str, tuple[str, ...]]] = {
    DUPLICATES: (REFUSED, EXISTING, ACCEPTED, REJECTED_LATER),
    CREATE_REPLY: ("object", "string", "number"),
    SIGNED_VALUES: (EITHER, ENCODED, RAW),
    SUCCESS_CODE: ("0", "200"),
    MISSING_MODE: ("account", "hedge"),
    ONE_WAY_CLOSES: ("reduce", "net"),
    HEDGE_REDUCE_ONLY: ("refused", "ignored"),
    NOT_FOUND: ("no_data", "2040"),
    HISTORY_ROWS: ("list", "resultList"),
    MARKET_PRICE: ("optional", "required"),
    LEAST_VALUE: ("none", "5"),
}
"""What MEXC's documentation leaves open or says twice; the first of each is the default.

    duplicate_ids          a repeated externalOid: 2042, the first order's id, a second order (the
                           worst case), or a second order that is then rejected with errorCode 23
    create_reply           data of order/create: an object, the bare id as text or as a number
    signed_values          query values are signed percent-encoded or as they are, or one of these
    success_code           code of a success
    missing_position_mode  an order without positionMode is taken as the account is, or as hedge
    one_way_closes         sides 2 and 4 in one-way mode reduce only, or trade net
    hedge_reduce_only      reduceOnly in hedge mode is refused, or ignored
    not_found              an unknown order is a success without data, or 2040
    history_rows           data of the order history: the rows, or an object with resultList
    market_price           whether a market order must carry a price
    least_value            USDT an opening order must be worth (7008); no list of contracts says
"""


class Desk(NamedTuple):
    """The engine and the switches of MEXC's side."""

    engine: Engine
    variants: Variants


NO_DATA: Final = object()
"""The result of an endpoint that succeeds without `data`."""
