"""The one who trades in a case: a client, its preparation, and the stage with the truth."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from providers.conformance.cases import NotConform, check, same
from providers.conformance.venue import Fault
from providers.errors import ExchangeUnavailable
from providers.orders import Action, OrderType, TradeRequest
from providers.outcomes import PlacementKind
from providers.preparation import Preparation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from decimal import Decimal

    from providers.conformance.venue import Doing, Stage, TrueOrder, Venue, What
    from providers.exchange import ExchangeClient
    from providers.orders import OrderView, PositionMode, PreparedOrder
    from providers.outcomes import Placement

T = TypeVar("T")

_DEADLINE = 30.0  # seconds for what takes milliseconds; a busy machine is no fault of a provider
_PAUSE = 0.005
_SETUP_TTL = 300.0
_LEVERAGE = 5


@dataclass(frozen=True, slots=True)
class Trade:
    """An order from beginning to end: as prepared, as answered, as it ended, as it truly is."""

    order: PreparedOrder
    placement: Placement
    view: OrderView
    true: TrueOrder


class Trader:
    """Trades the venue's symbol on one stage.

    Attributes:
        venue: where.
        stage: the exchange, to inject faults into and read the truth from.
        mode: the account's position mode.
        client: the provider's client, started.
        preparation: the preparation that goes with it.
    """

    def __init__(
        self, venue: Venue, stage: Stage, mode: PositionMode, client: ExchangeClient
    ) -> None:
        self.venue = venue
        self.stage = stage
        self.mode = mode
        self.client = client
        self.preparation = Preparation(client, _SETUP_TTL)
        self._ids = count(1)

    @property
    def symbol(self) -> str:
        """What is traded."""
        return self.venue.symbol

    @property
    def price(self) -> Decimal:
        """Where the price is held."""
        return self.venue.price

    @property
    def quantity(self) -> Decimal:
        """Base coins of one order."""
        return self.venue.quantity

    def new_id(self) -> str:
        """A client order id that was not used yet, of the shape real ones have."""
        return f"tw-conform-{next(self._ids):021d}"

    def request(
        self,
        action: Action = Action.LONG,
        quantity: Decimal | None = None,
        **changes: Any,  # noqa: ANN401 - fields of any type
    ) -> TradeRequest:
        """A market order of the usual quantity at leverage 5, with changes."""
        leverage = _LEVERAGE if action.opens else None
        wanted = TradeRequest(
            self.symbol, action, self.quantity if quantity is None else quantity, leverage=leverage
        )
        return replace(wanted, **changes)

    def limit(self, price: Decimal, action: Action = Action.LONG, **changes: Any) -> TradeRequest:  # noqa: ANN401 - as above
        """A limit order."""
        return self.request(action, order_type=OrderType.LIMIT, price=price, **changes)

    async def prepare(self, wanted: TradeRequest | None = None) -> PreparedOrder:
        """Prepare an order under a new id."""
        return await self.preparation.prepare(wanted or self.request(), self.new_id())

    async def place(self, wanted: TradeRequest | None = None) -> tuple[PreparedOrder, Placement]:
        """Prepare and place an order that must be accepted."""
        order = await self.prepare(wanted)
        placement = await self.client.place(order)
        same(placement.kind, PlacementKind.ACCEPTED, f"the answer ({placement.message})")
        check(placement.exchange_order_id, "an accepted order must come with the exchange's id")
        return order, placement

    async def trade(self, wanted: TradeRequest | None = None) -> Trade:
        """Prepare, place and follow an order to its end."""
        order, placement = await self.place(wanted)
        view = await self.final(order.client_order_id)
        same(view.exchange_order_id, placement.exchange_order_id, "the exchange's id")
        return Trade(order, placement, view, await self.true(order.client_order_id))

    async def spoiled(self, fault: Fault, wanted: TradeRequest | None = None) -> Trade:
        """`trade`, with a fault that strikes after everything is prepared."""
        order = await self.prepare(wanted)
        await self.stage.inject(fault)
        placement = await self.client.place(order)
        same(placement.kind, PlacementKind.ACCEPTED, f"the answer ({placement.message})")
        view = await self.final(order.client_order_id)
        return Trade(order, placement, view, await self.true(order.client_order_id))

    async def answer_to(
        self,
        what: What,
        wanted: TradeRequest | None = None,
        **values: Any,  # noqa: ANN401 - as above
    ) -> tuple[PreparedOrder, Placement]:
        """Place an order whose request goes wrong; whatever the answer is."""
        order = await self.prepare(wanted)
        await self.stage.inject(Fault(what, **values))
        return order, await self.client.place(order)

    async def final(self, client_order_id: str) -> OrderView:
        """Ask for an order until it is final; a look-up between two views that lag may say so."""

        async def look() -> OrderView | None:
            try:
                found = await self.client.find_order(self.symbol, client_order_id)
            except ExchangeUnavailable:
                return None
            return found if found is not None and found.status.final else None

        return await self.until(look, f"{client_order_id} to be final")

    async def resting(self, client_order_id: str) -> OrderView:
        """Ask for open orders until one is among them."""

        async def look() -> OrderView | None:
            found = await self.client.open_orders(self.symbol)
            return next((one for one in found if one.client_order_id == client_order_id), None)

        return await self.until(look, f"{client_order_id} to be open")

    async def true(self, client_order_id: str) -> TrueOrder:
        """The one order the exchange has accepted under an id."""
        orders = await self.stage.orders(client_order_id)
        same(len(orders), 1, f"the number of orders accepted as {client_order_id}")
        return orders[0]

    async def accepted(self, client_order_id: str) -> int:
        """How many orders the exchange has accepted under an id."""
        return len(await self.stage.orders(client_order_id))

    async def arrived(self, doing: Doing) -> int:
        """How many requests of a kind have arrived so far."""
        return await self.stage.arrived(doing)

    async def until(self, look: Callable[[], Awaitable[T | None]], what: str) -> T:
        """Look again and again until there is something."""
        try:
            async with asyncio.timeout(_DEADLINE):
                while True:
                    found = await look()
                    if found is not None:
                        return found
                    await asyncio.sleep(_PAUSE)
        except TimeoutError:
            raise NotConform(f"waited {_DEADLINE:.0f} s for {what}") from None
