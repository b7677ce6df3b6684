"""Every error the consumer raises, in one tree.

ConsumerError
├── BrokerUnavailable      RabbitMQ can't be reached, or did not answer in time
├── TopologyMismatch       an exchange or queue exists with other arguments than ours
├── ConfigRefused          a key or a value that the config store must not hold
├── PublishRefused         the broker returned or refused a message: it is stored nowhere
├── NotifyMisconfigured    NOTIFY_URLS can't be used, or its part is not installed
├── NotifyFailed           no service took a notice
├── ExtraMissing           an optional part is not installed
├── CannotListen           the REST API's address can't be had
└── MalformedMessage       a body that is no trade message; the text is for its producer
"""

from __future__ import annotations


class ConsumerError(Exception):
    """The root of what the consumer raises."""


class BrokerUnavailable(ConsumerError):  # noqa: N818 - names say the condition
    """RabbitMQ can't be reached, refused us, or did not answer in time."""


class TopologyMismatch(ConsumerError):  # noqa: N818 - as above
    """The broker has an exchange or queue that is missing or differs from what we need."""


class ConfigRefused(ConsumerError):  # noqa: N818 - as above
    """A key or a value of the config is not what it should be; says what would be right."""


class PublishRefused(ConsumerError):  # noqa: N818 - as above
    """A message was not taken by any queue."""


class CannotListen(ConsumerError):  # noqa: N818 - as above
    """The address that the REST API is to listen on is taken, or is none of ours."""


class MalformedMessage(ConsumerError):  # noqa: N818 - as above
    """A body is no trade message.

    Attributes:
        code: a short word for grouping (`NOT_JSON`, `VALIDATION_ERROR`, …).
        request_id: the message's request id if one could be read.
    """

    def __init__(self, code: str, message: str, request_id: str | None = None) -> None:
        self.code = code
        self.request_id = request_id
        super().__init__(message)


class NotifyMisconfigured(ConsumerError):  # noqa: N818 - as above
    """NOTIFY_URLS names something that can't be notified, or apprise is not installed."""


class NotifyFailed(ConsumerError):  # noqa: N818 - as above
    """No service took the notice."""


class ExtraMissing(ConsumerError):  # noqa: N818 - as above
    """What was asked for needs a library that is not installed."""

    def __init__(self, what: str, library: str, extra: str) -> None:
        super().__init__(
            f"{what} needs {library}, which is not installed; install it with "
            f"`pip install 'trade-worker[{extra}]'`"
        )
