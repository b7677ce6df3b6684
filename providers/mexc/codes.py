"""What MEXC's answers mean: the outcome table of the contract API, and the look-up in it.

Errors come as HTTP 200 with `success: false` and a `code`. A code that is not listed is `UNKNOWN`,
and so is every HTTP status but 200, unless the edge answered in the API's place. Source: MEXC
contract API docs, "Error code"; where they are silent, the cautious reading was taken.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from providers.calls import Verdict
from providers.mexc.exact import loads
from providers.outcomes import OutcomeClass

if TYPE_CHECKING:
    from collections.abc import Mapping

SUCCESS_CODES = frozenset({0, 200})  # some endpoints say 200 for success

_LISTED: Mapping[OutcomeClass, tuple[int, ...]] = {
    OutcomeClass.UNKNOWN: (
        500,  # internal error
        501,  # system busy
        9999,  # network error
        2056,  # a market close is running already
        6008,  # a notice about the liquidation price, which says that the order was placed
    ),
    OutcomeClass.RATE_ACCOUNT: (510, 2037),  # too frequent
    OutcomeClass.CLOCK: (513,),  # timestamp outside the window
    OutcomeClass.AUTH: (
        401,  # not logged in
        402,  # key expired
        406,  # address not bound to the key
        506,  # unknown source
        511,  # no access
        602,  # signature
        701,  # permissions of the key
        702,
        703,
        704,
        200005,  # identity check
        200006,
        300000,  # region
        300001,
        300002,
    ),
    OutcomeClass.DUPLICATE_ID: (
        603,  # repeated request
        2042,  # duplicate order id
    ),
    OutcomeClass.OVERLOAD: (
        604,  # feature in maintenance
        801,  # system in maintenance
    ),
    OutcomeClass.PARAMETER: (
        600,  # parameter
        601,  # JSON
        1000,  # no such account
        1001,  # no such contract
        1003,  # risk level
        1004,  # amount
        2001,  # side
        2002,  # open type
        2006,  # leverage range
        2013,  # list too long
        2014,
        2016,  # too many trigger orders
        2019,  # leverage can't change while orders are open
        2021,  # leverage differs from the open orders'
        2022,  # order type
        2026,  # leverage of a cross position can't change
        2027,  # a position in the other margin mode is open
        2029,
        2030,  # client order id too long
        2034,  # list too long
        2035,
        2036,  # too many open orders
        2043,  # order does not match the position
        3001,  # trigger orders
        3002,
        3003,
        3004,
        3005,
        3006,
        3007,
        3008,
        3009,
        3010,
        3011,
        3012,
        3013,
        3014,
        3015,
        5001,  # take-profit and stop-loss
        5002,
        5003,
        5004,
        5005,
        5006,  # orders in the other margin mode are open
        7001,  # position mode can't change while orders or positions are open
        7002,  # position mode is not the account's
        7003,  # margin mode differs from the position's
        7004,  # leverage differs from the position's
        8817,  # endpoint retired
        8931,  # regional leverage cap
        9069,  # take-profit and stop-loss
        9070,  # isolated margin only
        9071,  # cross margin only
    ),
    OutcomeClass.FILTER: (
        2003,  # price outside the band
        2004,
        2007,
        2011,  # quantity
        2015,  # precision
        2028,  # above the most
        2032,  # price against the liquidation price
        2033,
        2039,  # market quantity above what the book holds
        2051,  # single-order limits
        2057,  # worth too little
        7008,  # the same
    ),
    OutcomeClass.MARGIN: (
        2005,  # balance
        2018,
        2031,  # position and risk limits
        2038,
        2044,
        2049,
        7009,
        8012,
        8815,
        8816,
        8818,
        8819,
        8820,
        8821,
        8917,
        8919,
    ),
    OutcomeClass.REDUCE_ONLY: (2008, 7005),  # more than can be closed
    OutcomeClass.NO_POSITION: (2009,),
    OutcomeClass.NOT_TRADABLE: (
        1002,  # contract takes no orders
        6001,  # trading disabled or restricted
        6002,
        6005,
        6009,
        8920,  # closing only
        8921,  # opening only
        8922,
        8930,
        8932,
        8934,
        9068,
        9998,  # region: closing only
    ),
    OutcomeClass.NOT_FOUND: (
        2040,  # no such order
        2041,  # its state does not allow a cancel: it is final
    ),
}

CODES: MappingProxyType[int, OutcomeClass] = MappingProxyType(
    {code: outcome_class for outcome_class, codes in _LISTED.items() for code in codes}
)

# The codes, as text, by which MEXC says that position or orders are in the other margin mode, or
# that the contract offers one mode only.
MARGIN_MODE_CONFLICTS = frozenset({"2027", "5006", "7003", "9070", "9071"})

# What to do about it, where the exchange's own message would leave a reader without a clue.
HINTS: MappingProxyType[int, str] = MappingProxyType(
    {
        406: "bind this machine's address to the key",
        513: "the clock differs from the exchange's by more than it allows",
        1002: "the exchange or this key takes no orders for the contract through the API",
        2027: "a position in the other margin mode is open; close it, or name its marginMode",
        5006: "orders in the other margin mode are open; cancel them, or name their marginMode",
        7002: "the account's position mode was changed meanwhile; it is read anew",
        7003: "the position is in the other margin mode; close it, or name its marginMode",
        9070: "the contract offers isolated margin only",
        9071: "the contract offers cross margin only",
    }
)

# Statuses by which the edge, not the API, turns a request away; only if the body is a web page.
EDGE_STATUSES = frozenset({403, 418, 429})
_OK = 200
_EXCERPT = 200


def classify(http_status: int, body: bytes) -> Verdict:
    """Say what an answer means. Never raises: what can't be read is `UNKNOWN`.

    Args:
        http_status: the HTTP status.
        body: the whole body.

    Returns:
        The class, the `code` as text (`http-<status>` where HTTP itself refused), the exchange's
        message, and the whole envelope; what was asked for is in its field `data`, if there.
    """
    if http_status != _OK:
        return _of_status(http_status, body)
    try:
        envelope = loads(body)
    except ValueError:
        return Verdict(OutcomeClass.UNKNOWN, "not-json", _excerpt(body))
    code = envelope.get("code") if isinstance(envelope, dict) else None
    if not isinstance(envelope, dict) or not isinstance(code, int) or isinstance(code, bool):
        return Verdict(OutcomeClass.UNKNOWN, "no-code", _excerpt(body))
    return Verdict(
        _class(envelope.get("success"), code), str(code), message(code, envelope), envelope
    )


def message(code: int, source: Mapping[str, object], name: str = "message") -> str:
    """The exchange's message, and what to do about it where that is known."""
    said = source.get(name)
    parts = [said if isinstance(said, str) else "", HINTS.get(code, "")]
    return "; ".join(part for part in parts if part)


def _class(success: object, code: int) -> OutcomeClass:
    """Both must agree: `success` true with a code of success, false with a listed error."""
    if success is True:
        return OutcomeClass.ACCEPTED if code in SUCCESS_CODES else OutcomeClass.UNKNOWN
    if success is False:
        return CODES.get(code, OutcomeClass.UNKNOWN)
    return OutcomeClass.UNKNOWN


def _of_status(http_status: int, body: bytes) -> Verdict:
    refused_by_edge = http_status in EDGE_STATUSES and body.lstrip()[:1] == b"<"
    return Verdict(
        OutcomeClass.RATE_IP if refused_by_edge else OutcomeClass.UNKNOWN,
        f"http-{http_status}",
        _excerpt(body),
    )


def _excerpt(body: bytes) -> str:
    return body[:_EXCERPT].decode("utf-8", "replace")
