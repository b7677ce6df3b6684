"""One delivery: a message as it came, the channel it came on, and its one settlement.

First settlement wins. A delivery whose channel has closed can't be settled: the broker gives the
message to somebody again, and the ledger absorbs that.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from struct import Struct
from typing import TYPE_CHECKING, Protocol

from aiormq.abc import ChannelFrame

from consumer.queue.broker import lost
from consumer.watching.trail import Trail
from providers.values import value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aiormq.channel import Channel

# AMQP 0-9-1: a frame's type, channel and length, the method's class and number, the delivery tag,
# whether it is meant of all before it as well, the frame's end.
_ACK = Struct(">BHIHHQBB")


class Settlement(StrEnum):
    """What can be done with a delivery."""

    ACK = "ack"  # done with
    NACK = "nack"  # to the retry ladder
    REQUEUE = "requeue"  # back to the head of the queue: it was not started
    DEAD_LETTER = "dead_letter"  # published among the dead letters, then acknowledged
    ABANDON = "abandon"  # the channel is gone: nothing can be done, the broker redelivers


@value(frozen=True, slots=True)
class Arrival:
    """A message as the broker handed it over: the bytes, untouched, and what AMQP says of them."""

    body: bytes
    headers: Mapping[str, object]
    message_id: str | None
    routing_key: str
    exchange: str
    redelivered: bool


class Acknowledger(Protocol):
    """The part of a broker's message that settling needs."""

    @property
    def closed(self) -> bool:
        """True once the channel is gone: the delivery can't be settled any more."""

    async def ack(self) -> None:
        """Acknowledge."""

    async def nack(self, *, requeue: bool) -> None:
        """Refuse, to the head of the queue or to the dead-letter exchange."""


@dataclass(slots=True, eq=False)
class Delivery:
    """A message from the queue.

    Attributes:
        body: the bytes, untouched.
        headers: the AMQP headers.
        message_id: the producer's message id, or None.
        routing_key: tells the attempt.
        attempt: 1 for a message's first delivery, one more for each rung of the ladder.
        last_attempt: a nack would end among the dead letters.
        received_at: when it reached this process.
        batch_id: the batch it belongs to.
        batch_order: which of the batch's messages it is, from 0.
        batch_at: when the batch's first message came.
        exchange: the broker's exchange that it came by.
    """

    body: bytes
    headers: Mapping[str, object]
    message_id: str | None
    routing_key: str
    redelivered: bool
    attempt: int
    last_attempt: bool
    received_at: datetime
    batch_id: str
    acknowledger: Acknowledger
    batch_order: int = 0
    batch_at: datetime | None = None
    exchange: str = ""
    settled: Settlement | None = field(default=None, init=False)
    trail: Trail = field(default_factory=Trail, init=False)

    @property
    def stale(self) -> bool:
        """True once the channel is gone; the broker gives the message to somebody again."""
        return self.acknowledger.closed

    async def settle(self, settlement: Settlement) -> bool:
        """Settle once.

        Returns:
            False if the delivery was settled before, or its channel is gone.
        """
        if self.settled is not None:
            return False
        if self.stale:
            self.settled = Settlement.ABANDON
            return False
        self.settled = settlement
        try:
            match settlement:
                case Settlement.ACK | Settlement.DEAD_LETTER:
                    await self.acknowledger.ack()
                case Settlement.NACK:
                    await self.acknowledger.nack(requeue=False)
                case Settlement.REQUEUE:
                    await self.acknowledger.nack(requeue=True)
                case Settlement.ABANDON:
                    return False
        except BaseException as error:
            if not lost(error):
                raise
            self.settled = Settlement.ABANDON
            return False
        return True


class AmqpAcknowledger:
    """Settles over the channel that the message came on, and no other.

    Returns as soon as the frame is on its way: no broker answers an acknowledgement, and one that
    does not reach it is as if it had not been sent, the message comes again. Acknowledgements, one
    for each order, are written here: 21 bytes that differ in two numbers, for which aiormq's way of
    making any frame takes far longer.
    """

    __slots__ = ("_channel", "_tag")

    def __init__(self, channel: Channel, tag: int) -> None:
        self._channel = channel
        self._tag = tag

    @property
    def closed(self) -> bool:
        """True once the channel is gone."""
        return self._channel.is_closed

    async def ack(self) -> None:
        """Acknowledge."""
        channel = self._channel
        if not channel.is_closed:
            try:
                channel.write_queue.put_nowait(
                    ChannelFrame(payload=ack_frame(channel.number, self._tag), should_close=False)
                )
            except asyncio.QueueFull:
                pass
            else:
                return
        # As long as the queue is full it waits there; and it knows what to raise.
        await channel.basic_ack(self._tag, wait=False)

    async def nack(self, *, requeue: bool) -> None:
        """Refuse."""
        await self._channel.basic_nack(self._tag, requeue=requeue, wait=False)


def ack_frame(channel: int, tag: int) -> bytes:
    """Write the frame that acknowledges one delivery. Pure."""
    return _ACK.pack(1, channel, 13, 60, 80, tag, 0, 0xCE)
