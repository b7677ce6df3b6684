"""What Binance's endpoints work on: the engine, and what Binance keeps beside it.

Conditional (algo) orders, dead-man timers and listen keys live here because no other venue of the
sandbox has them. All of it goes by the sandbox clock.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.binance.codes import BinanceError, Code

if TYPE_CHECKING:
    from providers.sandbox.account import Account
    from providers.sandbox.binance.algo import AlgoBook
    from providers.sandbox.binance.limits import OrderCounts
    from providers.sandbox.engine import Engine
    from providers.sandbox.truth import Truth
    from providers.sandbox.variants import Variants
    from providers.sandbox.wire import Call

LISTEN_KEY_MS: Final = 3_600_000
"""A listen key lives for an hour unless kept alive."""

_ID_LENGTH: Final = 22
_LISTEN_KEY_BYTES: Final = 32


class Timers:
    """Dead-man switches: all orders of a symbol are cancelled unless the timer is set again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._due: dict[tuple[str, str], int] = {}

    @property
    def busy(self) -> bool:
        """Whether any timer runs."""
        return bool(self._due)

    def start(self, account: Account, symbol: str, due_ms: int | None) -> None:
        """Set an account's timer of a symbol, or stop it (None)."""
        if due_ms is None:
            self._due.pop((account.name, symbol), None)
        else:
            self._due[account.name, symbol] = due_ms

    def look(self, now_ms: int) -> None:
        """Cancel what is due."""
        for name, symbol in [key for key, due_ms in self._due.items() if due_ms <= now_ms]:
            del self._due[name, symbol]
            for order in list(self._engine.book.accounts[name].open.values()):
                if order.symbol == symbol:
                    self._engine.cancel(order, now_ms)

    def rewind(self, by_ms: int) -> None:
        """Keep what is left of each timer although the clock was set back by `by_ms`."""
        self._due = {key: due_ms - by_ms for key, due_ms in self._due.items()}

    def clear(self) -> None:
        """Stop all."""
        self._due.clear()


class ListenKeys:
    """Keys to the user stream, one an account."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._made = 0
        self._keys: dict[str, tuple[str, int]] = {}

    def start(self, account: Account, now_ms: int) -> str:
        """The account's key, a new one if it has none; it lives for an hour from now."""
        key, until_ms = self._keys.get(account.name, ("", 0))
        if now_ms >= until_ms:
            self._made += 1
            text = f"{self._seed}:listen:{self._made}".encode()
            key = hashlib.blake2b(text, digest_size=_LISTEN_KEY_BYTES).hexdigest()
        self._keys[account.name] = (key, now_ms + LISTEN_KEY_MS)
        return key

    def keep(self, account: Account, now_ms: int) -> str:
        """Let the account's key live for an hour from now.

        Raises:
            BinanceError: -1125 without a living key.
        """
        key, until_ms = self._keys.get(account.name, ("", 0))
        if now_ms >= until_ms:
            raise BinanceError(Code.LISTEN_KEY)
        self._keys[account.name] = (key, now_ms + LISTEN_KEY_MS)
        return key

    def end(self, account: Account) -> None:
        """Forget the account's key."""
        self._keys.pop(account.name, None)

    def owner(self, key: str, now_ms: int) -> str:
        """The name of the account whose living key this is, empty if it is nobody's."""
        for name, (known, until_ms) in self._keys.items():
            if known == key:
                return name if now_ms < until_ms else ""
        return ""

    def expired(self, key: str, now_ms: int) -> bool:
        """Whether a key has outlived its time, as against being ended or replaced."""
        return any(known == key and now_ms >= until for known, until in self._keys.values())

    def rewind(self, by_ms: int) -> None:
        """Keep what is left of each key although the clock was set back by `by_ms`."""
        self._keys = {name: (key, until - by_ms) for name, (key, until) in self._keys.items()}

    def clear(self) -> None:
        """Forget all."""
        self._keys.clear()


@dataclass(slots=True)
class Desk:
    """Everything an endpoint may need.

    Attributes:
        client_ids: client order ids made for orders that came without one.
        margin_changes: margin put into positions or taken out, by account, oldest first.
        amendments: what was changed about open orders, by account, oldest first.
    """

    engine: Engine
    truth: Truth
    algos: AlgoBook
    timers: Timers
    listen_keys: ListenKeys
    variants: Variants
    counts: OrderCounts
    seed: int
    client_ids: int = field(default=0)
    margin_changes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    amendments: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        """Whether conditional orders or timers wait."""
        return self.algos.busy or self.timers.busy

    def look(self, now_ms: int) -> None:
        """Do what prices or the clock make due."""
        self.algos.look(now_ms)
        self.timers.look(now_ms)

    def new_client_id(self) -> str:
        """A client order id for an order that names none."""
        self.client_ids += 1
        text = f"{self.seed}:client:{self.client_ids}".encode()
        return hashlib.blake2b(text, digest_size=_ID_LENGTH // 2).hexdigest()


def customer(call: Call) -> Account:
    """The account the gate found for a signed call."""
    if call.account is None:
        raise RuntimeError(f"{call.endpoint} is signed but was admitted without an account")
    return call.account
