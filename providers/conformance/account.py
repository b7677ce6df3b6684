"""C80–C90: leverage, margin mode and position mode are verified, and set only where they differ."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from providers.conformance.cases import case, check, raised, same
from providers.conformance.venue import Doing, Fault, What
from providers.errors import ExchangeError, ExchangeRefusal, RequestRefused
from providers.orders import Action, MarginMode
from providers.outcomes import OutcomeClass
from providers.preparation import Preparation

if TYPE_CHECKING:
    from providers.conformance.trader import Trader


@case("C80", "the position mode is read as it is")
async def _(t: Trader) -> None:
    setup = await t.client.symbol_setup(t.symbol)
    same(setup.position_mode, t.mode, "the position mode")


@case("C81", "leverage is set where it differs, and is then in force")
async def _(t: Trader) -> None:
    await t.trade(t.request(leverage=7))
    same((await t.client.symbol_setup(t.symbol)).leverage, Decimal(7), "the leverage")


@case("C82", "leverage that is in force already is not set again, by a new process either")
async def _(t: Trader) -> None:
    await t.trade(t.request(leverage=7))
    before = await t.arrived(Doing.SET_LEVERAGE)
    check(before > 0, "the leverage must have been set")
    await t.trade(t.request(leverage=7))
    fresh = Preparation(t.client, 300.0)
    await fresh.prepare(t.request(leverage=7), t.new_id())
    same(await t.arrived(Doing.SET_LEVERAGE), before, "the requests to set it")


@case("C83", "setting the leverage that is in force is success")
async def _(t: Trader) -> None:
    await t.client.set_leverage(t.symbol, 7, None)
    await t.client.set_leverage(t.symbol, 7, None)
    same((await t.client.symbol_setup(t.symbol)).leverage, Decimal(7), "the leverage")


@case("C84", "the exchange's 'not modified' is success")
async def _(t: Trader) -> None:
    await t.stage.inject(Fault(What.UNCHANGED, Doing.SET_LEVERAGE))
    await t.client.set_leverage(t.symbol, 7, None)


@case("C85", "leverage that can't be set aborts an opening order: nothing is sent")
async def _(t: Trader) -> None:
    await t.stage.inject(
        Fault(What.REFUSED, Doing.SET_LEVERAGE, outcome_class=OutcomeClass.PARAMETER, times=None)
    )
    await raised(ExchangeRefusal, t.prepare(t.request(leverage=9)), "preparing")
    same(await t.arrived(Doing.PLACE), 0, "the orders sent")


@case("C86", "leverage that can't be set never blocks a close")
async def _(t: Trader) -> None:
    await t.trade()
    await t.stage.inject(
        Fault(What.REFUSED, Doing.SET_LEVERAGE, outcome_class=OutcomeClass.PARAMETER, times=None)
    )
    fresh = Preparation(t.client, 300.0)
    close = t.request(Action.CLOSE, leverage=9)
    order = await fresh.prepare(close, t.new_id(), default_leverage=11)
    await t.client.place(order)
    same((await t.final(order.client_order_id)).filled_quantity, t.quantity, "what was closed")


@case("C87", "a setup that can't be read does not block the close of what was opened before")
async def _(t: Trader) -> None:
    await t.trade()
    await t.stage.inject(Fault(What.SERVER_ERROR, Doing.READ_SETUP, times=None))
    await t.trade(t.request(Action.CLOSE))


@case("C88", "leverage above what the symbol offers is refused, here and by the exchange")
async def _(t: Trader) -> None:
    most = (await t.client.instrument(t.symbol)).max_leverage
    error = await raised(RequestRefused, t.prepare(t.request(leverage=most + 1)), "preparing")
    same(error.code, "LEVERAGE_TOO_HIGH", "the code")
    check(str(most) in str(error), f"the message is: {error}")
    setting = t.client.set_leverage(t.symbol, most + 1000, None)
    await raised((ExchangeError, RequestRefused), setting, "setting it")  # type: ignore[arg-type]


@case("C89", "the margin mode is set where it differs, once, and is then in force")
async def _(t: Trader) -> None:
    mode = await _other_margin_mode(t)
    wanted = t.request(margin_mode=mode)
    await t.trade(wanted)
    same((await t.client.symbol_setup(t.symbol)).margin_mode, mode, "the margin mode")
    before = await t.arrived(Doing.SET_MARGIN_MODE)
    check(before > 0, "the margin mode must have been set")
    await t.trade(wanted)
    await Preparation(t.client, 300.0).prepare(wanted, t.new_id())
    same(await t.arrived(Doing.SET_MARGIN_MODE), before, "the requests to set it")


@case("C90", "a margin mode that can't be set aborts an opening order, never a close")
async def _(t: Trader) -> None:
    mode = await _other_margin_mode(t)
    await t.trade()
    await t.stage.inject(
        Fault(What.REFUSED, Doing.SET_MARGIN_MODE, outcome_class=OutcomeClass.PARAMETER, times=None)
    )
    before = await t.arrived(Doing.PLACE)
    preparing = t.prepare(t.request(margin_mode=mode))
    await raised((ExchangeError, RequestRefused), preparing, "preparing")  # type: ignore[arg-type]
    same(await t.arrived(Doing.PLACE), before, "the orders sent")
    await t.trade(replace(t.request(Action.CLOSE), margin_mode=mode))


async def _other_margin_mode(t: Trader) -> MarginMode:
    """The margin mode that the account is not in."""
    current = (await t.client.symbol_setup(t.symbol)).margin_mode
    return MarginMode.CROSS if current is MarginMode.ISOLATED else MarginMode.ISOLATED
