"""The floor: the least that any program could do for the same promise.

A batch of what has arrived, at most ten: one insert, ten signed requests, one update, ten acks. No
check of anything, no second worker, no way back from an error. Four batches at a time.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from typing import TYPE_CHECKING

import aio_pika
import aiohttp
import asyncpg
import orjson
import uvloop

from tests.bench.contestants import common
from tests.bench.contestants.identity import client_id

if TYPE_CHECKING:
    from aio_pika.abc import AbstractIncomingMessage

    Pool = asyncpg.Pool[asyncpg.Record]

_BATCH = 10
_AT_ONCE = common.PREFETCH // _BATCH
_INTENTS = (
    "INSERT INTO plain_orders (request_id, client_order_id, payload, state) "
    "SELECT *, 'SENDING' FROM unnest($1::text[], $2::text[], $3::jsonb[])"
)
_OUTCOMES = (
    "UPDATE plain_orders o SET state = i.state, exchange_order_id = i.id, finished_at = now() "
    "FROM unnest($1::text[], $2::text[], $3::text[]) AS i (request_id, state, id) "
    "WHERE o.request_id = i.request_id"
)


class Floor:
    """Works on batches."""

    def __init__(self, pool: Pool, session: aiohttp.ClientSession) -> None:
        self._pool = pool
        self._session = session
        self._waiting: deque[AbstractIncomingMessage] = deque()
        self._arrived = asyncio.Event()
        self.stamps: list[tuple[str, int]] = []

    async def take(self, message: AbstractIncomingMessage) -> None:
        """Take a message from the broker."""
        self.stamps.append((message.message_id or "", time.monotonic_ns()))
        self._waiting.append(message)
        self._arrived.set()

    async def work(self) -> None:
        """Work on one batch after the other."""
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            await self._do(batch)

    async def _do(self, batch: list[AbstractIncomingMessage]) -> None:
        trades = [orjson.loads(message.body) for message in batch]
        request_ids = [trade["requestId"] for trade in trades]
        client_ids = [client_id(one) for one in request_ids]
        bodies = [message.body.decode() for message in batch]
        await self._pool.execute(_INTENTS, request_ids, client_ids, bodies)
        placed = await asyncio.gather(
            *(
                self._place(
                    common.order_body(one, trade["symbol"], trade["action"], trade["quantity"])
                )
                for one, trade in zip(client_ids, trades, strict=True)
            )
        )
        states, order_ids = zip(*placed, strict=True)
        await self._pool.execute(_OUTCOMES, request_ids, states, order_ids)
        for message in batch:
            await message.ack()

    async def _place(self, body: bytes) -> tuple[str, str | None]:
        headers = common.signed(body)
        async with self._session.post(common.CREATE_URL, data=body, headers=headers) as answer:
            return common.outcome(await answer.read())


async def main() -> None:
    """Consume until killed."""
    pool = await asyncpg.create_pool(common.DATABASE_URL, min_size=2, max_size=_AT_ONCE)
    connection = await aio_pika.connect(common.AMQP_URL)
    channel = await connection.channel(publisher_confirms=False)
    await channel.set_qos(common.PREFETCH)
    queue = await channel.get_queue(common.QUEUE, ensure=False)
    async with pool, aiohttp.ClientSession() as session:
        await pool.execute(common.TABLE)
        floor = Floor(pool, session)
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (2, 15):
            loop.add_signal_handler(number, stop.set)
        batches = [asyncio.create_task(floor.work()) for _ in range(_AT_ONCE)]
        await queue.consume(floor.take)
        await stop.wait()
        for batch in batches:
            batch.cancel()
        await connection.close()
        if stamps := os.environ.get("BENCH_STAMPS"):
            with open(stamps, "wb") as out:  # noqa: ASYNC230, PTH123 - at the very end
                out.write(orjson.dumps({"arrived": dict(floor.stamps)}))


if __name__ == "__main__":
    uvloop.run(main())
