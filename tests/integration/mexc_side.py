"""What the tests of the MEXC client against the sandbox exchange have in common."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING

from pydantic import HttpUrl, SecretStr

from providers.mexc import PROVIDER
from providers.orders import (
    Action,
    PositionMode,
    PreparedOrder,
    TradeRequest,
)
from providers.outcomes import PlacementKind
from providers.sandbox.faults import FaultKind, FaultRule
from providers.sandbox.sandbox import Credentials
from providers.settings import ExchangeSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.mexc.client import MexcClient
    from providers.orders import OrderView, Position
    from providers.preparation import Preparation
    from providers.sandbox.server import RunningSandbox

VENUE = "mexc"
SYMBOL = "BTCUSDT"
CREATE = "/api/v1/private/order/create"
CHANGE_LEVERAGE = "/api/v1/private/position/change_leverage"
IDS = (f"tw-flow-{number:04d}" for number in count())
DEADLINE = 10.0


def settings_for(sandbox: RunningSandbox, key: str = "", secret: str = "") -> ExchangeSettings:
    return ExchangeSettings(
        mexc_api_key=SecretStr(key or sandbox.key(VENUE)),
        mexc_secret_binding=SecretStr(secret or sandbox.secret(VENUE)),
        mexc_base_url=HttpUrl(sandbox.base_url(VENUE)),
        mexc_allow_opening=None,
        exchange_request_timeout=0.5,
        exchange_connect_timeout=0.5,
    )


async def client_of(sandbox: RunningSandbox, *, hedge: bool) -> MexcClient:
    keys = Credentials(name="trader", key="trader-key", secret="trader-secret")
    sandbox.sandbox.add_account(VENUE, keys, balance=Decimal(1_000_000), hedge=hedge)
    made = PROVIDER.create_client(settings_for(sandbox, keys.key, keys.secret))
    await made.start()
    mode = (await made.symbol_setup(SYMBOL)).position_mode
    assert mode is (PositionMode.HEDGE if hedge else PositionMode.ONE_WAY)
    return made


def request(action: Action = Action.LONG, quantity: str = "0.01") -> TradeRequest:
    return TradeRequest(SYMBOL, action, Decimal(quantity))


def fault(sandbox: RunningSandbox, kind: FaultKind, **values: object) -> None:
    rule = FaultRule(kind=kind, endpoint="order/create", count=1, **values)  # type: ignore[arg-type]  # any
    sandbox.sandbox.faults.add(rule, sandbox.sandbox.clock.now_ms())


def turn(sandbox: RunningSandbox, name: str, value: str) -> None:
    sandbox.sandbox.facade(VENUE).variants.set(name, value)


def accepted(sandbox: RunningSandbox, client_order_id: str) -> int:
    """How many orders of that id the exchange has really accepted."""
    return sum(order.client_order_id == client_order_id for order in sandbox.sandbox.truth.orders)


def posted(sandbox: RunningSandbox, path: str) -> int:
    return sum(seen.path == path for seen in sandbox.sandbox.truth.recent)


async def final(client: MexcClient, client_order_id: str) -> OrderView:
    """Ask until the order is final."""
    async with asyncio.timeout(DEADLINE):
        while True:
            found = await client.find_order(SYMBOL, client_order_id)
            if found is not None and found.status.final:
                return found
            await asyncio.sleep(0.002)


async def until_resting(client: MexcClient) -> Sequence[OrderView]:
    """Ask until an order rests in the book."""
    async with asyncio.timeout(DEADLINE):
        while True:
            found = await client.open_orders(SYMBOL)
            if found:
                return found
            await asyncio.sleep(0.002)


async def until_held(client: MexcClient, symbol: str) -> Position:
    """Ask until there is a position."""
    async with asyncio.timeout(DEADLINE):
        while True:
            found = await client.positions(symbol)
            if found:
                return found[0]
            await asyncio.sleep(0.002)


async def trade(
    client: MexcClient, preparation: Preparation, wanted: TradeRequest
) -> tuple[PreparedOrder, OrderView]:
    """Prepare, place, and follow an order to its end."""
    order = await preparation.prepare(wanted, next(IDS))
    placement = await client.place(order)
    assert placement.kind is PlacementKind.ACCEPTED, placement
    view = await final(client, order.client_order_id)
    assert view.exchange_order_id == placement.exchange_order_id
    return order, view
