"""Every error a provider raises, in one tree.

    ProviderError                  anything an exchange, or talking to one, can go wrong with
    ├── NotConfigured              the exchange has no credentials here
    ├── UnknownExchange            nothing is registered under that name
    ├── BrokenProvider             a plug-in was found, but it can't be used
    ├── RequestRefused             we refuse: the request breaks a rule of the instrument or account
    │   └── NothingToClose         a close found no position on its side
    └── ExchangeError              the exchange, or the way to it, did not give what was asked
        ├── ExchangeRefusal        it answered with a listed code that means no
        └── ExchangeUnavailable    no usable answer: time-out, reset, 5xx, overload, rate limit

Placing an order raises none of them: `ExchangeClient.place` returns a `Placement`, because
"we do not know" is an answer there and must not look like a failure. These errors speak of
everything around it: reading instruments, positions and orders, setting leverage.

None of them carries a header, a signature or a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.outcomes import ADVICE, advised

if TYPE_CHECKING:
    from providers.outcomes import OutcomeClass


class ProviderError(Exception):
    """The root; catch it to handle whatever an exchange brings."""


class NotConfigured(ProviderError):  # noqa: N818 - names say the condition, as h11 and httpx do
    """The exchange has no credentials in the settings."""

    def __init__(self, exchange: str) -> None:
        self.exchange = exchange
        super().__init__(f"API secret bindings not configured for {exchange}")


class UnknownExchange(ProviderError):  # noqa: N818 - as above
    """No provider is registered under the name."""

    def __init__(self, exchange: str, known: tuple[str, ...]) -> None:
        self.exchange = exchange
        super().__init__(f"unknown exchange {exchange!r}; known here: {', '.join(known)}")


class BrokenProvider(ProviderError):  # noqa: N818 - as above
    """An entry point of the group `trade_worker.providers` can't be loaded or used."""

    def __init__(self, entry_point: str, reason: str) -> None:
        self.entry_point = entry_point
        super().__init__(f"exchange plug-in {entry_point!r} can't be used: {reason}")


class RequestRefused(ProviderError):  # noqa: N818 - as above
    """The request can't become an order: which rule, its limit, and the value that broke it.

    `code` is a short upper-case word that dead letters and answers carry
    (`BELOW_MIN_QUANTITY`, `LEVERAGE_TOO_HIGH`, …).
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class NothingToClose(RequestRefused):
    """A close found no position on its side; seen once it may be read lag, so ask twice."""

    def __init__(self, message: str) -> None:
        super().__init__("NOTHING_TO_CLOSE", message)


class ExchangeError(ProviderError):
    """The exchange did not give what was asked. Its text names all of this, in one line.

    Attributes:
        exchange: the venue's name.
        said: the exchange's message, or ours where there was no answer.
        advice: what to do about it, or empty.
        code: its own code as text, an HTTP status as `http-503`, or None without an answer.
        outcome_class: what the code means, from the venue's outcome table.
        retry_after: seconds to stay away, where the exchange said so.
    """

    def __init__(
        self,
        exchange: str,
        message: str,
        *,
        outcome_class: OutcomeClass,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.exchange = exchange
        self.said = message
        self.code = code
        self.outcome_class = outcome_class
        self.advice = ADVICE.get(outcome_class, "")
        self.retry_after = retry_after
        prefix = f"{exchange} {code}" if code else exchange
        super().__init__(f"{prefix}: {advised(message, outcome_class)}")


class ExchangeRefusal(ExchangeError):  # noqa: N818 - as above
    """A listed code that means no, for certain; asking again changes nothing."""


class ExchangeUnavailable(ExchangeError):  # noqa: N818 - as above
    """No usable answer this time; asking again later may help."""
