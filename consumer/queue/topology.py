"""What the broker must look like: exchanges, queues, bindings, as values. No I/O.

Retries are the broker's own dead-lettering. A nack (without requeue) sends a message to the
retry exchange with its routing key unchanged, and the key says which rung comes next:

    routing key of the nacked message    waits in                 comes back with
    ---------------------------------    ---------------------    ---------------
    `<queue>` (as published)             `<queue>.retry.<1st>`    `retry.1`
    `retry.1`                            `<queue>.retry.<2nd>`    `retry.2`
    `retry.N`, N the last rung           `<queue>.dlq`            -

So the attempt number is in the routing key, a nack is one atomic step, and nothing is ever
published by us to retry a message. Dead-lettering is at-least-once on every queue of the way,
which needs quorum queues that refuse publishes rather than drop messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from consumer.settings import parse_delay

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.settings import BrokerSettings

_RETRY_KEY = "retry."
# Never met in practice, and it must not be: a message that meets it goes up a rung without having
# been refused, and when it comes back from there the broker takes that for an automatic cycle and
# drops it. So the worker refuses a message itself after `UNANSWERED_MOST` (see `Worker`). It has to
# be set, because from RabbitMQ 4 on 20 is the default.
_DELIVERY_LIMIT = 1_000_000
UNANSWERED_MOST = 20  # deliveries of a message, in a row, that nobody answered
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class ExchangeSpec:
    """An exchange to declare; always durable."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """A queue to declare; always durable."""

    name: str
    arguments: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class BindingSpec:
    """A queue bound to an exchange."""

    queue: str
    exchange: str
    key: str


@dataclass(frozen=True, slots=True)
class Topology:
    """Names and delays; everything else derives from them."""

    queue: str
    exchange: str
    delays: tuple[str, ...]

    @classmethod
    def of(cls, settings: BrokerSettings) -> Topology:
        """The topology that settings ask for."""
        return cls(
            settings.trade_queue, settings.trade_exchange, tuple(settings.retry_delays.split(","))
        )

    @property
    def retry_exchange(self) -> str:
        """Where nacked messages go."""
        return f"{self.queue}.retry"

    @property
    def dead_exchange(self) -> str:
        """Where messages go that must not be tried again."""
        return f"{self.queue}.dead"

    @property
    def dead_letter_queue(self) -> str:
        """Where dead letters wait until they are collected."""
        return f"{self.queue}.dlq"

    @property
    def rung_queues(self) -> tuple[str, ...]:
        """The waiting queues, shortest way first. Their names carry the delay."""
        names = []
        for number, delay in enumerate(self.delays):
            # The same delay twice in a ladder needs two queues.
            again = self.delays[:number].count(delay)
            suffix = f".{again + 1}" if again else ""
            names.append(f"{self.queue}.retry.{delay}{suffix}")
        return tuple(names)

    @property
    def exchanges(self) -> tuple[ExchangeSpec, ...]:
        """The exchanges, in an order in which they can be declared."""
        return (
            ExchangeSpec(self.exchange, "topic"),
            ExchangeSpec(self.retry_exchange, "topic"),
            ExchangeSpec(self.dead_exchange, "fanout"),
        )

    @property
    def queues(self) -> tuple[QueueSpec, ...]:
        """The queues with their arguments: the dead letters first, the main queue last."""
        safe: dict[str, str | int] = {
            "x-queue-type": "quorum",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        rungs = [
            QueueSpec(
                name,
                MappingProxyType(
                    {
                        **safe,
                        "x-message-ttl": parse_delay(delay) // _MILLISECOND,
                        "x-dead-letter-exchange": self.exchange,
                        "x-dead-letter-routing-key": f"{_RETRY_KEY}{number}",
                    }
                ),
            )
            for number, (name, delay) in enumerate(
                zip(self.rung_queues, self.delays, strict=True), start=1
            )
        ]
        return (
            QueueSpec(
                self.dead_letter_queue,
                MappingProxyType({"x-queue-type": "quorum", "x-delivery-limit": _DELIVERY_LIMIT}),
            ),
            *rungs,
            QueueSpec(
                self.queue,
                MappingProxyType(
                    {
                        **safe,
                        "x-dead-letter-exchange": self.retry_exchange,
                        "x-delivery-limit": _DELIVERY_LIMIT,
                    }
                ),
            ),
        )

    @property
    def bindings(self) -> tuple[BindingSpec, ...]:
        """Who gets what, so ordered that no message finds a gap."""
        last = len(self.delays)
        rungs = [
            BindingSpec(name, self.retry_exchange, self.queue if n == 0 else f"{_RETRY_KEY}{n}")
            for n, name in enumerate(self.rung_queues)
        ]
        return (
            BindingSpec(self.dead_letter_queue, self.dead_exchange, ""),
            BindingSpec(self.dead_letter_queue, self.retry_exchange, f"{_RETRY_KEY}{last}"),
            *rungs,
            BindingSpec(self.queue, self.exchange, self.queue),
            BindingSpec(self.queue, self.exchange, f"{_RETRY_KEY}*"),
        )

    def stale_bindings(self, older: Topology) -> tuple[BindingSpec, ...]:
        """The bindings of an older ladder that would copy or divert messages of this one."""
        ours = set(self.bindings)
        return tuple(
            binding
            for binding in older.bindings
            if binding not in ours and binding.exchange == self.retry_exchange
        )

    def attempt(self, routing_key: str) -> int:
        """Which try a delivery is, from 1, told by its routing key."""
        rung = routing_key.removeprefix(_RETRY_KEY)
        if rung != routing_key and rung.isdecimal():
            return int(rung) + 1
        return 1

    def is_last(self, attempt: int) -> bool:
        """True if a nack of this attempt would end among the dead letters."""
        return attempt > len(self.delays)


def draw(topology: Topology) -> str:
    """Draw the topology as text, for `trade-worker topology show`."""
    rows = [
        f"producers ──▶ {topology.exchange} (topic)",
        f"                 │  {topology.queue}, {_RETRY_KEY}*",
        "                 ▼",
        f"              {topology.queue} (quorum) ──▶ workers",
        "                 │  nack",
        "                 ▼",
        f"              {topology.retry_exchange} (topic)",
    ]
    for number, (name, delay) in enumerate(
        zip(topology.rung_queues, topology.delays, strict=True), start=1
    ):
        key = topology.queue if number == 1 else f"{_RETRY_KEY}{number - 1}"
        rows.append(
            f"                 ├─ {key:<16} ─▶ {name:<28} waits {delay:>5} ─▶ "
            f"{topology.exchange} as {_RETRY_KEY}{number}"
        )
    rows += [
        (
            f"                 └─ {_RETRY_KEY}{len(topology.delays):<10} ─▶ "
            f"{topology.dead_letter_queue} (ladder exhausted)"
        ),
        (
            f"workers ──▶ {topology.dead_exchange} (fanout) ─▶ {topology.dead_letter_queue} "
            "(must not be tried again)"
        ),
    ]
    return "\n".join(rows)
