"""Make the broker look like a `Topology`, or say in what it differs.

AMQP has no way to read a queue's arguments, so each object is declared: equal ones are left as
they are, and for unequal ones the broker names the argument that differs. A refused declaration
closes its channel, hence one channel for each.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import aiormq.exceptions

from consumer.errors import TopologyMismatch
from consumer.queue import broker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_pika.abc import AbstractConnection

    from consumer.queue.topology import BindingSpec, ExchangeSpec, QueueSpec, Topology

_INEQUIVALENT = re.compile(r"inequivalent arg '(?P<arg>[^']+)' for (?P<kind>queue|exchange)")
_VALUES = re.compile(r"received (?P<wanted>.*?) but current is (?P<found>.*)")


async def apply(
    connection: AbstractConnection,
    topology: Topology,
    older: Sequence[Topology] = (),
    *,
    timeout: float = 10.0,  # noqa: ASYNC109 - handed on to the library
) -> list[str]:
    """Declare everything that is missing and unbind what older ladders left.

    New bindings are made before old ones go: for a moment a retried message may be copied, which
    the ledger absorbs, but none finds a gap.

    Returns:
        One line for each object, for people.

    Raises:
        TopologyMismatch: something exists with other arguments; nothing of it was changed.
        BrokerUnavailable: the broker went away.
    """
    done = []
    for exchange in topology.exchanges:
        await _declare_exchange(connection, exchange, timeout)
        done.append(f"exchange {exchange.name} ({exchange.kind})")
    for queue in topology.queues:
        await _declare_queue(connection, queue, timeout)
        done.append(f"queue {queue.name}")
    for binding in topology.bindings:
        await _bind(connection, binding, timeout)
        done.append(f"binding {binding.exchange} ─{binding.key or '*'}▶ {binding.queue}")
    for old in older:
        for binding in topology.stale_bindings(old):
            await _unbind(connection, binding, timeout)
            done.append(
                f"unbound {binding.exchange} ─{binding.key}▶ {binding.queue} (an older ladder)"
            )
    return done


async def check(
    connection: AbstractConnection,
    topology: Topology,
    *,
    timeout: float = 10.0,  # noqa: ASYNC109 - handed on to the library
) -> list[str]:
    """List what is missing or differs; an empty list means that all is as it must be.

    Nothing is created. Bindings can't be read over AMQP: `apply` makes them again, which is
    harmless where they exist.
    """
    faults = []
    for exchange in topology.exchanges:
        if not await _exists(connection, "exchange", exchange.name, timeout):
            faults.append(f"exchange {exchange.name!r} does not exist")
            continue
        try:
            await _declare_exchange(connection, exchange, timeout)
        except TopologyMismatch as error:
            faults.append(str(error))
    for queue in topology.queues:
        if not await _exists(connection, "queue", queue.name, timeout):
            faults.append(f"queue {queue.name!r} does not exist")
            continue
        try:
            await _declare_queue(connection, queue, timeout)
        except TopologyMismatch as error:
            faults.append(str(error))
    return faults


def explain(error: str, name: str) -> str:
    """Turn the broker's refusal into a sentence that names the object and the argument. Pure."""
    found = _INEQUIVALENT.search(error)
    if found is None:
        return f"{name!r} can't be declared: {error}"
    text = f"{found['kind']} {name!r} exists with another {found['arg']!r}"
    values = _VALUES.search(error)
    if values is not None:
        text += f" (wanted {values['wanted']}, found {values['found']})"
    return (
        f"{text}; delete it when it is empty, or set TRADE_QUEUE, TRADE_EXCHANGE or RETRY_DELAYS "
        "to what it was made with"
    )


async def _exists(
    connection: AbstractConnection,
    kind: str,
    name: str,
    timeout: float,  # noqa: ASYNC109 - as above
) -> bool:
    async with broker.channel(connection, timeout) as channel:
        try:
            if kind == "queue":
                await channel.declare_queue(name, passive=True, timeout=timeout)
            else:
                await channel.declare_exchange(name, passive=True, timeout=timeout)
        except aiormq.exceptions.ChannelNotFoundEntity:
            return False
    return True


async def _declare_exchange(
    connection: AbstractConnection,
    spec: ExchangeSpec,
    timeout: float,  # noqa: ASYNC109 - as above
) -> None:
    async with broker.channel(connection, timeout) as channel:
        try:
            await channel.declare_exchange(spec.name, spec.kind, durable=True, timeout=timeout)
        except aiormq.exceptions.ChannelPreconditionFailed as error:
            raise TopologyMismatch(explain(str(error), spec.name)) from None


async def _declare_queue(
    connection: AbstractConnection,
    spec: QueueSpec,
    timeout: float,  # noqa: ASYNC109 - as above
) -> None:
    async with broker.channel(connection, timeout) as channel:
        try:
            await channel.declare_queue(
                spec.name, durable=True, arguments=dict(spec.arguments), timeout=timeout
            )
        except aiormq.exceptions.ChannelPreconditionFailed as error:
            raise TopologyMismatch(explain(str(error), spec.name)) from None


async def _bind(
    connection: AbstractConnection,
    spec: BindingSpec,
    timeout: float,  # noqa: ASYNC109 - as above
) -> None:
    async with broker.channel(connection, timeout) as channel:
        queue = await channel.get_queue(spec.queue, ensure=False)
        await queue.bind(spec.exchange, spec.key, timeout=timeout)


async def _unbind(
    connection: AbstractConnection,
    spec: BindingSpec,
    timeout: float,  # noqa: ASYNC109 - as above
) -> None:
    async with broker.channel(connection, timeout) as channel:
        queue = await channel.get_queue(spec.queue, ensure=False)
        try:
            await queue.unbind(spec.exchange, spec.key, timeout=timeout)
        except aiormq.exceptions.ChannelNotFoundEntity:
            return  # the queue is gone, and its bindings with it
