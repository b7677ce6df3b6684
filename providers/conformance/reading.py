"""C91–C99: what is read is complete, exact and fresh, and no secret is seen anywhere."""

from __future__ import annotations

import traceback
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from providers.conformance.cases import case, check, same
from providers.conformance.venue import Doing, Fault, What
from providers.orders import Action, PositionSide
from providers.outcomes import OutcomeClass

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from providers.conformance.trader import Trader

_SOON = timedelta(minutes=1)


@case("C91", "a position tells side, quantity and entry price; a flat one is left out")
async def _(t: Trader) -> None:
    same(list(await t.client.positions()), [], "the positions at first")
    done = await t.trade(t.request(Action.SHORT))
    for found in (await t.client.positions(t.symbol), await t.client.positions()):
        same(len(found), 1, "the number of positions")
        position = found[0]
        seen = (position.symbol, position.side, position.quantity)
        same(seen, (t.symbol, PositionSide.SHORT, t.quantity), "the position")
        same(position.entry_price, done.true.value / done.true.filled, "the entry price")
        check(position.leverage in (None, Decimal(5)), f"the leverage is {position.leverage}")
    await t.trade(t.request(Action.CLOSE))
    same(list(await t.client.positions()), [], "the positions at the end")


@case("C92", "the balance tells what there is, and pays the fees")
async def _(t: Trader) -> None:
    before = {one.currency: one.total for one in await t.client.balances()}
    done = await t.trade()
    closed = await t.trade(t.request(Action.CLOSE))
    after = {one.currency: one.total for one in await t.client.balances()}
    traded = closed.true.value - done.true.value - done.true.fee - closed.true.fee
    same(after["USDT"], before["USDT"] + traded, "the balance after a trade")


@case("C93", "margin in use is not available")
async def _(t: Trader) -> None:
    await t.trade()
    (usdt,) = (one for one in await t.client.balances() if one.currency == "USDT")
    check(usdt.available < usdt.total, f"{usdt.available} of {usdt.total} are available")


@case("C94", "fills tell price, quantity, fee, currency and time, all of them exact")
async def _(t: Trader) -> None:
    done = await t.trade()
    for fill in await t.client.fills(t.symbol, done.view):
        check(fill.price > 0 and fill.quantity > 0, f"it is {fill}")
        check(fill.fee_currency, "a fee must have a currency")
        same((fill.symbol, fill.side), (t.symbol, done.true.side), "symbol and side")
        check(not fill.maker, "a market order takes")
        check(abs(datetime.now(UTC) - fill.executed_at) < _SOON, f"it is of {fill.executed_at}")


@case("C95", "every number of money is a Decimal")
async def _(t: Trader) -> None:
    done = await t.trade()
    instrument = await t.client.instrument(t.symbol)
    (position,) = await t.client.positions(t.symbol)
    fills = await t.client.fills(t.symbol, done.view)
    mark = await t.client.mark_price(t.symbol)
    balances = await t.client.balances()
    values: list[Any] = [instrument, position, done.view, mark, *fills, *balances]
    for value in values:
        for item in fields(value):
            seen = getattr(value, item.name)
            check(not isinstance(seen, float), f"{type(value).__name__}.{item.name} is {seen!r}")


@case("C96", "the rules of a symbol make sense together")
async def _(t: Trader) -> None:
    rules = await t.client.instrument(t.symbol)
    same(rules.symbol, t.symbol, "the symbol")
    check(rules.tradable, "the symbol must be tradable")
    check(rules.tick > 0 and rules.lot > 0, f"tick {rules.tick}, lot {rules.lot}")
    same(rules.min_quantity % rules.lot, 0, "the least quantity off the lot")
    check(1 <= rules.min_leverage <= rules.max_leverage, "the leverages")
    for most in (rules.max_quantity, rules.max_market_quantity):
        check(most is None or most >= rules.min_quantity, f"the most is {most}")


@case("C97", "the mark price is read now, not remembered")
async def _(t: Trader) -> None:
    first = await t.client.mark_price(t.symbol)
    check(abs(datetime.now(UTC) - first.read_at) < _SOON, f"it was read at {first.read_at}")
    await t.stage.hold_price(t.price * Decimal("1.01"))
    second = await t.client.mark_price(t.symbol)
    check(second.price > first.price, f"it went from {first.price} to {second.price}")


@case("C98", "open orders of every symbol can be read; what is final is not among them")
async def _(t: Trader) -> None:
    await t.trade()
    order, _ = await t.place(t.limit(t.price * Decimal("0.98")))
    await t.resting(order.client_order_id)
    ids = [one.client_order_id for one in await t.client.open_orders()]
    same(ids, [order.client_order_id], "the open orders")


@case("C99", "no error, answer or object ever shows key or secret")
async def _(t: Trader) -> None:
    order = await t.prepare()
    seen = [repr(t.client), str(t.client)]
    stranger = t.stage.connect(wrong_secret=True)
    try:
        await stranger.instrument(t.symbol)
        seen += [repr(await stranger.place(order)), await _told(stranger.balances())]
    finally:
        await stranger.aclose()
    auth = Fault(What.REFUSED, Doing.POSITIONS, outcome_class=OutcomeClass.AUTH)
    for fault in (
        auth,
        Fault(What.SERVER_ERROR, Doing.POSITIONS, times=None),
        Fault(What.CUT, Doing.POSITIONS, times=None),
    ):
        await t.stage.inject(fault)
        seen.append(await _told(t.client.positions(t.symbol)))
    for what in (What.CUT, What.SERVER_ERROR, What.UNKNOWN_CODE):
        seen.append(repr((await t.answer_to(what))[1]))
    await t.stage.go_away()
    seen += [repr(await t.client.place(order)), await _told(t.client.balances())]
    for text in seen:
        for secret in t.stage.secrets:
            check(secret not in text, f"a secret is in {text.replace(secret, '***')}")


async def _told(work: Awaitable[object]) -> str:
    """All that an error tells: itself, and everything it hangs on to."""
    try:
        return repr(await work)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must hold no secret
        shown = traceback.TracebackException.from_exception(error, capture_locals=False)
        chain: list[str] = list(shown.format(chain=True))
        held: BaseException | None = error
        while held is not None:
            chain += [repr(held), str(held), repr(vars(held))]
            held = held.__cause__ or held.__context__
        return "".join(chain)
