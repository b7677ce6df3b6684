"""The contract as documents: JSON Schema of a message, AsyncAPI of the queues. Pure.

Generated from the models and the topology, so that they can't say what the code does not do; the
stored copies in `consumer/schemas` are written by `make docs`.
"""

from __future__ import annotations

from importlib.metadata import metadata
from typing import TYPE_CHECKING, Any

from consumer.contract.message import TradeMessage

if TYPE_CHECKING:
    from consumer.queue.topology import Topology

_DRAFT = "http://json-schema.org/draft-07/schema#"
_JSON = "application/json"
_DEATH = {
    "trade-reason": ("string", "A short word: VALIDATION_ERROR, EXCHANGE_REJECTED, …"),
    "trade-error": ("string", "What was wrong, where, and what would be right."),
    "trade-request-id": ("string", "The request id, if it could be read."),
    "trade-batch-id": ("string", "The batch it came in."),
    "trade-batch-at": ("string", "When that batch began, ISO 8601."),
    "trade-batch-order": ("integer", "Which message of the batch it was."),
    "trade-exchange": ("string", "Where it was routed, if it came so far."),
    "trade-attempts": ("integer", "How often it was tried."),
    "trade-failed-at": ("string", "When, ISO 8601."),
}
_OPTIONAL = ("trade-request-id", "trade-exchange")

Document = dict[str, Any]


def message_schema() -> Document:
    """Give the JSON Schema (draft 7) of a trade message."""
    schema = TradeMessage.model_json_schema()
    shared = schema.pop("$defs", {})
    return {"$schema": _DRAFT, **_plain(schema, shared), "title": "Trade message"}


def asyncapi(topology: Topology) -> Document:
    """Give the AsyncAPI 3.0 document of the queues, as the worker sees them."""
    schema = {key: value for key, value in message_schema().items() if key != "$schema"}
    rungs = {
        f"retry{number}": _queue(
            name,
            f"Waiting room {number} of {len(topology.delays)}: messages that were nacked wait "
            f"{delay} here and return. The broker moves them; nobody publishes or consumes.",
            ["trade", "envelope"],
        )
        for number, (name, delay) in enumerate(
            zip(topology.rung_queues, topology.delays, strict=True), start=1
        )
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "trade-worker",
            "version": metadata("trade-worker")["Version"],
            "description": "Trade messages in, at most one order each; what can't be executed "
            "comes out as a dead letter that says why.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": _JSON,
        "channels": {
            "trades": {
                "address": topology.queue,
                "description": f"Publish to the topic exchange `{topology.exchange}` with this "
                "routing key, persistent and mandatory, and wait for the confirm. Publishing "
                "straight to the queue of the same name through the default exchange works too.",
                "messages": _messages(["trade", "envelope"]),
                "bindings": {
                    "amqp": {
                        "is": "routingKey",
                        "exchange": {"name": topology.exchange, "type": "topic", "durable": True},
                        "bindingVersion": "0.3.0",
                    }
                },
            },
            **rungs,
            "deadLetters": _queue(
                topology.dead_letter_queue,
                "Messages that were refused, or failed on every attempt: the body untouched, the "
                "reason in headers.",
                ["deadLetter"],
            ),
        },
        "operations": {
            "receiveTrade": {
                "action": "receive",
                "channel": {"$ref": "#/channels/trades"},
                "summary": "Execute a trade; settle the message once its outcome is durable.",
                "bindings": {"amqp": {"ack": True, "bindingVersion": "0.3.0"}},
            },
            "sendDeadLetter": {
                "action": "send",
                "channel": {"$ref": "#/channels/deadLetters"},
                "summary": "Give up on a message, and say why.",
                "bindings": {
                    "amqp": {"deliveryMode": 2, "mandatory": True, "bindingVersion": "0.3.0"}
                },
            },
        },
        "components": {
            "messages": {
                "trade": {
                    "title": "Trade message",
                    "contentType": _JSON,
                    "payload": {"$ref": "#/components/schemas/trade"},
                    "examples": [{"payload": one} for one in schema["examples"]],
                },
                "envelope": {
                    "title": "Trade message in the envelope of the REST API",
                    "contentType": _JSON,
                    "payload": {"$ref": "#/components/schemas/envelope"},
                },
                "deadLetter": {
                    "title": "Dead letter",
                    "contentType": _JSON,
                    "headers": {
                        "type": "object",
                        "properties": {
                            name: {"type": kind, "description": text}
                            for name, (kind, text) in _DEATH.items()
                        },
                        "required": [name for name in _DEATH if name not in _OPTIONAL],
                    },
                    "payload": {"description": "Whatever was published; it may not even be JSON."},
                },
            },
            "schemas": {"trade": schema, "envelope": _envelope(schema)},
        },
    }


def _queue(name: str, text: str, messages: list[str]) -> Document:
    return {
        "address": name,
        "description": text,
        "messages": _messages(messages),
        "bindings": {
            "amqp": {
                "is": "queue",
                "queue": {"name": name, "durable": True, "exclusive": False, "autoDelete": False},
                "bindingVersion": "0.3.0",
            }
        },
    }


def _messages(names: list[str]) -> Document:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _envelope(trade: Document) -> Document:
    inside = {
        **{key: value for key, value in trade.items() if key not in ("examples", "title")},
        "properties": dict(trade["properties"]),
        "required": [name for name in trade["required"] if name != "requestId"],
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["requestId", "payload"],
        "properties": {"requestId": trade["properties"]["requestId"], "payload": inside},
    }


def _plain(value: Any, shared: Document) -> Any:  # noqa: ANN401 - any JSON
    """Put shared parts in their places, and leave out titles that only repeat a name."""
    if isinstance(value, list):
        return [_plain(item, shared) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        part = {**shared[value["$ref"].rsplit("/", 1)[-1]]}
        part.pop("description", None)
        value = {**part, **{key: one for key, one in value.items() if key != "$ref"}}
    return {
        key: _plain(one, shared)
        for key, one in value.items()
        if not (key == "title" and isinstance(one, str))
    }
