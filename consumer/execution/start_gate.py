"""At start, an account is not opened on before its orders of unknown outcome were looked at.

What another worker left SENDING or UNKNOWN when this one started may be a position already. Each
such order is asked for at its exchange first; one that is not shown, but may still land, has been
looked at and goes on as usual. Closing orders don't wait, and one broken exchange does not keep the
others from trading.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from storage.errors import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from consumer.execution.reconciler import Reconciler
    from consumer.gate import LedgerGate
    from storage.ledger import Ledger, Unresolved

_log = structlog.get_logger(__name__)
_Account = tuple[str, str]
_AGAIN = 0.25  # seconds
_LONGEST = 5.0


class StartGate:
    """Shut for accounts that have orders to be looked at, until they were.

    Args:
        ledger: where they stand.
        reconciler: looks at them.
        gate: of the ledger.

    Attributes:
        on_change: called when what `shut` says has changed.
    """

    def __init__(self, ledger: Ledger, reconciler: Reconciler, gate: LedgerGate) -> None:
        self._ledger = ledger
        self._reconciler = reconciler
        self._gate = gate
        self.on_change: Callable[[], None] = lambda: None
        self._shut: dict[_Account, str] = {}
        self._known = False

    def is_open(self, exchange: str, account: str) -> bool:
        """True if positions may be opened there."""
        return self._known and (exchange, account) not in self._shut

    @property
    def shut(self) -> Mapping[str, str]:
        """Why it is shut, by exchange/account."""
        return {"/".join(account): why for account, why in self._shut.items()}

    async def run(self) -> None:
        """Work until it is open for every account."""
        waiting = await self._unresolved()
        by_account: dict[_Account, list[Unresolved]] = {}
        for one in waiting:
            by_account.setdefault(_account_of(one), []).append(one)
        self._shut = dict.fromkeys(by_account, "orders of unknown outcome are to be looked at")
        self._known = True
        if waiting:
            _log.info("orders to look at before opening", orders=len(waiting), accounts=self.shut)
            self.on_change()
        await asyncio.gather(*(self._open(*item) for item in by_account.items()))

    async def _unresolved(self, among: Sequence[str] | None = None) -> Sequence[Unresolved]:
        while True:
            await self._gate.wait_open()
            try:
                return await self._ledger.unresolved(among)
            except LedgerUnavailable as error:
                self._gate.report(error)

    async def _open(self, account: _Account, left: Sequence[Unresolved]) -> None:
        wait = _AGAIN
        while left:
            seen: set[str] = set()
            for one in left:
                request_id = one.claim.row.request_id
                if one.in_work:
                    self._say(account, f"another worker has not finished with {request_id}")
                elif await self._reconciler.look(one.claim):
                    seen.add(request_id)
                else:
                    self._say(account, f"{account[0]} could not be asked about {request_id}")
            ids = [one.claim.row.request_id for one in left]
            rest = [one for one in ids if one not in seen]
            if not rest:
                break
            await asyncio.sleep(wait)
            wait = min(wait * 1.5, _LONGEST)
            left = await self._unresolved(rest)
        del self._shut[account]
        _log.info("account open", exchange=account[0], account=account[1])
        self.on_change()

    def _say(self, account: _Account, why: str) -> None:
        if self._shut[account] != why:
            self._shut[account] = why
            _log.warning("account not opened on yet", exchange=account[0], why=why)
            self.on_change()


def _account_of(one: Unresolved) -> _Account:
    return one.claim.row.exchange, one.claim.row.account
