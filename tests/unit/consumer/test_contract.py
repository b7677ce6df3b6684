"""The contract documents: whatever the schema lets through the worker takes, and the other way."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.contract.decoding import decode
from consumer.contract.generated import asyncapi, message_schema
from consumer.contract.message import TradeMessage
from consumer.errors import MalformedMessage
from consumer.outcome import Outcome, OutcomeKind
from consumer.queue.dead_letters import dead_letter_headers
from consumer.queue.settlement import decide
from consumer.queue.topology import Topology
from deploy.generate_docs import DOCUMENTS
from tests.fakes.broker import delivery
from tests.fakes.messages import MAX_BYTES

TOPOLOGY = Topology("trade-execution", "trade", ("30s", "5m", "5m"))
SCHEMA = jsonschema.Draft7Validator(message_schema())
DOCUMENT = asyncapi(TOPOLOGY)

# Values that a producer might send, in the schema's spelling; some right, some nearly.
VALUES: dict[str, list[Any]] = {
    "requestId": ["r-1", "", "x" * 129, 7, None],
    "exchange": ["bybit", "Binance", "", "no space", None],
    "action": ["LONG", "SHORT", "CLOSE", "CLOSE_LONG", "BUY", None],
    "symbol": ["BTCUSDT", "btc/usdt", "BTC USDT", "A-B-C", "", 1],
    "quantity": [0.005, 5, "0.5", "1e-3", 0, -1, "0x1", "-1", True, None],
    "price": [60000, "60000.5", 0, None, "x"],
    "orderType": ["MARKET", "LIMIT", "STOP", None],
    "leverage": [1, 125, 0, 126, 1.5, "10", True, None],
    "queuedAt": ["2026-01-31T12:00:00Z", 1769860800000, 1769860800, True, None],
    "takeProfit": [70000, None, 0],
    "stopLoss": ["50000", None, []],
    "timeInForce": ["GTC", "POST_ONLY", "DAY", None],
    "marginMode": ["CROSS", "ISOLATED", "BOTH", None],
    "quantityUnit": ["base", "quote", "lots", None],
    "expiresAt": ["2026-01-31T12:00:00+00:00", None],
    "account": ["default", "other", None],
    "test": [True, False, "yes", None],
    "surprise": [1],
}


@settings(max_examples=400)
@given(
    st.fixed_dictionaries(
        {name: st.sampled_from(VALUES[name]) for name in ("requestId", "action", "symbol")}
        | {"quantity": st.sampled_from(VALUES["quantity"])},
        optional={
            name: st.sampled_from(values)
            for name, values in VALUES.items()
            if name not in ("requestId", "action", "symbol", "quantity")
        },
    )
)
def test_the_schema_and_the_worker_agree(message: dict[str, Any]) -> None:
    try:
        decode(json.dumps(message).encode(), MAX_BYTES)
        taken: MalformedMessage | None = None
    except MalformedMessage as error:
        taken = error
    faults = [error.message for error in SCHEMA.iter_errors(message)]
    assert (taken is None) is (not faults), (str(taken), faults)


@pytest.mark.parametrize("name", list(VALUES))
def test_each_field_alone_agrees(name: str) -> None:
    good = {"requestId": "r", "action": "LONG", "symbol": "BTCUSDT", "quantity": 1}
    if name == "timeInForce":
        good |= {"orderType": "LIMIT", "price": 1}
    for value in VALUES[name]:
        message = {**good, name: value}
        if value == "LIMIT":
            message["price"] = 1
        try:
            decode(json.dumps(message).encode(), MAX_BYTES)
            taken = True
        except MalformedMessage:
            taken = False
        assert SCHEMA.is_valid(message) is taken, message


def test_the_schema_is_one_and_its_examples_are_good() -> None:
    document = message_schema()
    jsonschema.Draft7Validator.check_schema(document)
    for example in document["examples"]:
        SCHEMA.validate(example)
        decode(json.dumps(example).encode(), MAX_BYTES)
    assert set(document["properties"]) == {
        str(field.alias) for field in TradeMessage.model_fields.values()
    }


def resolve(reference: str) -> Any:  # noqa: ANN401 - any part of the document
    found: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def references(value: Any) -> list[str]:  # noqa: ANN401 - any part of the document
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [one for inner in value.values() for one in references(inner)]
    if isinstance(value, list):
        return [one for inner in value for one in references(inner)]
    return []


def test_the_asyncapi_document_holds_together() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    assert references(DOCUMENT)
    for reference in references(DOCUMENT):
        assert resolve(reference)
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)
    for message in DOCUMENT["components"]["messages"].values():
        for example in message.get("examples", ()):
            jsonschema.validate(example["payload"], resolve(message["payload"]["$ref"]))


def test_it_names_every_queue_that_a_message_can_be_in() -> None:
    addresses = {channel["address"] for channel in DOCUMENT["channels"].values()}
    assert addresses == {TOPOLOGY.queue, *TOPOLOGY.rung_queues, TOPOLOGY.dead_letter_queue}


def test_the_envelope_is_what_the_worker_takes() -> None:
    envelope = jsonschema.Draft7Validator(DOCUMENT["components"]["schemas"]["envelope"])
    flat = message_schema()["examples"][0]
    inside = {name: value for name, value in flat.items() if name != "requestId"}
    good = {"requestId": flat["requestId"], "payload": inside}
    envelope.validate(good)
    decode(json.dumps(good).encode(), MAX_BYTES)
    for bad in ({**good, "extra": 1}, {"payload": inside}, {**good, "payload": []}):
        assert not envelope.is_valid(bad)
        with pytest.raises(MalformedMessage):
            decode(json.dumps(bad).encode(), MAX_BYTES)


def test_dead_letter_headers_are_the_documented_ones() -> None:
    documented = DOCUMENT["components"]["messages"]["deadLetter"]["headers"]
    one = delivery()
    full = Outcome(OutcomeKind.REFUSED, "WHY", "because", request_id="r-1", exchange="bybit")
    least = Outcome(OutcomeKind.REFUSED)
    for outcome, expected in ((full, documented["properties"]), (least, documented["required"])):
        decision = decide(outcome, attempt=1, last_attempt=False)
        written = dead_letter_headers(one, decision, outcome, datetime.now(UTC))
        assert set(written) == set(expected)
        jsonschema.validate(written, documented)


@pytest.mark.parametrize("path", [*DOCUMENTS], ids=lambda path: path.name)
def test_the_stored_copies_are_what_the_code_says(path: Any) -> None:  # noqa: ANN401 - a path
    assert path.read_text(encoding="utf-8") == DOCUMENTS[path](), "run `make docs`"
