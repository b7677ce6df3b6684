"""Spans of a message's way, read back from OpenTelemetry's in-memory exporter."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from consumer.outcome import Outcome, OutcomeKind
from consumer.queue.delivery import Delivery, Settlement
from consumer.queue.topology import Topology
from consumer.settings import Settings, Traces
from consumer.telling.redaction import Scrubber
from consumer.watching import tracing as tracing_module
from consumer.watching.tracing import (
    NO_TRACING,
    OpenTelemetryTracing,
    open_tracing,
    template_of,
    trace_id,
)
from providers.observing import CallRecord
from providers.outcomes import OutcomeClass
from storage.states import OrderState
from tests.fakes.broker import FakeAcknowledger

TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRET = "a-secret-that-nobody-may-see"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(spans: InMemorySpanExporter) -> OpenTelemetryTracing:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return OpenTelemetryTracing(
        provider, Topology.of(Settings()), ("broker.example", 5672), Scrubber([SECRET]).text
    )


def delivery(parent: object = PARENT) -> Delivery:
    return Delivery(
        body=b"{}",
        headers={} if parent is None else {"traceparent": parent},
        message_id="m-1",
        routing_key="retry.1",
        redelivered=False,
        attempt=2,
        last_attempt=False,
        received_at=datetime(2026, 1, 2, tzinfo=UTC),
        batch_id="b-1",
        acknowledger=FakeAcknowledger(),
        exchange="trade",
    )


def call(status: int | None = 200) -> CallRecord:
    return CallRecord(
        exchange="bybit", kind="place", method="POST", path="/v5/order/create",
        client_order_id="tw-1", status=status, outcome=OutcomeClass.ACCEPTED,
        code=None if status else "ReadTimeout", message="", seconds=0.025,
        origin="https://api.example:8443",
    )  # fmt: skip


def by_name(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans.get_finished_spans()}


def test_a_message_is_followed_from_its_producer_to_its_settlement(
    tracing: OpenTelemetryTracing, spans: InMemorySpanExporter
) -> None:
    outcome = Outcome(
        OutcomeKind.PLACED, state=OrderState.ACCEPTED, request_id="r-1", exchange="bybit"
    )
    with tracing.processing(delivery()) as trace:
        tracing.called(call())
        with tracing.settling(Settlement.ACK, outcome):
            pass

    assert trace == TRACE
    found = by_name(spans)
    process = found["process trade-execution"]
    assert process.kind is SpanKind.CONSUMER
    assert process.status.status_code is StatusCode.UNSET
    assert process.context is not None
    assert format(process.context.trace_id, "032x") == TRACE
    assert process.parent is not None
    assert format(process.parent.span_id, "016x") == "b7ad6b7169203331"
    assert [link.context.span_id for link in process.links] == [process.parent.span_id]
    assert dict(process.attributes or {}) == {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": "trade:retry.1:trade-execution",
        "messaging.destination.template": "trade-execution",
        "messaging.rabbitmq.destination.routing_key": "retry.1",
        "messaging.message.id": "m-1",
        "messaging.message.body.size": 2,
        "server.address": "broker.example",
        "server.port": 5672,
        "trade_worker.batch_id": "b-1",
        "trade_worker.attempt": 2,
        "trade_worker.outcome": "placed",
        "trade_worker.request_id": "r-1",
        "trade_worker.exchange": "bybit",
        "trade_worker.state": "ACCEPTED",
    }
    for name in ("POST /v5/order/create", "ack trade-execution"):
        child = found[name]
        assert child.kind is SpanKind.CLIENT
        assert child.parent == process.context
    settled = dict(found["ack trade-execution"].attributes or {})
    assert settled["messaging.operation.type"] == "settle"
    assert settled["messaging.operation.name"] == "ack"


@pytest.mark.parametrize(
    ("settlement", "name"),
    [
        (Settlement.ACK, "ack trade-execution"),
        (Settlement.DEAD_LETTER, "ack trade-execution"),
        (Settlement.NACK, "nack trade-execution"),
        (Settlement.REQUEUE, "nack trade-execution"),
        (Settlement.ABANDON, None),
    ],
)
def test_a_settlement_is_called_what_the_broker_calls_it(
    tracing: OpenTelemetryTracing,
    spans: InMemorySpanExporter,
    settlement: Settlement,
    name: str | None,
) -> None:
    with tracing.settling(settlement, Outcome(OutcomeKind.PLACED)):
        pass

    assert [span.name for span in spans.get_finished_spans()] == ([name] if name else [])


@pytest.mark.parametrize("kind", [OutcomeKind.REFUSED, OutcomeKind.RETRY])
def test_a_message_that_failed_says_so_and_keeps_secrets(
    tracing: OpenTelemetryTracing, spans: InMemorySpanExporter, kind: OutcomeKind
) -> None:
    outcome = Outcome(kind, "EXCHANGE_REJECTED", f"it said {SECRET}", request_id="r-1")
    with tracing.processing(delivery()), tracing.settling(Settlement.NACK, outcome):
        pass

    process = by_name(spans)["process trade-execution"]
    assert process.status.status_code is StatusCode.ERROR
    assert dict(process.attributes or {})["error.type"] == "EXCHANGE_REJECTED"
    assert "it said" in (process.status.description or "")
    assert not any(SECRET in span.to_json() for span in spans.get_finished_spans())


def test_a_request_takes_as_long_as_it_took_and_fails_as_it_failed(
    tracing: OpenTelemetryTracing, spans: InMemorySpanExporter
) -> None:
    with tracing.processing(delivery()):
        tracing.called(call(status=None))

    span = by_name(spans)["POST /v5/order/create"]
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time == 25_000_000
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "ReadTimeout"
    assert dict(span.attributes or {}) == {
        "http.request.method": "POST",
        "url.full": "https://api.example:8443/v5/order/create",
        "url.template": "/v5/order/create",
        "server.address": "api.example",
        "server.port": 8443,
        "error.type": "ReadTimeout",
        "trade_worker.exchange": "bybit",
        "trade_worker.meaning": "ACCEPTED",
        "trade_worker.code": "ReadTimeout",
    }


def test_a_status_that_says_no_is_an_error(
    tracing: OpenTelemetryTracing, spans: InMemorySpanExporter
) -> None:
    with tracing.processing(delivery()):
        tracing.called(call(status=429))

    span = by_name(spans)["POST /v5/order/create"]
    assert span.status.status_code is StatusCode.ERROR
    attributes = dict(span.attributes or {})
    assert attributes["error.type"] == "429"
    assert attributes["http.response.status_code"] == 429


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v5/order/create", "/v5/order/create"),
        ("/fapi/v1/positionSide/dual", "/fapi/v1/positionSide/dual"),
        ("/api/v1/private/order/external/BTC_USDT/tw-1a2b", "/api/v1/private/order/external/{}/{}"),
        ("/api/v1/contract/fair_price/BTC_USDT", "/api/v1/contract/fair_price/{}"),
        ("/api/v1/private/order/get/102057569836905984", "/api/v1/private/order/get/{}"),
    ],
)
def test_a_span_is_not_named_by_an_id(path: str, template: str) -> None:
    assert template_of(path) == template


def test_a_request_that_no_message_made_has_no_span(
    tracing: OpenTelemetryTracing, spans: InMemorySpanExporter
) -> None:
    tracing.called(call())

    assert spans.get_finished_spans() == ()


def test_a_batch_links_to_its_messages(
    tracing: OpenTelemetryTracing, spans: InMemorySpanExporter
) -> None:
    tracing.received([delivery(), delivery(None), delivery("nonsense"), delivery(7)])

    (span,) = spans.get_finished_spans()
    assert span.name == "receive trade-execution"
    assert span.kind is SpanKind.CLIENT
    assert span.parent is None
    assert [format(link.context.trace_id, "032x") for link in span.links] == [TRACE]
    attributes = dict(span.attributes or {})
    assert attributes["messaging.batch.message_count"] == 4
    assert attributes["messaging.operation.type"] == "receive"


def test_a_dead_letter_keeps_its_producers_trace(
    tracing: OpenTelemetryTracing, spans: InMemorySpanExporter
) -> None:
    with tracing.processing(delivery()), tracing.burying(delivery()) as added:
        pass

    assert added == {}
    span = by_name(spans)["publish trade-execution.dead:trade-execution"]
    assert span.kind is SpanKind.CLIENT
    assert [format(link.context.trace_id, "032x") for link in span.links] == [TRACE]
    assert dict(span.attributes or {})["messaging.operation.type"] == "send"


def test_a_dead_letter_without_a_trace_begins_with_ours(
    tracing: OpenTelemetryTracing, spans: InMemorySpanExporter
) -> None:
    with tracing.processing(delivery(None)) as trace, tracing.burying(delivery(None)) as added:
        pass

    assert trace_id(added["traceparent"]) == trace
    assert by_name(spans)["publish trade-execution.dead:trade-execution"].kind is SpanKind.PRODUCER


def test_a_trade_of_the_api_belongs_to_its_callers_trace(
    tracing: OpenTelemetryTracing, spans: InMemorySpanExporter
) -> None:
    with tracing.executing(PARENT) as trace:
        tracing.called(call())

    assert trace == TRACE
    found = by_name(spans)
    assert found["execute"].kind is SpanKind.SERVER
    assert found["POST /v5/order/create"].parent == found["execute"].context


@pytest.mark.parametrize("parent", [None, "", "nonsense", "00-12-34-01", 7])
def test_a_message_without_a_usable_parent_begins_a_trace(
    tracing: OpenTelemetryTracing, spans: InMemorySpanExporter, parent: object
) -> None:
    with tracing.processing(delivery(parent)) as trace:
        pass

    (span,) = spans.get_finished_spans()
    assert span.parent is None
    assert span.context is not None
    assert trace == format(span.context.trace_id, "032x")


def test_a_trace_id_is_read_for_the_log() -> None:
    assert trace_id(PARENT) == TRACE
    for nonsense in (None, "", "nonsense", f"00-{'x' * 32}-b7ad6b7169203331-01"):
        assert trace_id(nonsense) is None


def test_without_the_setting_nothing_is_done() -> None:
    assert open_tracing(Settings()) is NO_TRACING
    with (
        NO_TRACING.processing(delivery()) as trace,
        NO_TRACING.burying(delivery()) as added,
        NO_TRACING.settling(Settlement.ACK, Outcome(OutcomeKind.PLACED)),
    ):
        NO_TRACING.called(call())
    assert (trace, added) == (TRACE, {})


async def test_a_collector_that_does_not_answer_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracing_module, "_CLOSE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(
            "OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")  # seconds, all its tries together
        opened = open_tracing(Settings(traces=Traces.OTLP))
        assert isinstance(opened, OpenTelemetryTracing)
        with opened.executing(None):
            pass

        await opened.close()

        still_sending = [one for one in threading.enumerate() if one.name == "traces"]
    assert still_sending
    for one in still_sending:  # its tries use `random`, which disturbs the property tests
        one.join()
