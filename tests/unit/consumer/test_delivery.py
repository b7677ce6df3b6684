"""Acknowledging over a channel: the frame as aiormq would write it, and where there is no room."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiormq.abc import ChannelFrame
from aiormq.exceptions import ChannelInvalidStateError
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands

from consumer.queue.delivery import AmqpAcknowledger, ack_frame

if TYPE_CHECKING:
    from aiormq.channel import Channel


class _Channel:
    """As much of aiormq's channel as an acknowledgement needs."""

    number = 3

    def __init__(self, room: int) -> None:
        self.write_queue: asyncio.Queue[ChannelFrame] = asyncio.Queue(maxsize=room)
        self.is_closed = False
        self.asked: list[tuple[int, bool]] = []

    async def basic_ack(self, delivery_tag: int, *, wait: bool) -> None:
        self.asked.append((delivery_tag, wait))
        if self.is_closed:
            raise ChannelInvalidStateError


def acknowledger(channel: _Channel, tag: int) -> AmqpAcknowledger:
    as_it_is: Channel = channel  # type: ignore[assignment]  # a part of it
    return AmqpAcknowledger(as_it_is, tag)


@given(st.integers(1, 2**16 - 1), st.integers(1, 2**63 - 1))
def test_the_frame_is_the_librarys(channel: int, tag: int) -> None:
    theirs = ChannelFrame.marshall(channel, [commands.Basic.Ack(delivery_tag=tag)])
    assert ack_frame(channel, tag) == theirs.payload


async def test_an_acknowledgement_is_on_its_way_at_once() -> None:
    channel = _Channel(room=1)
    await acknowledger(channel, 7).ack()
    assert channel.write_queue.get_nowait() == ChannelFrame(ack_frame(3, 7), should_close=False)
    assert channel.asked == []


async def test_where_there_is_no_room_the_library_waits() -> None:
    channel = _Channel(room=1)
    await acknowledger(channel, 7).ack()
    await acknowledger(channel, 8).ack()
    assert channel.asked == [(8, False)]


async def test_a_closed_channel_takes_none() -> None:
    channel = _Channel(room=1)
    channel.is_closed = True
    with pytest.raises(ChannelInvalidStateError):
        await acknowledger(channel, 7).ack()
    assert channel.write_queue.empty()
