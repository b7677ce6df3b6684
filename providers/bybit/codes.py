"""What Bybit's answers mean: the outcome table of V5, category linear, and the look-up in it.

Business errors come as HTTP 200 with a `retCode`. A code that is not listed is `UNKNOWN`, and so
are codes of which Bybit does not say whether the order was executed. Source: Bybit API docs, V5,
"Error codes" and "Rate limit rules"; where they are silent, the cautious reading was taken.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import orjson

from providers.calls import Verdict
from providers.outcomes import OutcomeClass

if TYPE_CHECKING:
    from collections.abc import Mapping

_LISTED: Mapping[OutcomeClass, tuple[int, ...]] = {
    OutcomeClass.ACCEPTED: (0,),
    OutcomeClass.UNKNOWN: (
        10000,  # server time-out
        10016,  # server error, or the service restarts
        10019,  # the trade service restarts; requests in flight may have been executed
        429,  # system protection; said to refuse, but others have seen orders executed
        10429,  # the same
        20006,  # request id used twice (WebSocket): the first may have been executed
        110079,  # the order is being processed
        40004,  # the same
        170001,  # internal errors
        170005,
        170007,
        170032,
        500000,
    ),
    OutcomeClass.CLOCK: (
        10002,  # timestamp outside the window
        -1,  # request expired
    ),
    OutcomeClass.AUTH: (
        10003,  # key unknown here (or of another environment)
        10004,  # signature
        10005,  # permission
        10007,  # authentication failed
        10008,  # account banned
        10009,  # address banned
        10010,  # address not bound to the key
        10024,  # compliance rules
        10027,  # account may not trade
        10028,  # unified accounts only
        10029,  # symbol not on the key's list
        33004,  # key expired
        110123,  # trading terms to be accepted
        110124,
        110125,  # cooling-off period
        110132,  # region
    ),
    OutcomeClass.RATE_ACCOUNT: (
        10006,  # too many requests of this account to this endpoint
        20003,  # too many requests in this session
    ),
    OutcomeClass.RATE_IP: (
        10018,  # too many requests from this address
        10403,  # the same
    ),
    OutcomeClass.DUPLICATE_ID: (
        10014,  # duplicate request
        110072,  # orderLinkId used before
    ),
    OutcomeClass.PARAMETER: (
        10001,  # parameter error: a catch-all, also position index against position mode
        10017,  # no such path
        10404,  # no such path, or no such operation
        110009,  # too many conditional orders
        110013,  # leverage against the risk limit
        110020,  # too many active orders
        110024,  # position mode can't change while a position is open
        110028,  # position mode can't change while orders are open
        110029,  # no hedge mode for this symbol
        110036,  # leverage is fixed in cross margin
        110038,  # leverage can't be set in portfolio margin
        110057,  # take-profit and stop-loss parameters
        110058,
        110061,  # too many take-profit and stop-loss orders
        110073,  # margin mode could not be set
        110086,  # leverage and risk limit
        110087,
        110089,
        110090,
        110092,  # trigger price on the wrong side
        110093,
        3400045,  # margin mode could not be set; the reasons stand in the result
    ),
    OutcomeClass.FILTER: (
        110003,  # price outside what is allowed
        110094,  # notional below the least
        110118,  # too little liquidity to price a market order
        110120,  # price too far from the market
        110121,
        30208,
        30209,
    ),
    OutcomeClass.MARGIN: (
        110004,  # balance
        110006,
        110007,
        110011,  # would be liquidated at once
        110012,
        110014,
        110021,  # open interest at its most
        110040,  # would be liquidated
        110044,
        110045,
        110046,  # would be liquidated
        110051,
        110052,
        110053,
        110131,
    ),
    OutcomeClass.REDUCE_ONLY: (110017,),  # nothing to reduce
    OutcomeClass.NO_POSITION: (110033, 110034),
    OutcomeClass.NOT_TRADABLE: (
        110022,  # only reducing is allowed
        110023,
        110042,
        30228,
        110063,  # settlement
        110066,  # trading halted
        110074,  # not live
        110095,  # call auction
        110098,
        110103,
    ),
    OutcomeClass.BENIGN: (
        110025,  # position mode is so already
        110026,  # margin mode is so already
        110027,  # margin is so already
        110043,  # leverage is so already
        34040,  # take-profit and stop-loss are so already
    ),
    OutcomeClass.NOT_FOUND: (
        110001,  # no such order
        110008,  # finished or cancelled already
        110010,  # cancelled already
    ),
}

CODES: MappingProxyType[int, OutcomeClass] = MappingProxyType(
    {code: outcome_class for outcome_class, codes in _LISTED.items() for code in codes}
)

# Statuses that the edge gives without the order service having seen the request.
HTTP_STATUSES: MappingProxyType[int, OutcomeClass] = MappingProxyType(
    {
        400: OutcomeClass.PARAMETER,
        401: OutcomeClass.AUTH,
        403: OutcomeClass.RATE_IP,  # unless the body speaks of a country, see below
        404: OutcomeClass.PARAMETER,
    }
)
_OK = 200
_FORBIDDEN = 403
_REGION_WORDS = (b"country", b"region", b"block access")
_EXCERPT = 200


def classify(http_status: int, body: bytes) -> Verdict:
    """Say what an answer means. Never raises: what can't be read is `UNKNOWN`.

    Args:
        http_status: the HTTP status.
        body: the whole body.

    Returns:
        The class, the `retCode` as text (`http-<status>` where HTTP itself refused), the
        exchange's message, and the `result` object.
    """
    if http_status != _OK:
        return _of_status(http_status, body)
    try:
        envelope = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Verdict(OutcomeClass.UNKNOWN, "not-json", _excerpt(body))
    code = envelope.get("retCode") if isinstance(envelope, dict) else None
    if not isinstance(code, int) or isinstance(code, bool):
        return Verdict(OutcomeClass.UNKNOWN, "no-retCode", _excerpt(body))
    result = envelope.get("result")
    result = result if isinstance(result, dict) else {}
    return Verdict(
        CODES.get(code, OutcomeClass.UNKNOWN),
        str(code),
        _message(envelope.get("retMsg"), result),
        result,
    )


def _of_status(http_status: int, body: bytes) -> Verdict:
    outcome_class = HTTP_STATUSES.get(http_status, OutcomeClass.UNKNOWN)
    if http_status == _FORBIDDEN:
        words = body.lower()
        if b"too frequent" not in words and any(word in words for word in _REGION_WORDS):
            outcome_class = OutcomeClass.AUTH
    return Verdict(outcome_class, f"http-{http_status}", _excerpt(body))


def _message(ret_msg: object, result: Mapping[str, Any]) -> str:
    """The message, with the reasons that a refused margin mode lists beside it."""
    message = ret_msg if isinstance(ret_msg, str) else ""
    reasons = result.get("reasons")
    if isinstance(reasons, list):
        texts = (item.get("reasonMsg") for item in reasons if isinstance(item, dict))
        message = "; ".join([message, *(text for text in texts if isinstance(text, str))])
    return message


def _excerpt(body: bytes) -> str:
    return body[:_EXCERPT].decode("utf-8", "replace")
