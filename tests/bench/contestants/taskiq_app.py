"""taskiq as its documentation shows it: a task, and what it needs opened when the worker starts.
Run by `taskiq worker`.
"""

from __future__ import annotations

import asyncpg
import httpx
from taskiq import TaskiqEvents, TaskiqState
from taskiq_aio_pika import AioPikaBroker, Exchange, Queue, QueueType

from tests.bench.contestants import common
from tests.bench.contestants.identity import client_id

broker = AioPikaBroker(
    common.AMQP_URL,
    qos=common.PREFETCH,
    exchange=Exchange(name=f"{common.QUEUE}.taskiq"),
    task_queues=[Queue(name=common.QUEUE, type=QueueType.QUORUM, declare=False)],
)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def start(state: TaskiqState) -> None:
    """Open the database and the way to the exchange."""
    state.pool = await asyncpg.create_pool(common.DATABASE_URL, min_size=2, max_size=20)
    state.client = httpx.AsyncClient(limits=httpx.Limits(max_connections=common.PREFETCH))
    await state.pool.execute(common.TABLE)


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def stop(state: TaskiqState) -> None:
    """Close them."""
    await state.client.aclose()
    await state.pool.close()


@broker.task(task_name="place")
async def place(request_id: str, symbol: str, action: str, quantity: str, payload: str) -> None:
    """Place one order."""
    pool, client = broker.state.pool, broker.state.client
    client_order_id = client_id(request_id)
    await pool.execute(common.INTENT, request_id, client_order_id, payload)
    body = common.order_body(client_order_id, symbol, action, quantity)
    answer = await client.post(common.CREATE_URL, content=body, headers=common.signed(body))
    await pool.execute(common.OUTCOME, request_id, *common.outcome(answer.content))
