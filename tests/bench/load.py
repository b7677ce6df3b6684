"""Messages at random moments, from a producer that costs next to nothing.

Who publishes shares two cores with what is measured: a producer as others write it takes 0.3 of a
core for 900 messages a second. Frames are made before the load begins, and nothing is confirmed:
that all came is seen afterwards, when every order has its outcome.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from tests.support.amqp import Amqp

PERSISTENT = 2


async def publish(
    amqp: Amqp, queue: str, messages: Sequence[tuple[str, bytes]], rate: float, draw: random.Random
) -> None:
    """Publish messages, `rate` a second on average, as if each had a producer of its own.

    Args:
        messages: id and body of each.
    """
    connection = await amqp.connection()
    loop = asyncio.get_running_loop()
    async with connection.channel(publisher_confirms=False) as opened:
        channel = await opened.get_underlay_channel()
        assert isinstance(channel, Channel)
        made = [_frames(channel.number, queue, *one) for one in messages]
        due = loop.time()
        for frames in made:
            due += draw.expovariate(rate)
            if (left := due - loop.time()) > 0:
                await asyncio.sleep(left)
            await channel.write_queue.put(ChannelFrame(payload=frames, should_close=False))


def _frames(channel: int, queue: str, message_id: str, body: bytes) -> bytes:
    properties = Basic.Properties(message_id=message_id, delivery_mode=PERSISTENT)
    return ChannelFrame.marshall(
        channel,
        [
            Basic.Publish(exchange="", routing_key=queue),
            ContentHeader(body_size=len(body), properties=properties),
            ContentBody(body),
        ],
    ).payload
