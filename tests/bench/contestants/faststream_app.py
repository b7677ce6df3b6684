"""FastStream as its documentation shows it: a subscriber with a model, and what it needs opened
when the application starts. Run by `faststream run`.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import httpx
from faststream import AckPolicy, FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue
from pydantic import BaseModel

from tests.bench.contestants import common
from tests.bench.contestants.identity import client_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

broker = RabbitBroker(common.AMQP_URL, default_channel=Channel(prefetch_count=common.PREFETCH))
opened = {}


class Trade(BaseModel):
    """A message."""

    requestId: str  # noqa: N815 - its name on the wire
    symbol: str
    action: str
    quantity: str
    leverage: int | None = None


@asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    """Open the database and the way to the exchange."""
    async with (
        asyncpg.create_pool(common.DATABASE_URL, min_size=2, max_size=20) as pool,
        httpx.AsyncClient(limits=httpx.Limits(max_connections=common.PREFETCH)) as client,
    ):
        await pool.execute(common.TABLE)
        opened.update(pool=pool, client=client)
        yield


@broker.subscriber(
    RabbitQueue(common.QUEUE, queue_type=QueueType.QUORUM, durable=True, declare=False),
    ack_policy=AckPolicy.NACK_ON_ERROR,
)
async def place(trade: Trade) -> None:
    """Place one order."""
    pool, client = opened["pool"], opened["client"]
    client_order_id = client_id(trade.requestId)
    await pool.execute(common.INTENT, trade.requestId, client_order_id, trade.model_dump_json())
    body = common.order_body(client_order_id, trade.symbol, trade.action, trade.quantity)
    answer = await client.post(common.CREATE_URL, content=body, headers=common.signed(body))
    await pool.execute(common.OUTCOME, trade.requestId, *common.outcome(answer.content))


app = FastStream(broker, lifespan=lifespan)
