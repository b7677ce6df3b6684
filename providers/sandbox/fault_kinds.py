"""What can go wrong: the kinds of faults, and which figures each of them needs."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class FaultKind(StrEnum):
    """What can go wrong with a request, or (`stream_...`) with an event of a stream."""

    DROP_BEFORE = "drop_before"
    DROP_AFTER = "drop_after"
    DELAY_REPLY = "delay_reply"
    DELAY_PROCESSING = "delay_processing"
    SERVER_ERROR = "server_error"
    ANSWER = "answer"
    RATE_LIMIT = "rate_limit"
    BAN = "ban"
    MAINTENANCE = "maintenance"
    HIDE = "hide"
    REJECT_LATER = "reject_later"
    PARTIAL_CANCEL = "partial_cancel"
    SPLIT = "split"
    CLOCK_SKEW = "clock_skew"
    LATENCY = "latency"
    STREAM_LOSE = "stream_lose"
    STREAM_DUPLICATE = "stream_duplicate"
    STREAM_DELAY = "stream_delay"
    STREAM_SWAP = "stream_swap"
    STREAM_CUT = "stream_cut"


MEANINGS: Final[dict[FaultKind, str]] = {
    FaultKind.DROP_BEFORE: "The connection is cut, nothing is processed.",
    FaultKind.DROP_AFTER: "Processed, then the connection is cut without an answer.",
    FaultKind.DELAY_REPLY: "Processed at once, answered `ms` later.",
    FaultKind.DELAY_PROCESSING: "Admitted at once, processed `ms` later, "
    "also when the caller has gone.",
    FaultKind.SERVER_ERROR: "Answered with HTTP `status` and an HTML page; "
    "processed too if `execute`.",
    FaultKind.ANSWER: "Answered with the venue's `code` (or a bare HTTP `status`); "
    "processed too if `execute`.",
    FaultKind.RATE_LIMIT: "Refused with the venue's own rate-limit answer.",
    FaultKind.BAN: "The caller's address is banned from the venue for `ms`.",
    FaultKind.MAINTENANCE: "Refused with the venue's own maintenance answer.",
    FaultKind.HIDE: "A created order is invisible to look-ups for `ms`; "
    "a matching look-up sees no order.",
    FaultKind.REJECT_LATER: "The order is accepted, then rejected with `message` as its reason.",
    FaultKind.PARTIAL_CANCEL: "`fraction` of the order fills, the rest is cancelled.",
    FaultKind.SPLIT: "The order fills in `parts` executions.",
    FaultKind.CLOCK_SKEW: "The venue's clock is `ms` off for the request (negative: behind).",
    FaultKind.LATENCY: "The request takes `ms` longer, half of it on each way.",
    FaultKind.STREAM_LOSE: "The event is never sent.",
    FaultKind.STREAM_DUPLICATE: "The event is sent twice, the second time `ms` later.",
    FaultKind.STREAM_DELAY: "The event is sent `ms` late: "
    "look-ups know of it before the stream tells.",
    FaultKind.STREAM_SWAP: "The event is sent after the one that follows it.",
    FaultKind.STREAM_CUT: "The connection is cut instead of sending the event, "
    "which is never sent again.",
}
"""Every kind in words; a name in backquotes is the field that it goes by."""

NEEDS_MS: Final = frozenset(
    {
        FaultKind.DELAY_REPLY,
        FaultKind.DELAY_PROCESSING,
        FaultKind.BAN,
        FaultKind.HIDE,
        FaultKind.CLOCK_SKEW,
        FaultKind.LATENCY,
        FaultKind.STREAM_DELAY,
    }
)

REFUSALS: Final = frozenset({FaultKind.RATE_LIMIT, FaultKind.BAN, FaultKind.MAINTENANCE})
ANSWERS: Final = REFUSALS | {FaultKind.SERVER_ERROR, FaultKind.ANSWER}
OF_STREAMS: Final = frozenset(kind for kind in FaultKind if kind.startswith("stream_"))
