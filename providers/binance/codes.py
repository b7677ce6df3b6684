"""What Binance's answers mean: the outcome table of USDⓈ-M futures, and the look-up in it.

Errors come with an HTTP status other than 200 and mostly a body of `code` and `msg`; a good
answer is bare JSON. A code that is not listed is `UNKNOWN`, and so is every 5xx except those of
which Binance says that the request failed. Source: Binance API docs, USDⓈ-M futures, "General
Info" and "Error Code"; where they are silent or contradict reports, the cautious reading was
taken.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import orjson

from providers.calls import Verdict
from providers.outcomes import OutcomeClass

if TYPE_CHECKING:
    from collections.abc import Mapping

_LISTED: Mapping[OutcomeClass, tuple[int, ...]] = {
    OutcomeClass.UNKNOWN: (
        -1000,  # unknown error
        # Internal error. It is said to have failed, and that it may be sent again; but a client
        # id does not keep Binance from filling a market order twice, and asking first costs next
        # to nothing.
        -1001,
        -1006,  # unexpected answer inside; said to be unknown
        -1007,  # time-out inside; said to be unknown
        -2012,  # cancelling all orders failed
    ),
    OutcomeClass.CLOCK: (
        -1021,  # timestamp outside the window, at the gateway
        -5028,  # the same, at the matching engine
    ),
    OutcomeClass.AUTH: (
        -1002,  # not authorised
        -1022,  # signature
        -1099,  # not found, not authenticated or not authorised
        -2014,  # format of the key
        -2015,  # key, address or permission
        -2017,  # keys are locked
        -4087,  # account may only reduce
        -4088,  # account may not trade
        -4109,  # account is inactive
        -4192,  # cooling-off period
        -4400,  # trading rules: only reducing is allowed
        -4401,
        -4402,  # region
        -4403,
    ),
    OutcomeClass.RATE_ACCOUNT: (-1015,),  # too many new orders
    OutcomeClass.RATE_IP: (-1003,),  # too much request weight, or address banned
    OutcomeClass.OVERLOAD: (
        -1008,  # throttled to protect the system
        -1016,  # service shuts down; -1109 and 239999 were announced for maintenance too
        -1109,
        239999,
    ),
    OutcomeClass.DUPLICATE_ID: (-4116,),  # an order with this client id is open
    OutcomeClass.PARAMETER: (
        *(-1010, -1013, -1014, -1020),  # malformed or unsupported
        *range(-1106, -1099),  # a parameter is illegal, missing, unknown, empty, or not wanted
        *(-1108, *range(-1119, -1113), -1128, -1130, -1136),
        -1121,  # no such symbol
        -1125,  # no such listen key
        -2010,  # order rejected, without a reason
        -2021,  # would trigger at once
        -2025,  # too many open orders
        -2026,  # type can't be reduce-only
        -4015,  # client order id
        -4028,  # leverage
        -4045,  # too many stop orders
        -4047,  # margin mode can't change while orders are open
        -4048,  # margin mode can't change while a position is open
        -4060,  # position side
        -4061,  # position side against position mode
        -4062,  # reduce-only against position side
        -4067,  # position mode can't change while orders are open
        -4068,  # position mode can't change while a position is open
        -4120,  # conditional orders go elsewhere
        -4130,  # a stop-loss or take-profit of the whole position is in force on this side
        *(-4136, -4137, -4138, -4142),  # closing a whole position, triggers
        -4161,  # leverage can't fall in isolated margin while a position is open
        *(-4167, -4168, -4171),  # margin mode against multi-assets mode
        *(-4202, -4203, -4205, -4206, -4208, -4209),  # leverage of this account or region
        -4531,  # position mode can't be kept alike for both kinds of futures
        -5021,  # fill-or-kill could not be filled at once
        -5022,  # post-only would have taken
        *range(-5027, -5023),  # amending
        *range(-5041, -5036),  # price match, self-trade prevention, good-till-date
    ),
    OutcomeClass.FILTER: (
        -1111,  # too many decimals
        -1112,  # no depth
        -2020,  # unable to fill
        *range(-4005, -4000),  # price and quantity bounds
        *(-4006, -4007),  # trigger price bounds
        *(-4013, -4014),  # least price, tick
        *(-4016, -4024),  # price too far from the mark price
        -4023,  # quantity step
        -4131,  # best price of the other side too far from the mark price
        -4164,  # notional below the least
        *(-4183, -4184, -4210, -4211),  # price or trigger too far from the market
    ),
    OutcomeClass.MARGIN: (
        -2018,  # balance
        -2019,  # margin
        -2024,  # position
        -2027,  # position at its most for this leverage
        -2028,  # leverage too small for the margin balance
        *(-4050, -4051),  # balance
        -4118,  # reducing together with open orders would open the other side
    ),
    OutcomeClass.REDUCE_ONLY: (-2022,),
    OutcomeClass.NO_POSITION: (
        -4129,  # an order that lives with a position found none
        -4509,
    ),
    OutcomeClass.NOT_TRADABLE: (
        -1122,  # symbol status
        -2023,  # account in liquidation
        -4140,  # symbol may not open
        -4141,  # symbol closed
    ),
    OutcomeClass.BENIGN: (
        -4046,  # margin mode is so already
        -4059,  # position mode is so already
    ),
    OutcomeClass.NOT_FOUND: (
        -2011,  # nothing to cancel under that id
        -2013,  # no such order
    ),
}

CODES: MappingProxyType[int, OutcomeClass] = MappingProxyType(
    {code: outcome_class for outcome_class, codes in _LISTED.items() for code in codes}
)

# Refusals that say: the account is in the other position mode than the order was made for.
# Reduce-only in hedge mode is refused as a parameter that is not wanted.
MODE_MISMATCH = frozenset({"-1106", "-4060", "-4061", "-4062"})

# Statuses that decide whatever the body says.
HTTP_STATUSES: MappingProxyType[int, OutcomeClass] = MappingProxyType(
    {
        408: OutcomeClass.UNKNOWN,  # time-out behind the gateway
        418: OutcomeClass.RATE_IP,  # banned for going on after 429
        451: OutcomeClass.AUTH,  # region
    }
)
# Statuses that decide where the body has no code.
HTTP_STATUSES_WITHOUT_CODE: MappingProxyType[int, OutcomeClass] = MappingProxyType(
    {
        403: OutcomeClass.RATE_IP,  # the firewall
        429: OutcomeClass.RATE_IP,
    }
)
# A 503 comes in four kinds. Two are documented failures, this text and the code -1008; the
# "Unknown error, …" and, for the reason given at -1001, the "Internal error; …" are unknown.
FAILED_503 = "Service Unavailable."

LIST = "list"  # the name under which the result of a verdict holds an answer that is a list

_OK = 200
_BAD_REQUEST = 400
_SERVER_ERROR = 500
_UNAVAILABLE = 503
_SUCCESS_CODE = 200  # what setters answer
_EXCERPT = 200
# Something on the way may show the address that was asked for, and with it a signature.
_SIGNATURE = re.compile(r"signature=[^&\s\"'<>]*", re.IGNORECASE)


def classify(http_status: int, body: bytes) -> Verdict:
    """Say what an answer means. Never raises: what can't be read is `UNKNOWN`.

    Args:
        http_status: the HTTP status.
        body: the whole body.

    Returns:
        The class, Binance's code as text (`http-<status>` where there is none or the status
        itself decides), its message, and the body as an object; a list stands under `LIST`.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = None
    code = _code(content)
    if http_status == _OK:
        return _good_or_not(content, code, body)
    message = _message(content, body)
    named = f"http-{http_status}"
    decided = HTTP_STATUSES.get(http_status)
    if decided is not None:
        return Verdict(decided, named, message)
    if http_status >= _SERVER_ERROR:
        named = named if code is None else str(code)
        return Verdict(_of_server_error(http_status, code, message), named, message)
    if code is None or http_status < _BAD_REQUEST:
        unlisted = HTTP_STATUSES_WITHOUT_CODE.get(http_status, OutcomeClass.UNKNOWN)
        return Verdict(unlisted, named, message)
    return Verdict(CODES.get(code, OutcomeClass.UNKNOWN), str(code), message)


def _good_or_not(content: object, code: int | None, body: bytes) -> Verdict:
    if isinstance(content, list):
        return Verdict(OutcomeClass.ACCEPTED, None, "", {LIST: content})
    if not isinstance(content, dict):
        return Verdict(OutcomeClass.UNKNOWN, "not-json", _excerpt(body))
    if "code" not in content or code == _SUCCESS_CODE:
        return Verdict(OutcomeClass.ACCEPTED, None, "", content)
    if code is None:
        return Verdict(OutcomeClass.UNKNOWN, "no-code", _excerpt(body))
    return Verdict(CODES.get(code, OutcomeClass.UNKNOWN), str(code), _message(content, body))


def _of_server_error(http_status: int, code: int | None, message: str) -> OutcomeClass:
    if http_status != _UNAVAILABLE:
        return OutcomeClass.UNKNOWN
    if code is None:
        return OutcomeClass.OVERLOAD if message == FAILED_503 else OutcomeClass.UNKNOWN
    overloaded = CODES.get(code) is OutcomeClass.OVERLOAD
    return OutcomeClass.OVERLOAD if overloaded else OutcomeClass.UNKNOWN


def _code(content: object) -> int | None:
    """The code of an answer; some calls write it as text."""
    value: Any = content.get("code") if isinstance(content, dict) else None
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _message(content: object, body: bytes) -> str:
    message = content.get("msg") if isinstance(content, dict) else None
    return _hide_signature(message.strip()) if isinstance(message, str) else _excerpt(body)


def _excerpt(body: bytes) -> str:
    return _hide_signature(body.decode("utf-8", "replace").strip())[:_EXCERPT]


def _hide_signature(text: str) -> str:
    return _SIGNATURE.sub("signature=…", text)
