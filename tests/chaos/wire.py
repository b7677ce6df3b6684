"""The wire between one worker and one exchange: it sees each order go by, and can spoil it there.

Unlike the sandbox's own faults, these are TCP's: the bytes never leave, or the answer never
arrives, and the exchange knows nothing of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import time
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.proxy import End

_PLACES = re.compile(rb"POST \S*(/v5/order/create|/fapi/v1/order|/private/order/create)[? ]")
_OUR_ID = re.compile(rb"tw-[a-z2-7-]{20,}")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_ENDS = b"\r\n\r\n"


class Act(StrEnum):
    """What is done to a request that places an order."""

    PASS = "pass"
    CUT_BEFORE = "cut_before_accept"
    CUT_AFTER = "cut_after_accept"
    DELAY_REPLY = "reply_delayed"
    GARBLE = "reply_garbled"
    KILL_BEFORE = "killed_before_send"
    KILL_AFTER = "killed_after_accept"


@dataclass(frozen=True, slots=True)
class Send:
    """A request that places an order, as it reached the wire; `at` is the machine's wall clock."""

    venue: str
    worker: int
    client_order_id: str
    at: float
    passed: bool


@dataclass(frozen=True, slots=True)
class Hands:
    """What a wire is told and whom it tells.

    Attributes:
        decide: says what to do to the next order of a worker.
        accepted: whether the exchange has an order by now.
        kill: ends a worker's process at once.
        reply_delay: seconds by which a late answer is late.
    """

    decide: Callable[[int], Act]
    accepted: Callable[[str], bool]
    kill: Callable[[int], None]
    reply_delay: float


class VenueWire(Proxy):
    """A proxy that reads along.

    Attributes:
        sends: every request that would place an order, also those that were not let through.
        injected: what was done, counted where it was done and only if it had its effect.
    """

    def __init__(self, url: str, venue: str, worker: int, hands: Hands) -> None:
        super().__init__(url)
        self._venue = venue
        self._worker = worker
        self._hands = hands
        self._garble = itertools.cycle(_GARBLED)
        self.sends: list[Send] = []
        self.injected: Counter[Act] = Counter()

    async def _carry(self, near: End, far: End) -> None:
        spoiled: list[tuple[Act, str]] = []  # what awaits the answer that is next
        await asyncio.gather(self._requests(near, far, spoiled), self._replies(near, far, spoiled))

    async def _requests(self, near: End, far: End, spoiled: list[tuple[Act, str]]) -> None:
        with contextlib.suppress(OSError):
            while request := await _request(near[0]):
                await self._flowing.wait()
                act, client_order_id = self._look_at(request)
                if act in (Act.CUT_BEFORE, Act.KILL_BEFORE):
                    self.injected[act] += 1
                    if act is Act.KILL_BEFORE:
                        self._hands.kill(self._worker)
                    near[1].transport.abort()
                    break
                if act is not Act.PASS:
                    spoiled.append((act, client_order_id))
                far[1].write(request)
                await far[1].drain()
        far[1].close()

    def _look_at(self, request: bytes) -> tuple[Act, str]:
        named = _OUR_ID.search(request) if _PLACES.match(request) else None
        if named is None:
            return Act.PASS, ""
        act = self._hands.decide(self._worker)
        client_order_id = named.group().decode()
        passed = act not in (Act.CUT_BEFORE, Act.KILL_BEFORE)
        self.sends.append(Send(self._venue, self._worker, client_order_id, time.time(), passed))
        return act, client_order_id

    async def _replies(self, near: End, far: End, spoiled: list[tuple[Act, str]]) -> None:
        with contextlib.suppress(OSError):
            while data := await far[0].read(65536):
                await self._flowing.wait()
                act, client_order_id = spoiled.pop() if spoiled else (Act.PASS, "")
                if act is not Act.PASS and not await self._let_through(act, client_order_id):
                    near[1].transport.abort()
                    break
                if act is Act.GARBLE:
                    near[1].write(next(self._garble)(data))
                    break
                near[1].write(data)
                await near[1].drain()
        near[1].close()

    async def _let_through(self, act: Act, client_order_id: str) -> bool:
        accepted = self._hands.accepted(client_order_id)
        self.injected[act] += accepted
        if act is Act.KILL_AFTER:
            self._hands.kill(self._worker)
        elif act is Act.DELAY_REPLY:
            await asyncio.sleep(self._hands.reply_delay)
        return act in (Act.DELAY_REPLY, Act.GARBLE)


def _redirected(reply: bytes) -> bytes:
    """An answer that would have the request sent once more, which has been executed."""
    del reply
    return b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"


# An order's answer, as it must not be taken for one, in turn.
_GARBLED: tuple[Callable[[bytes], bytes], ...] = (
    lambda reply: reply[: len(reply) - 7],  # cut in the middle of its body
    _redirected,
    lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    lambda reply: reply.replace(b"tw-", b"wt-"),  # of an order that is not ours
    lambda _: b"\x00\xff" * 40,
)


async def _request(reader: asyncio.StreamReader) -> bytes:
    """Read one HTTP request whole; empty at the end of the connection."""
    try:
        head = await reader.readuntil(_HEAD_ENDS)
        length = _LENGTH.search(head)
        return head + (await reader.readexactly(int(length[1])) if length else b"")
    except asyncio.IncompleteReadError:
        return b""
