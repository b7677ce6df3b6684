"""Telling others of the requests to an exchange: what went out, what came back, how long it took.

A record holds nothing that was signed, and no signature: no header, no query, no body.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeAlias

from providers.calls import Verdict
from providers.outcomes import OutcomeClass
from providers.values import value

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.calls import Call
    from providers.clock import Clock
    from providers.http import TransportFault

_log = logging.getLogger(__name__)
_MESSAGE_MOST = 300
_SUCCESSES = frozenset({OutcomeClass.ACCEPTED, OutcomeClass.BENIGN})


@value(frozen=True, slots=True)
class CallRecord:
    """A request that went out, and what came back.

    Attributes:
        kind: `place`, `read` and `write` are signed, `public` is not.
        path: without the query, which holds what was signed.
        status: of the answer; None if there was none.
        outcome: what the answer means, by the venue's table.
        code: the venue's, or the name of the network's error.
        message: the venue's words, keys taken out; empty where it was a success.
        seconds: from the signature to the answer.
        signing: seconds that the signature took.
        origin: scheme, host and port that it went to.
    """

    exchange: str
    kind: str
    method: str
    path: str
    client_order_id: str | None
    status: int | None
    outcome: OutcomeClass
    code: str | None
    message: str
    seconds: float
    signing: float = 0.0
    origin: str = ""


# Called on the way of an order: it must only take note, and not raise.
CallObserver: TypeAlias = "Callable[[CallRecord], None]"


class CallTeller:
    """Tells one observer of the requests of one client; without one it does nothing."""

    def __init__(self, exchange: str, clock: Clock, origin: str = "") -> None:
        self._exchange = exchange
        self._origin = origin
        self._clock = clock
        self.observer: CallObserver | None = None

    def answered(
        self,
        call: Call,
        began: float,
        status: int | None,
        verdict: Verdict,
        *,
        placed: str = "",
        signing: float = 0.0,
    ) -> None:
        """Tell of an answer; whatever the observer does, the order goes on.

        Args:
            call: the request.
            began: the monotonic time of the signature.
            status: of the answer.
            verdict: what it means.
            placed: the client order id, of a placement.
            signing: seconds that the signature took.
        """
        if self.observer is None:
            return
        good = verdict.outcome_class in _SUCCESSES
        record = CallRecord(
            self._exchange,
            "place" if placed else _kind(call),
            call.method,
            call.path,
            placed or call.client_order_id,
            status,
            verdict.outcome_class,
            verdict.code,
            "" if good else verdict.message[:_MESSAGE_MOST],
            self._clock.monotonic() - began,
            signing,
            self._origin,
        )
        try:
            self.observer(record)
        except Exception:  # noqa: BLE001 - an order is under way
            _log.exception("%s: the observer of requests failed", self._exchange)

    def unanswered(
        self,
        call: Call,
        began: float,
        fault: TransportFault,
        *,
        placed: str = "",
        signing: float = 0.0,
    ) -> None:
        """Tell of a request that got no answer."""
        verdict = Verdict(OutcomeClass(fault.fault), fault.name, str(fault))
        self.answered(call, began, None, verdict, placed=placed, signing=signing)


def _kind(call: Call) -> str:
    if not call.signed:
        return "public"
    return "read" if call.method == "GET" else "write"
