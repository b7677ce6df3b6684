"""A small client of the sandbox's control API, for tests and the command line.

It talks to the sandbox only, never to a venue's own paths.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Self

import httpx

from providers.sandbox.faults import FaultKind, FaultRule

if TYPE_CHECKING:
    from providers.sandbox.limits import LimitsSetting

_PAGE: Final = 5000
_TIMEOUT_SECONDS: Final = 10.0


class SandboxControlError(Exception):
    """The sandbox refused a control request; the text is its own."""


@dataclass(frozen=True, slots=True)
class TruthReport:
    """What really happened.

    Attributes:
        orders: accepted orders in order of acceptance; decimals are strings.
        counters: `orders`, `fills`, `duplicates_refused`, `requests`, `codes`, `faults`.
    """

    orders: list[dict[str, Any]]
    counters: dict[str, Any] = field(default_factory=dict)


class SandboxControl:
    """Control a running sandbox.

    Args:
        origin: scheme, host and port, such as `http://127.0.0.1:8790`.
        client: an HTTP client to use instead of one of its own; it is not closed.
    """

    def __init__(self, origin: str, client: httpx.AsyncClient | None = None) -> None:
        self._base = f"{origin.rstrip('/')}/_sandbox"
        self._own = client is None
        self._http = client or httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the HTTP client, if it is its own."""
        if self._own:
            await self._http.aclose()

    async def info(self) -> dict[str, Any]:
        """Base URLs, accounts, seed, limits, clock."""
        return await self._call("GET", "info")

    async def truth(self, **filters: str) -> TruthReport:
        """Every accepted order that fits, and the counters.

        Args:
            filters: any of `venue`, `account`, `symbol`, `order_id`, `client_order_id`,
                `client_order_id_prefix`.
        """
        orders, last = await self._pages("truth", "orders", filters)
        return TruthReport(orders, last["counters"])

    async def fills(self, **filters: str) -> list[dict[str, Any]]:
        """Every fill that fits; the filters are those of `truth`."""
        rows, _ = await self._pages("fills", "fills", filters)
        return rows

    async def requests(self, limit: int = 1000) -> list[dict[str, Any]]:
        """The latest requests, oldest first."""
        answer = await self._call("GET", "requests", query={"limit": str(limit)})
        return list(answer["requests"])

    async def add_fault(self, rule: FaultRule | FaultKind | str, **values: Any) -> int:  # noqa: ANN401 - rule fields
        """Add a fault rule, given whole or as its kind and fields; returns its number."""
        if isinstance(rule, FaultRule):
            body = {name: value for name, value in asdict(rule).items() if value is not None}
        else:
            body = {"kind": str(rule), **values}
        return int((await self._call("POST", "faults", body=body))["id"])

    async def remove_fault(self, number: int) -> None:
        """Take one fault rule out of force."""
        await self._call("DELETE", "faults", query={"id": str(number)})

    async def clear_faults(self) -> None:
        """Take all fault rules out of force."""
        await self._call("DELETE", "faults")

    async def faults(self) -> dict[str, Any]:
        """The rules in force with what each matched and injected, and the counts by kind."""
        return await self._call("GET", "faults")

    async def set_clock(
        self,
        *,
        offset_ms: int | None = None,
        frozen_at_ms: int | None = None,
        advance_ms: int | None = None,
    ) -> int:
        """Move, stop or advance the clock (give one); returns its time in milliseconds."""
        values = {
            "offset_ms": offset_ms,
            "frozen_at_ms": frozen_at_ms,
            "advance_ms": advance_ms,
        }
        body = {name: value for name, value in values.items() if value is not None}
        return int((await self._call("POST", "clock", body=body))["now_ms"])

    async def set_limits(self, limits: LimitsSetting, venue: str = "") -> None:
        """Change the request limits of a venue, or of all."""
        setting = limits if isinstance(limits, str) else dict(limits)
        await self._call("POST", "limits", body={"limits": setting, "venue": venue})

    async def set_variant(self, venue: str, name: str, value: str) -> None:
        """Turn a switch of a venue (see `variants.py`)."""
        await self._call("POST", "variants", body={"venue": venue, "name": name, "value": value})

    async def variants(self) -> dict[str, dict[str, str]]:
        """The switches of every venue."""
        return await self._call("GET", "variants")

    async def streams(self) -> list[dict[str, Any]]:
        """The open streams: venue, path, account, topics."""
        return list((await self._call("GET", "streams"))["streams"])

    async def cut_streams(self, venue: str = "") -> int:
        """Break the streams of a venue, or all; how many there were."""
        return int((await self._call("DELETE", "streams", query={"venue": venue}))["cut"])

    async def set_price(
        self, symbol: str, price: Decimal | str, *, hold: bool = True, venue: str = ""
    ) -> None:
        """Hold a symbol's price, or move its path through it."""
        body = {"symbol": symbol, "price": str(price), "hold": hold, "venue": venue}
        await self._call("POST", "prices", body=body)

    async def release_price(self, symbol: str, venue: str = "") -> None:
        """Let a symbol's price follow the seed again."""
        await self._call("POST", "prices", body={"symbol": symbol, "release": True, "venue": venue})

    async def prices(self, venue: str = "bybit") -> dict[str, dict[str, str]]:
        """Last and mark price of every symbol of a venue."""
        answer = await self._call("GET", "prices")
        return dict(answer["prices"][venue])

    async def add_account(self, venue: str, name: str, **values: Any) -> dict[str, str]:  # noqa: ANN401 - account fields
        """Open an account (`key`, `secret`, `balance`, `hedge` optional); returns its keys."""
        return await self._call("POST", "accounts", body={"venue": venue, "name": name, **values})

    async def reset(self, scope: str = "all") -> None:
        """Back to the start (`all`), or forget recently closed orders only (`recent`)."""
        await self._call("POST", "reset", body={"scope": scope})

    async def _pages(
        self, path: str, name: str, filters: dict[str, str]
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        after: int | None = 0
        answer: dict[str, Any] = {}
        while after is not None:
            query = {**filters, "after": str(after), "limit": str(_PAGE)}
            answer = await self._call("GET", path, query=query)
            rows.extend(answer[name])
            after = answer["next"]
        return rows, answer

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        payload = (
            None
            if body is None
            else {k: str(v) if isinstance(v, Decimal) else v for k, v in body.items()}
        )
        response = await self._http.request(
            method, f"{self._base}/{path}", params=query, json=payload
        )
        answer: dict[str, Any] = response.json()
        if response.status_code != httpx.codes.OK:
            raise SandboxControlError(f"{method} /_sandbox/{path}: {answer['error']}")
        return answer
