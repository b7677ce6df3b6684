"""Every metric of a worker, in one table: Prometheus names, help and buckets. No ids as labels.

Modules import the metric they move; nothing here does I/O. Seconds are seconds, counters end in
`_total`. `deploy/METRICS.md` is generated from this module, and the dashboard and the alert rules
are checked against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from platform import python_version
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, Info, ProcessCollector

from consumer.watching.tallies import Counter, Histogram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client import Metric

PREFIX = "trade_worker"
REGISTRY = CollectorRegistry(auto_describe=True)

# Chosen for what each measures: a signature takes some microseconds, a stage of our own well under
# a millisecond to some tens of them, an exchange milliseconds to seconds, a message may have waited
# for half an hour.
_STAGE = (
    0.00005, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
)  # fmt: skip
_WIRE = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10)
_AGE = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 60, 300, 900, 3600)
_LAG = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_COUNTS = (1, 2, 3, 5, 7, 10, 20, 50, 100)


_LABELS: dict[str, tuple[str, ...]] = {}


def _counter(name: str, about: str, labels: Sequence[str] = ()) -> Counter:
    _LABELS[f"{PREFIX}_{name}"] = tuple(labels)
    return Counter(f"{PREFIX}_{name}", about, labels, REGISTRY)


def _gauge(name: str, about: str, labels: Sequence[str] = ()) -> Gauge:
    _LABELS[f"{PREFIX}_{name}"] = tuple(labels)
    return Gauge(name, about, labels, namespace=PREFIX, registry=REGISTRY)


def _histogram(
    name: str, about: str, buckets: Sequence[float], labels: Sequence[str] = ()
) -> Histogram:
    _LABELS[f"{PREFIX}_{name}"] = tuple(labels)
    return Histogram(f"{PREFIX}_{name}", about, labels, buckets, REGISTRY)


# Messages.
RECEIVED = _counter("messages_received", "Messages taken from the queue.")
SETTLED = _counter(
    "messages_settled",
    "Messages settled, by how (ack, nack, requeue, dead_letter, abandon) and by what became of "
    "them.",
    ("settlement", "outcome"),
)
RETRIES = _counter(
    "retries", "Messages sent up the retry ladder, by the rung they wait on.", ("rung",)
)
DEAD_LETTERS = _counter("dead_letters", "Messages put among the dead letters.", ("reason",))
BATCH_SIZE = _histogram("batch_messages", "Messages in a batch when it closed.", _COUNTS)
BATCH_WAIT = _histogram(
    "batch_wait_seconds", "From a batch's first message until it closed.", _STAGE
)
MESSAGE_AGE = _histogram(
    "message_age_seconds", "From the producer's queuedAt until the message reached us.", _AGE
)
MESSAGE_SECONDS = _histogram(
    "message_seconds", "From a message's arrival until it was settled.", _AGE
)
IN_FLIGHT = _gauge("messages_in_flight", "Messages taken and not settled yet.")

# One message's way.
STAGE_SECONDS = _histogram(
    "stage_seconds",
    "Time of one stage: queue (waiting for its lane), claim, prepare, limiter, intent, sign, wire "
    "(with the signature, to the exchange's answer), record.",
    _STAGE,
    ("stage",),
)
WIRE_AGE = _histogram(
    "arrival_to_wire_seconds", "From a message's arrival until its order was sent.", _STAGE
)

# Orders.
ORDERS = _counter(
    "orders", "Orders that came into a state, by exchange and state.", ("exchange", "state")
)
UNRESOLVED = _gauge(
    "orders_unresolved", "Orders whose outcome is not known (SENDING, UNKNOWN).", ("exchange",)
)
UNRESOLVED_AGE = _gauge(
    "orders_unresolved_age_seconds", "Age of the oldest order of unknown outcome.", ("exchange",)
)
QUARANTINED = _gauge("orders_quarantined", "Orders that wait for a person.", ("exchange",))
OPEN = _gauge("orders_open", "Orders in an exchange's book, as far as we know.", ("exchange",))

# Exchanges.
REQUESTS = _counter(
    "exchange_requests",
    "Requests to an exchange by what the answer meant.",
    ("exchange", "outcome"),
)
REQUEST_SECONDS = _histogram(
    "exchange_request_seconds", "Time of one request to an exchange.", _WIRE, ("exchange",)
)
LIMIT_WAIT = _histogram(
    "rate_limit_wait_seconds",
    "Time that a request waited for its slot in an exchange's rate limits.",
    _STAGE,
    ("exchange",),
)
LIMIT_CLOSED = _counter(
    "rate_limit_refusals",
    "Requests that were not sent: their slot was too far away (full), or the exchange has asked "
    "us to stay away (cooling).",
    ("exchange", "why"),
)
COOL_DOWNS = _counter(
    "cool_downs",
    "Times that an exchange asked us to stay away (rate limit, ban), or showed a limit used up.",
    ("exchange",),
)
CIRCUIT_OPEN = _gauge(
    "circuit_open",
    "1 while nothing goes through: ledger (unreachable), config (not fresh), or an exchange that "
    "has asked us to stay away.",
    ("circuit",),
)
KILL_SWITCH = _gauge(
    "kill_switch",
    "The kill switches that are set: 0 off, 1 reduce only, 2 on; scope is global, an exchange or "
    "a symbol.",
    ("scope",),
)

# What is still to be told, and the ledger.
OUTBOX_BACKLOG = _gauge("outbox_backlog", "Rows waiting in the outbox.", ("kind",))
OUTBOX_AGE = _gauge("outbox_age_seconds", "Age of the oldest row in the outbox.", ("kind",))
POOL_CONNECTIONS = _gauge(
    "database_pool_connections", "Connections of the pool, by state (used, idle).", ("state",)
)

# The process and its broker.
QUEUE_MESSAGES = _gauge(
    "queue_messages", "Messages ready in a queue, as this worker saw it last.", ("queue",)
)
CONNECTED = _gauge("broker_connected", "1 while connected to RabbitMQ and consuming.")
BLOCKED = _gauge("broker_blocked", "1 while RabbitMQ blocks publishers (memory or disk alarm).")
RECONNECTS = _counter("broker_reconnects", "Connections to RabbitMQ after the first.")
LAST_DELIVERY = _gauge("last_delivery_timestamp_seconds", "When the last message arrived.")
LOOP_LAG = _histogram("event_loop_lag_seconds", "How late the event loop runs what is due.", _LAG)
LOOP_BUSY = _gauge(
    "event_loop_busy_ratio", "Part of the last quarter second that its thread was at work, 0 to 1."
)
LIVE = _gauge("live", "1 unless the watchdog has found a fault; see /health.")
READY = _gauge("ready", "1 while the worker takes messages; see /ready.")
DRAINING = _gauge("draining", "1 while the worker is stopping.")
BUILD = Info("build", "What runs: version, and Python's.", namespace=PREFIX, registry=REGISTRY)
BUILD.info({"version": version("trade-worker"), "python": python_version()})
ProcessCollector(registry=REGISTRY)  # memory, processor time, open files


@dataclass(frozen=True, slots=True)
class Described:
    """One metric, as its page shows it; `name` is what a scrape shows."""

    name: str
    kind: str
    labels: tuple[str, ...]
    about: str


def described() -> list[Described]:
    """List every metric."""
    return [
        Described(_shown(family), family.type, _LABELS.get(family.name, ()), family.documentation)
        for family in REGISTRY.collect()
    ]


def _shown(family: Metric) -> str:
    endings = {"counter": "_total", "info": "_info"}
    return family.name + endings.get(family.type, "")
