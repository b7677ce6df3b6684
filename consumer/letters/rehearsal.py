"""Trying dead letters on a sandbox exchange: what would become of them if they were replayed?

Each is decoded, routed, sized and placed as the worker would, on a sandbox that lives as long as
the command. Nothing is published, and the ledger is only read for the letters themselves.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import HttpUrl, SecretStr

from consumer.contract.decoding import decode
from consumer.controls.live import stored_snapshot
from consumer.controls.registry import Registry
from consumer.controls.routing import route
from consumer.errors import MalformedMessage
from providers.errors import ProviderError
from providers.outcomes import PlacementKind
from providers.registry import load_providers
from providers.router import ExchangeRouter
from providers.sandbox.server import start_sandbox
from storage import replays
from storage.identity import client_order_id

if TYPE_CHECKING:
    from consumer.contract.message import TradeMessage
    from consumer.controls.snapshot import Snapshot
    from consumer.settings import Settings
    from providers.sandbox.server import RunningSandbox
    from storage.dead_letters import LetterFilter
    from storage.postgres import Database
    from storage.replays import ReplayLetter

_PAGE = 50
_LOOKS = 20
_LOOK_GAP = 0.05  # seconds
_WORD = re.compile("[A-Z][a-z]+")
# The setting that holds each exchange's secret; key and base URL are named alike everywhere.
_SECRETS = {
    "bybit": "bybit_api_secret",
    "binance": "binance_api_secret",
    "mexc": "mexc_secret_binding",
}


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What came of one dead letter on the sandbox; `says` tells why where it was not placed."""

    id: int
    request_id: str | None
    exchange: str | None
    placed: bool
    result: str
    says: str | None


async def rehearse(
    settings: Settings, database: Database, wanted: LetterFilter, rate: float
) -> list[Rehearsed]:
    """Try dead letters, in the order in which a replay would publish them."""
    up_to = await replays.last_letter(database)
    sandbox = await start_sandbox(limits="off", fill_delay=0.0)
    providers = load_providers()
    snapshot = await stored_snapshot(database, Registry(providers))
    router = ExchangeRouter(providers, on_sandbox(settings, sandbox))
    found: list[Rehearsed] = []
    above: ReplayLetter | None = None
    try:
        while page := await replays.replay_page(
            database,
            wanted,
            up_to=up_to,
            above=above,
            most=_PAGE,
            max_bytes=settings.message_max_bytes,
        ):
            for letter in page:
                found.append(await _one(letter, settings, router, snapshot))
                await asyncio.sleep(1 / rate)
            above = page[-1]
    finally:
        await router.aclose()
        await sandbox.close()
    return found


def on_sandbox(settings: Settings, sandbox: RunningSandbox) -> Settings:
    """Lead every exchange's settings to a sandbox, whatever they led to."""
    changes: dict[str, object] = {"mexc_allow_opening": None}
    for venue, secret in _SECRETS.items():
        changes[f"{venue}_base_url"] = HttpUrl(sandbox.base_url(venue))
        changes[f"{venue}_api_key"] = SecretStr(sandbox.key(venue))
        changes[secret] = SecretStr(sandbox.secret(venue))
    return settings.model_copy(update=changes)


def document(one: Rehearsed) -> dict[str, object]:
    """Give a result as JSON shows it."""
    return {
        "id": one.id,
        "requestId": one.request_id,
        "exchange": one.exchange,
        "placed": one.placed,
        "result": one.result,
        "says": one.says,
    }


async def _one(
    letter: ReplayLetter, settings: Settings, router: ExchangeRouter, snapshot: Snapshot
) -> Rehearsed:
    def no(exchange: str | None, code: str, why: str) -> Rehearsed:
        return Rehearsed(letter.id, letter.request_id, exchange, False, code, why)

    if letter.body is None:
        return no(None, "TOO_LARGE", f"the body has {letter.size} bytes")
    try:
        message = decode(letter.body, settings.message_max_bytes)
    except MalformedMessage as error:
        return no(None, error.code, str(error))
    exchange = route(message, snapshot, settings.default_exchange)
    try:
        return await _place(letter, message, exchange, settings, router)
    except ProviderError as error:
        return no(exchange, getattr(error, "code", None) or _named(error), str(error))


def _named(error: ProviderError) -> str:
    """Write an error's name as reasons are written: `UNKNOWN_EXCHANGE`."""
    return "_".join(_WORD.findall(type(error).__name__)).upper()


async def _place(
    letter: ReplayLetter,
    message: TradeMessage,
    exchange: str,
    settings: Settings,
    router: ExchangeRouter,
) -> Rehearsed:
    client = router.client(exchange)
    order_id = client_order_id(f"{message.request_id}\x00{letter.id}", message.account)
    prepared = await router.preparation(exchange).prepare(
        message.trade, order_id, default_leverage=settings.default_leverage
    )
    placement = await client.place(prepared)
    if placement.kind is not PlacementKind.ACCEPTED:
        said = ": ".join(part for part in (placement.code, placement.message) if part)
        return Rehearsed(letter.id, message.request_id, exchange, False, placement.kind, said)
    status, says = str(placement.kind), None
    for _ in range(_LOOKS):
        order = await client.find_order(message.symbol, order_id)
        if order is not None:
            status = order.status
            at = f" at {order.average_price:f}" if order.average_price is not None else ""
            says = f"{order.filled_quantity:f} of {order.quantity:f}{at}"
            if order.status.final:
                break
        await asyncio.sleep(_LOOK_GAP)
    return Rehearsed(letter.id, message.request_id, exchange, True, status, says)
