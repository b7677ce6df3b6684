"""Traces, by OpenTelemetry's conventions for messaging; the extra `otel` brings the library.

A message's own `traceparent` is its parent, so that a trade can be followed from the producer to
the exchange and back; the broker keeps it on the retry ladder, and a dead letter carries it on. It
is not sent to exchanges. Without the setting nothing of this is imported, and nothing is done.

    receive  a batch, with a link to each of its messages
    process  one message, child of what published it; or execute, of what called the REST API
    ├── POST /v5/order/create   each request to an exchange
    ├── publish                 a dead letter
    └── ack, nack               the settlement
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib.metadata import version
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from consumer.outcome import OutcomeKind
from consumer.queue.delivery import Settlement
from consumer.queue.topology import Topology
from consumer.settings import Traces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Link, Span

    from consumer.outcome import Outcome
    from consumer.queue.delivery import Delivery
    from consumer.settings import Settings
    from providers.observing import CallRecord

PARENT = "traceparent"
_NANO = 1_000_000_000
_CLOSE_SECONDS = 3.0
_W3C = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.ASCII)
_FIXED = re.compile(r"v\d+|[a-z][A-Za-z_-]*")  # a part of a path that no request changes
_FAILED = frozenset({OutcomeKind.REFUSED, OutcomeKind.RETRY})
_FAILURE = 400  # the first status that says that a request failed

# What AMQP calls a settlement; nothing is said for a delivery that can't be settled any more.
_OPERATION: MappingProxyType[Settlement, str] = MappingProxyType(
    {
        Settlement.ACK: "ack",
        Settlement.DEAD_LETTER: "ack",
        Settlement.NACK: "nack",
        Settlement.REQUEUE: "nack",
    }
)


class Tracing(Protocol):
    """What is told of a message's way; each call may do nothing."""

    def received(self, deliveries: Sequence[Delivery]) -> None:
        """A batch closed."""

    def processing(self, delivery: Delivery) -> AbstractContextManager[str | None]:
        """A message is worked on inside the context, which gives the id of its trace."""

    def executing(self, parent: str | None) -> AbstractContextManager[str | None]:
        """A trade that the REST API was given is worked on; as `processing`."""

    def burying(self, delivery: Delivery) -> AbstractContextManager[Mapping[str, str]]:
        """A dead letter is published inside the context, which gives the headers it gets."""

    def settling(self, settlement: Settlement, outcome: Outcome) -> AbstractContextManager[None]:
        """The message is settled inside the context."""

    def called(self, record: CallRecord) -> None:
        """A request to an exchange was answered, or failed."""

    async def close(self) -> None:
        """Send what is still to be sent."""


_NOTHING = nullcontext()


class NoTracing:
    """Does nothing."""

    def received(self, deliveries: Sequence[Delivery]) -> None:
        """Do nothing."""

    def processing(self, delivery: Delivery) -> AbstractContextManager[str | None]:
        """Give the producer's trace."""
        return nullcontext(trace_id(parent_of(delivery)))

    def executing(self, parent: str | None) -> AbstractContextManager[str | None]:
        """Give the caller's trace."""
        return nullcontext(trace_id(parent))

    def burying(self, delivery: Delivery) -> AbstractContextManager[Mapping[str, str]]:
        """Add nothing."""
        del delivery
        return nullcontext({})

    def settling(self, settlement: Settlement, outcome: Outcome) -> AbstractContextManager[None]:
        """Do nothing."""
        del settlement, outcome
        return _NOTHING

    def called(self, record: CallRecord) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


NO_TRACING = NoTracing()


class OpenTelemetryTracing:
    """Makes spans.

    Args:
        provider: where they go.
        topology: the queue that messages come from, and where dead letters go.
        broker: host and port.
        scrub: takes secrets out of a text.
    """

    def __init__(
        self,
        provider: TracerProvider,
        topology: Topology,
        broker: tuple[str, int],
        scrub: Callable[[str], str],
    ) -> None:
        from opentelemetry import propagate, trace  # noqa: PLC0415 - optional

        self._provider = provider
        self._tracer = provider.get_tracer("trade-worker")
        self._trace = trace
        self._propagate = propagate
        self._topology = topology
        self._scrub = scrub
        self._common: dict[str, str | int] = {
            "messaging.system": "rabbitmq",
            "server.address": broker[0],
            "server.port": broker[1],
        }

    def received(self, deliveries: Sequence[Delivery]) -> None:
        """Make the span of a batch, with links to its messages."""
        began = min(delivery.received_at for delivery in deliveries)
        span = self._tracer.start_span(
            f"receive {self._topology.queue}",
            context=self._nothing(),
            kind=self._trace.SpanKind.CLIENT,
            links=[link for one in deliveries for link in self._links(one)],
            attributes={
                **self._common,
                **_operation("receive", "receive"),
                "messaging.destination.name": self._topology.queue,
                "messaging.batch.message_count": len(deliveries),
            },
            start_time=int(began.timestamp() * _NANO),
        )
        span.end()

    @contextmanager
    def processing(self, delivery: Delivery) -> Iterator[str | None]:
        """Make the span of a message; what it does inside becomes its children."""
        attributes: dict[str, str | int] = {
            **self._common,
            **_operation("process", "process"),
            "messaging.destination.name": self._destination(delivery),
            "messaging.destination.template": self._topology.queue,
            "messaging.rabbitmq.destination.routing_key": delivery.routing_key,
            "messaging.message.body.size": len(delivery.body),
            "trade_worker.batch_id": delivery.batch_id,
            "trade_worker.attempt": delivery.attempt,
        }
        if delivery.message_id is not None:
            attributes["messaging.message.id"] = delivery.message_id
        with self._tracer.start_as_current_span(
            f"process {self._topology.queue}",
            context=self._parent(parent_of(delivery)),
            kind=self._trace.SpanKind.CONSUMER,
            links=self._links(delivery),
            attributes=attributes,
        ) as span:
            yield format(span.get_span_context().trace_id, "032x")

    @contextmanager
    def executing(self, parent: str | None) -> Iterator[str | None]:
        """Make the span of a trade that came by the REST API."""
        with self._tracer.start_as_current_span(
            "execute", context=self._parent(parent), kind=self._trace.SpanKind.SERVER
        ) as span:
            yield format(span.get_span_context().trace_id, "032x")

    @contextmanager
    def burying(self, delivery: Delivery) -> Iterator[Mapping[str, str]]:
        """Make the span of publishing a dead letter; one without a parent of its own gets this."""
        links = self._links(delivery)
        kind = self._trace.SpanKind.CLIENT if links else self._trace.SpanKind.PRODUCER
        exchange, key = self._topology.dead_exchange, self._topology.queue
        attributes: dict[str, str | int] = {
            **self._common,
            **_operation("send", "publish"),
            "messaging.destination.name": f"{exchange}:{key}",
            "messaging.rabbitmq.destination.routing_key": key,
        }
        if delivery.message_id is not None:
            attributes["messaging.message.id"] = delivery.message_id
        with self._tracer.start_as_current_span(
            f"publish {exchange}:{key}", kind=kind, links=links, attributes=attributes
        ):
            carrier: dict[str, str] = {}
            if not links:
                self._propagate.inject(carrier)
            yield carrier

    @contextmanager
    def settling(self, settlement: Settlement, outcome: Outcome) -> Iterator[None]:
        """Make the span of a settlement, and tell the message's span what became of it."""
        self._tell(outcome)
        operation = _OPERATION.get(settlement)
        if operation is None:
            yield
            return
        with self._tracer.start_as_current_span(
            f"{operation} {self._topology.queue}",
            kind=self._trace.SpanKind.CLIENT,
            attributes={
                **self._common,
                **_operation("settle", operation),
                "messaging.destination.name": self._topology.queue,
                "trade_worker.settlement": str(settlement),
            },
        ):
            yield

    def called(self, record: CallRecord) -> None:
        """Make the span of a request to an exchange; one that no message made has none."""
        if not self._trace.get_current_span().get_span_context().is_valid:
            return
        now = time.time_ns()
        to = urlsplit(record.origin)
        template = template_of(record.path)
        attributes: dict[str, str | int] = {
            "http.request.method": record.method,
            "url.full": f"{record.origin}{record.path}",  # the query holds what was signed
            "url.template": template,
            "server.address": to.hostname or record.exchange,
            "server.port": to.port or (80 if to.scheme == "http" else 443),
            "trade_worker.exchange": record.exchange,
            "trade_worker.meaning": str(record.outcome),
        }
        failed = record.code if record.status is None else None
        if record.status is not None:
            attributes["http.response.status_code"] = record.status
            failed = str(record.status) if record.status >= _FAILURE else None
        if record.code is not None:
            attributes["trade_worker.code"] = record.code
        if failed is not None:
            attributes["error.type"] = failed
        span = self._tracer.start_span(
            f"{record.method} {template}",
            kind=self._trace.SpanKind.CLIENT,
            attributes=attributes,
            start_time=now - int(record.seconds * _NANO),
        )
        if failed is not None:
            self._fail(span, record.message or record.code)
        span.end(now)

    async def close(self) -> None:
        """Send what is still to be sent; a collector that is away does not hold the worker up."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=shut_down, name="traces", daemon=True).start()
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), _CLOSE_SECONDS)

    def _tell(self, outcome: Outcome) -> None:
        process = self._trace.get_current_span()
        failed = outcome.kind in _FAILED
        for name, value in (
            ("trade_worker.outcome", outcome.kind),
            ("trade_worker.request_id", outcome.request_id),
            ("trade_worker.exchange", outcome.exchange),
            ("trade_worker.state", outcome.state),
            ("trade_worker.reason", outcome.reason),
            ("error.type", (outcome.reason or "_OTHER") if failed else None),
        ):
            if value is not None:
                process.set_attribute(name, str(value))
        if failed:
            self._fail(process, outcome.error)

    def _fail(self, span: Span, why: str | None) -> None:
        span.set_status(self._trace.StatusCode.ERROR, None if why is None else self._scrub(why))

    def _destination(self, delivery: Delivery) -> str:
        """`exchange:routing key:queue`, without what is empty or said twice."""
        parts = (delivery.exchange, delivery.routing_key, self._topology.queue)
        return ":".join(dict.fromkeys(part for part in parts if part))

    def _links(self, delivery: Delivery) -> list[Link]:
        parent = self._trace.get_current_span(self._parent(parent_of(delivery)))
        context = parent.get_span_context()
        return [self._trace.Link(context)] if context.is_valid else []

    def _parent(self, parent: str | None) -> Context:
        return self._propagate.extract({PARENT: parent or ""}, context=self._nothing())

    def _nothing(self) -> Context:
        from opentelemetry.context import Context  # noqa: PLC0415 - optional

        return Context()


def parent_of(delivery: Delivery) -> str | None:
    """The `traceparent` of a message, or None. Pure."""
    value = delivery.headers.get(PARENT)
    return value if isinstance(value, str) else None


def trace_id(parent: str | None) -> str | None:
    """Read the trace id of a `traceparent` (W3C Trace Context), or None. Pure."""
    found = _W3C.fullmatch(parent or "")
    return found[1] if found else None


def template_of(path: str) -> str:
    """Take ids and symbols out of a path, so that it can name a span. Pure."""
    parts = path.split("/")
    return "/".join(part if not part or _FIXED.fullmatch(part) else "{}" for part in parts)


def _operation(kind: str, name: str) -> dict[str, str]:
    return {"messaging.operation.type": kind, "messaging.operation.name": name}


def open_tracing(
    settings: Settings, instance: str = "", scrub: Callable[[str], str] = str
) -> Tracing:
    """Make what the settings ask for.

    Args:
        settings: whether spans are made.
        instance: tells this process from others.
        scrub: takes secrets out of a text.

    Raises:
        ValueError: traces are wanted and the library is not installed.
    """
    if settings.traces is Traces.OFF:
        return NO_TRACING
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - optional
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - optional
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ValueError(
            f"TRACES is {settings.traces}, but OpenTelemetry is not installed ({error.name}); "
            "install trade-worker[otel]"
        ) from None
    resource = Resource.create(
        {
            "service.name": "trade-worker",
            "service.version": version("trade-worker"),
            "service.instance.id": instance,
        }
    )
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    url = urlsplit(str(settings.amqp_url))
    broker = (url.hostname or "localhost", url.port or 5672)
    return OpenTelemetryTracing(provider, Topology.of(settings), broker, scrub)
