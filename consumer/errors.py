"""Every error the consumer raises, in one tree.

ConsumerError
├── BrokerUnavailable      RabbitMQ can't be reached, or did not answer in time
├── TopologyMismatch       an exchange or queue exists with other arguments than ours
├── PublishRefused         the broker returned or refused a message: it is stored nowhere
└── MalformedMessage       a body that is no trade message; the text is for its producer
"""

from __future__ import annotations


class ConsumerError(Exception):
    """The root of what the consumer raises."""


class BrokerUnavailable(ConsumerError):  # noqa: N818 - names say the condition
    """RabbitMQ can't be reached, refused us, or did not answer in time."""


class TopologyMismatch(ConsumerError):  # noqa: N818 - as above
    """The broker has an exchange or queue that is missing or differs from what we need."""


class PublishRefused(ConsumerError):  # noqa: N818 - as above
    """A message was not taken by any queue."""


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
