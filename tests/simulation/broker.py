"""A broker in memory: a queue, its retry ladder, consumers that vanish with what they hold."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiormq.exceptions import ChannelInvalidStateError

from consumer.errors import BrokerUnavailable
from consumer.queue.publisher import Publisher
from consumer.settings import parse_delay
from tests.chaos.evidence import DeadLetter
from tests.fakes.broker import incoming

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pamqp.common import FieldValue

    from consumer.queue.delivery import Acknowledger, Arrival
    from consumer.queue.topology import Topology
    from consumer.settings import BrokerSettings

    Taker = Callable[[Arrival, Acknowledger], None]
    Say = Callable[[str], None]

_LAST_RUNG = "the ladder's end"


@dataclass(slots=True, eq=False)
class Message:
    """A message at the broker; `key` tells the rung it came from, `count` its lost deliveries."""

    body: bytes
    message_id: str
    key: str
    count: int = 0


@dataclass(slots=True, eq=False)
class Channel:
    """A consumer's channel: `take` gets its messages, `ready` says whether it takes any now."""

    name: str
    prefetch: int
    take: Taker
    ready: Callable[[], bool]
    closed: bool = False
    unacked: list[Message] = field(default_factory=list)


class Broker:
    """The broker; it needs a running loop for the ladder's waits."""

    def __init__(self, topology: Topology, say: Say) -> None:
        self._topology = topology
        self._delays = [parse_delay(delay) for delay in topology.delays]
        self._say = say
        self._ready: deque[Message] = deque()
        self._waiting = 0
        self._turn = 0
        self.channels: list[Channel] = []
        self.dead: list[DeadLetter] = []

    @property
    def left(self) -> int:
        """How many messages are anywhere but among the dead letters."""
        held = sum(len(channel.unacked) for channel in self.channels)
        return len(self._ready) + self._waiting + held

    def publish(self, body: bytes, message_id: str) -> None:
        """Take a message from a producer."""
        self._ready.append(Message(body, message_id, self._topology.queue))
        self.pump()

    def open(self, channel: Channel) -> None:
        """Begin to deliver to a consumer."""
        self.channels.append(channel)
        self.pump()

    def close(self, channel: Channel) -> None:
        """Lose a consumer; what it held is delivered again, first of all."""
        if channel.closed:
            return
        channel.closed = True
        self.channels.remove(channel)
        for message in reversed(channel.unacked):
            message.count += 1
            self._ready.appendleft(message)
        channel.unacked.clear()
        asyncio.get_running_loop().call_soon(self.pump)

    def pump(self) -> None:
        """Deliver what can be delivered, to the consumers in turn."""
        while self._ready:
            able = [
                one
                for one in self.channels
                if len(one.unacked) < one.prefetch and not one.closed and one.ready()
            ]
            if not able:
                return
            channel = able[self._turn % len(able)]
            self._turn += 1
            message = self._ready.popleft()
            channel.unacked.append(message)
            self._say(f"broker: {message.message_id} ({message.key}) to {channel.name}")
            headers = {"x-delivery-count": message.count} if message.count else {}
            taken = incoming(
                message.body,
                routing_key=message.key,
                headers=headers,
                message_id=message.message_id,
                redelivered=message.count > 0,
            )
            channel.take(taken, Answer(self, channel, message))

    def settle(self, channel: Channel, message: Message, how: str) -> None:
        """Do what a consumer says of a message that it holds."""
        channel.unacked.remove(message)
        self._say(f"broker: {channel.name} answers {message.message_id} with {how}")
        if how == "requeue":
            message.count += 1
            self._ready.appendleft(message)
        elif how == "nack":
            self._climb(message)
        asyncio.get_running_loop().call_soon(self.pump)

    def bury(self, body: bytes, headers: Mapping[str, FieldValue]) -> None:
        """Take a dead letter."""
        named = headers.get("trade-request-id")
        request_id = named if isinstance(named, str) else None
        reason = str(headers.get("trade-reason"))
        why = headers.get("trade-error")
        self._say(f"broker: dead letter of {request_id}: {reason}: {why!r}")
        self.dead.append(DeadLetter(body, reason, request_id))

    def _climb(self, message: Message) -> None:
        rung = self._topology.attempt(message.key) - 1
        message.count = 0
        if rung >= len(self._delays):
            self.dead.append(DeadLetter(message.body, _LAST_RUNG, None))
            return
        message.key = f"retry.{rung + 1}"
        self._waiting += 1
        asyncio.get_running_loop().call_later(
            self._delays[rung].total_seconds(), self._come_back, message
        )

    def _come_back(self, message: Message) -> None:
        self._waiting -= 1
        self._ready.append(message)
        self.pump()


class Answer:
    """An `Acknowledger`: the answer travels, is acted on, and only then is known to be sent."""

    def __init__(self, broker: Broker, channel: Channel, message: Message) -> None:
        self._broker = broker
        self._channel = channel
        self._message = message

    @property
    def closed(self) -> bool:
        """True once the channel is gone."""
        return self._channel.closed

    async def ack(self) -> None:
        """Acknowledge."""
        await self._settle("ack")

    async def nack(self, *, requeue: bool) -> None:
        """Refuse."""
        await self._settle("requeue" if requeue else "nack")

    async def _settle(self, how: str) -> None:
        await asyncio.sleep(0)
        if self._channel.closed:
            raise ChannelInvalidStateError
        self._broker.settle(self._channel, self._message, how)
        await asyncio.sleep(0)


class SimPublisher(Publisher):
    """Publishes dead letters; `fault` says what happens to the next: lost, unconfirmed or None."""

    def __init__(
        self, broker: Broker, settings: BrokerSettings, fault: Callable[[], str | None]
    ) -> None:
        super().__init__(settings)
        self._broker = broker
        self._fault = fault

    async def publish(
        self,
        body: bytes,
        *,
        exchange: str,
        routing_key: str,
        message_id: str | None = None,
        headers: Mapping[str, FieldValue] | None = None,
        content_type: str = "application/json",
    ) -> None:
        """Publish, confirmed or not."""
        del exchange, routing_key, message_id, content_type
        await asyncio.sleep(0)
        fault = self._fault()
        if fault == "lost":
            raise BrokerUnavailable("the connection was cut")
        self._broker.bury(body, headers or {})
        await asyncio.sleep(0)
        if fault == "unconfirmed":
            raise BrokerUnavailable("no confirmation in time")
