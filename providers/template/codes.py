"""What the exchange's answers mean: a table, and the look-up in it. Default: `UNKNOWN`."""

from __future__ import annotations

from types import MappingProxyType

import orjson

from providers.calls import Verdict
from providers.outcomes import OutcomeClass

# Every code of the exchange's documentation. One that is not listed may mean that the order
# exists, so leave out what you are not sure of.
CODES: MappingProxyType[int, OutcomeClass] = MappingProxyType(
    {
        0: OutcomeClass.ACCEPTED,
        100: OutcomeClass.AUTH,
        101: OutcomeClass.CLOCK,
        200: OutcomeClass.PARAMETER,
        201: OutcomeClass.FILTER,
        202: OutcomeClass.MARGIN,
        203: OutcomeClass.NOT_TRADABLE,
        204: OutcomeClass.REDUCE_ONLY,
        205: OutcomeClass.DUPLICATE_ID,
        206: OutcomeClass.NOT_FOUND,
        300: OutcomeClass.RATE_ACCOUNT,
        301: OutcomeClass.RATE_IP,
        302: OutcomeClass.OVERLOAD,
        500: OutcomeClass.UNKNOWN,  # "outcome unknown", in the exchange's own words
    }
)
_OK = 200


def classify(http_status: int, body: bytes) -> Verdict:
    """Say what an answer means. Never raises: what can't be read is `UNKNOWN`."""
    try:
        answer = orjson.loads(body) if http_status == _OK else None
    except orjson.JSONDecodeError:
        answer = None
    code = answer.get("code") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(code, int):
        return Verdict(
            OutcomeClass.UNKNOWN, f"http-{http_status}", body[:200].decode("utf-8", "replace")
        )
    return Verdict(
        CODES.get(code, OutcomeClass.UNKNOWN), str(code), str(answer.get("text", "")), answer
    )
