"""The sandbox exchange without its HTTP: venues, clock, faults, truth, and what control may change.

One object owns everything, so that a reset is complete and every part reads the same clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.binance.facade import BinanceFacade
from providers.sandbox.bybit.facade import BybitFacade
from providers.sandbox.clock import SandboxClock
from providers.sandbox.faults import Faults
from providers.sandbox.mexc.facade import MexcFacade
from providers.sandbox.streams import Streams
from providers.sandbox.truth import Truth

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.sandbox.limits import LimitsSetting
    from providers.sandbox.wire import Facade

START_BALANCE: Final = Decimal(1_000_000)

_LARGEST_BALANCE: Final = 10**12
_HIGHEST_PRICE: Final = 10**9

_BUILDERS: Final[dict[str, Callable[..., Facade]]] = {
    "bybit": BybitFacade,
    "binance": BinanceFacade,
    "mexc": MexcFacade,
}
"""How each venue's side is built; a new venue is one more line."""

VENUES: Final = tuple(_BUILDERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a sandbox is started with.

    Attributes:
        seed: prices, ids and fault draws follow from it.
        limits: request limits, for every venue.
        fill_delay: seconds until an accepted order moves on; 0 settles it at once.
        splits: executions a fill is made of.
        balance: USDT each start account has.
    """

    seed: int = 0
    limits: LimitsSetting = "published"
    fill_delay: float = 0.005
    splits: int = 1
    balance: Decimal = START_BALANCE

    def __post_init__(self) -> None:
        if self.fill_delay < 0:
            raise ValueError(f"fill_delay must be 0 or more seconds, not {self.fill_delay}")
        if self.splits < 1:
            raise ValueError(f"splits must be 1 or more, not {self.splits}")

    @property
    def fill_delay_ms(self) -> int:
        """The fill delay in whole milliseconds, at least one unless it is zero."""
        return max(1, round(self.fill_delay * 1000)) if self.fill_delay else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """An account's name, key and secret; made up, and good for this sandbox only."""

    name: str
    key: str
    secret: str = field(repr=False)


class Sandbox:
    """All venues of one sandbox and what they share.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.clock = SandboxClock()
        self.faults = Faults()
        self.truth = Truth()
        self.facades: dict[str, Facade] = {
            venue: build(
                self.truth,
                seed=options.seed,
                fill_delay_ms=options.fill_delay_ms,
                splits=options.splits,
                limits="published",
            )
            for venue, build in _BUILDERS.items()
        }
        self.streams = Streams(self.facades, self.faults)
        self.set_limits(options.limits)
        self._open_start_accounts()

    def facade(self, venue: str) -> Facade:
        """One venue's side.

        Raises:
            ValueError: no such venue.
        """
        try:
            return self.facades[venue]
        except KeyError:
            raise ValueError(f"no venue {venue!r}; use one of {', '.join(self.facades)}") from None

    def start_credentials(self, venue: str) -> Credentials:
        """The account every venue starts with."""
        self.facade(venue)
        return Credentials(
            name="main", key=f"sandbox-{venue}-key", secret=f"sandbox-{venue}-secret"
        )

    def credentials(self, venue: str) -> list[Credentials]:
        """All accounts of a venue."""
        return [
            Credentials(name=account.name, key=account.key, secret=account.secret)
            for account in self.facade(venue).engine.accounts()
        ]

    def add_account(
        self, venue: str, credentials: Credentials, *, balance: Decimal, hedge: bool = False
    ) -> None:
        """Open another account.

        Raises:
            ValueError: no such venue, the name or key is taken, or a senseless balance.
        """
        if not 0 <= balance <= _LARGEST_BALANCE:
            raise ValueError(f"balance must be 0..{_LARGEST_BALANCE} USDT, not {balance}")
        if not (credentials.name and credentials.key and credentials.secret):
            raise ValueError("name, key and secret must not be empty")
        facade = self.facade(venue)
        account = facade.new_account(
            credentials.name, credentials.key, credentials.secret, f"{balance:f}", hedge=hedge
        )
        facade.engine.add_account(account)

    def advance(self) -> None:
        """Bring every venue up to the present."""
        now_ms = self.clock.now_ms()
        for facade in self.facades.values():
            facade.engine.book.advance(now_ms)

    def change_clock(self, change: Callable[[SandboxClock], None]) -> None:
        """Change the clock; what waits stays due, and bans keep their length, if it goes back."""
        before = self.clock.now_ms()
        change(self.clock)
        now_ms = self.clock.now_ms()
        if now_ms < before:
            for facade in self.facades.values():
                facade.engine.book.rewind(before - now_ms, now_ms)
                facade.clock_set_back(before - now_ms)
        self.advance()

    def set_limits(self, setting: LimitsSetting, venue: str = "") -> None:
        """Change the request limits of one venue, or of all.

        Raises:
            ValueError: no such venue, or the setting is not one of the kinds.
        """
        if not isinstance(setting, Mapping) and setting not in ("published", "off"):
            raise ValueError("limits must be published, off, or an object of caps by endpoint")
        if venue:
            self.facade(venue).set_limits(setting)
            return
        for facade in self.facades.values():
            facade.set_limits(self._limits_for(facade, setting))

    def set_price(
        self, symbol: str, price: Decimal | None, *, hold: bool = True, venue: str = ""
    ) -> None:
        """Hold a price, move the path through it (`hold=False`), or release it (None).

        Raises:
            ValueError: no such venue or symbol, or a senseless price.
        """
        if price is not None and not 0 < price <= _HIGHEST_PRICE:
            raise ValueError(f"price must be above zero and not above {_HIGHEST_PRICE}, is {price}")
        now_ms = self.clock.now_ms()
        self.advance()
        chosen = [self.facade(venue)] if venue else list(self.facades.values())
        listed = [f for f in chosen if symbol in f.engine.market.instruments]
        if not listed:
            raise ValueError(f"no venue lists {symbol!r}")
        for facade in listed:
            market = facade.engine.market
            if price is None:
                market.release(symbol)
            elif hold:
                market.hold(symbol, price)
            else:
                market.move(symbol, price, now_ms)
            facade.engine.book.look_at_prices(now_ms)

    def prices(self) -> dict[str, dict[str, dict[str, Decimal]]]:
        """Last and mark prices by venue and symbol."""
        now_ms = self.clock.now_ms()
        return {
            venue: {
                symbol: facade.engine.market.prices(symbol, now_ms)._asdict()
                for symbol in facade.engine.market.instruments
            }
            for venue, facade in self.facades.items()
        }

    def info(self, origin: str) -> dict[str, Any]:
        """What a client needs to know, `origin` being scheme, host and port."""
        return {
            "control_url": f"{origin}/_sandbox",
            "venues": {
                venue: {
                    "base_url": f"{origin}/{venue}",
                    "stream_url": f"{origin.replace('http', 'ws', 1)}/{venue}",
                    "accounts": [
                        {"name": item.name, "key": item.key, "secret": item.secret}
                        for item in self.credentials(venue)
                    ],
                    "limits": facade.limits,
                    "variants": facade.variants.view(),
                }
                for venue, facade in self.facades.items()
            },
            "seed": self.options.seed,
            "fill_delay_ms": self.options.fill_delay_ms,
            "splits": self.options.splits,
            "clock": self.clock_view(),
        }

    def clock_view(self) -> dict[str, int | None]:
        """The clock as the control API shows it."""
        return {
            "now_ms": self.clock.now_ms(),
            "offset_ms": self.clock.offset_ms,
            "frozen_at_ms": self.clock.frozen_at_ms,
        }

    def forget_recent(self) -> None:
        """Drop the recently closed orders from open-order look-ups, as a venue's restart does."""
        for facade in self.facades.values():
            facade.engine.book.forget_recent()

    def reset(self) -> None:
        """As it was started: no orders, faults, streams or added accounts, prices, clock unset."""
        self.streams.cut()
        self.clock.reset()
        self.faults.reset()
        self.truth.reset()
        for facade in self.facades.values():
            facade.reset([])
        self.set_limits(self.options.limits)
        self._open_start_accounts()

    def _limits_for(self, facade: Facade, setting: LimitsSetting) -> LimitsSetting:
        """What of a setting for all venues concerns one; a name no venue has is refused."""
        if not isinstance(setting, Mapping):
            return setting
        known = frozenset().union(*(each.cap_names for each in self.facades.values()))
        unknown = sorted(set(setting) - known)
        if unknown:
            raise ValueError(
                f"no venue has a limit named {unknown[0]!r}; there are {', '.join(sorted(known))}"
            )
        return {name: cap for name, cap in setting.items() if name in facade.cap_names}

    def _open_start_accounts(self) -> None:
        for venue in self.facades:
            self.add_account(venue, self.start_credentials(venue), balance=self.options.balance)
