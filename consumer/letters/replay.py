"""Replaying dead letters: the original body again, under a new message id, at a steady rate.

What may be replayed is judged by `readable` (is the body a trade that is not too old?)
and `storage.replays.judge` (what does the ledger say of its order?). Letters go in the order
in which they came, so a batch is replayed in its own order. A page is taken up, published and
settled before the next one is begun: stopping loses nothing, and the same command goes on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from consumer.contract.decoding import decode
from consumer.controls.checks import late
from consumer.controls.live import stored_snapshot
from consumer.controls.registry import Registry
from consumer.controls.routing import route
from consumer.controls.snapshot import Snapshot
from consumer.errors import MalformedMessage
from consumer.execution.claimed import new_order
from consumer.queue.dead_letters import REPLAY_OF, producers_headers
from providers.registry import load_providers
from storage import replays
from storage.identity import fingerprint
from storage.replays import Candidate, Judgement, Mandate, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from consumer.contract.message import TradeMessage
    from consumer.queue.publisher import Publisher
    from consumer.queue.topology import Topology
    from consumer.settings import Settings
    from providers.clock import Clock
    from storage.dead_letters import LetterFilter
    from storage.postgres import Database
    from storage.replays import ReplayLetter

_PAGE_SECONDS = 0.2  # of publishing between two looks at whether to stop
_PAGE_MOST = 50
_CATCH_UP = 0.2  # seconds
_EXAMPLES = 20
REPLAYED = "REPLAYED"
REOPENED = "REOPENED"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to replay and how.

    Attributes:
        mandate: who wants it, and why.
        rate: letters a second.
        allow_stale: also what is too old by now, and let it be sent.
        dry_run: say what would be done, and do nothing.
    """

    letters: LetterFilter
    mandate: Mandate
    rate: float
    allow_stale: bool = False
    dry_run: bool = False


@dataclass(slots=True)
class Summary:
    """What came of a replay: counts by result, and the first letters that were refused."""

    total: int = 0
    seen: int = 0
    published: int = 0
    reopened: int = 0
    done_already: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[int, str, str]] = field(default_factory=list)
    stopped: bool = False

    def refuse(self, letter: ReplayLetter, judgement: Judgement) -> None:
        """Count a refusal."""
        self.refused[judgement.code or "REFUSED"] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(
                (letter.id, judgement.code or "REFUSED", judgement.why or "refused")
            )


def summary_document(summary: Summary, *, dry_run: bool) -> dict[str, Any]:
    """Give a summary as JSON shows it."""
    return {
        "dryRun": dry_run,
        "total": summary.total,
        "published": summary.published,
        "reopened": summary.reopened,
        "alreadyDone": summary.done_already,
        "refused": dict(summary.refused),
        "refusedExamples": [
            {"id": number, "code": code, "why": why} for number, code, why in summary.examples
        ],
        "stopped": summary.stopped,
        "left": summary.total - summary.seen,
    }


def readable(
    letter: ReplayLetter,
    *,
    max_bytes: int,
    now: datetime,
    max_age: timedelta | None,
    allow_stale: bool,
) -> tuple[TradeMessage, bool] | Judgement:
    """Read a letter's trade and see whether it is too old; or say why it can't be replayed. Pure.

    Returns:
        The trade, and whether it is older than it may be.
    """
    if letter.body is None:
        return Judgement(
            Verdict.REFUSE, "TOO_LARGE", f"the body has {letter.size} bytes; at most {max_bytes}"
        )
    try:
        message = decode(letter.body, max_bytes)
    except MalformedMessage as error:
        return Judgement(Verdict.REFUSE, error.code, f"still no trade message: {error}")
    found = late(
        message,
        now,
        received_at=letter.batch_at,
        max_age=max_age if message.action.opens else None,
    )
    if found is not None and not allow_stale:
        says = f"{found.says}; --allow-stale replays it all the same"
        return Judgement(Verdict.REFUSE, "STALE", says)
    return message, found is not None


class Replay:
    """Replays dead letters; one for a command."""

    def __init__(
        self,
        settings: Settings,
        topology: Topology,
        database: Database,
        publisher: Publisher,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._topology = topology
        self._database = database
        self._publisher = publisher
        self._clock = clock
        self._snapshot = Snapshot()
        self._next = 0.0  # when the next letter may go, monotonic seconds

    async def run(
        self,
        wanted: Wanted,
        stop: asyncio.Event,
        progress: Callable[[Summary], None] = lambda _: None,
    ) -> Summary:
        """Replay until all is done or `stop` is set; then the page at hand is finished first.

        Raises:
            BrokerUnavailable, PublishRefused, LedgerUnavailable: the letters at hand stay
                `replaying`, and the next replay publishes them.
        """
        self._snapshot = await stored_snapshot(self._database, Registry(load_providers()))
        up_to = await replays.last_letter(self._database)
        summary = Summary(
            total=await replays.count_replayable(self._database, wanted.letters, up_to)
        )
        progress(summary)
        most = max(1, min(_PAGE_MOST, int(wanted.rate * _PAGE_SECONDS)))
        above: ReplayLetter | None = None
        while not stop.is_set():
            page = await replays.replay_page(
                self._database,
                wanted.letters,
                up_to=up_to,
                above=above,
                most=most,
                max_bytes=self._settings.message_max_bytes,
            )
            if not page:
                return summary
            above = page[-1]
            await self._page(page, wanted, summary, progress)
        summary.stopped = True
        return summary

    async def _page(
        self,
        page: Sequence[ReplayLetter],
        wanted: Wanted,
        summary: Summary,
        progress: Callable[[Summary], None],
    ) -> None:
        candidates = await self._candidates(page, wanted, summary)
        judged = await replays.begin(
            self._database, candidates, wanted.mandate, dry_run=wanted.dry_run
        )
        summary.seen += len(page) - len(judged)
        progress(summary)
        results: dict[int, str] = {}
        for candidate, judgement in judged:
            letter = candidate.letter
            summary.seen += 1
            match judgement.verdict:
                case Verdict.REFUSE:
                    summary.refuse(letter, judgement)
                case Verdict.DONE:
                    summary.done_already += 1
                    results[letter.id] = f"{judgement.code}: {judgement.why}"
                case Verdict.PUBLISH | Verdict.REOPEN:
                    if not wanted.dry_run:
                        await self._turn(wanted.rate)
                        await self._publish(candidate)
                    again = judgement.verdict is Verdict.REOPEN
                    summary.published += 1
                    summary.reopened += again
                    results[letter.id] = REOPENED if again else REPLAYED
            progress(summary)
        if not wanted.dry_run:
            await replays.end(self._database, results, wanted.mandate)

    async def _candidates(
        self, page: Sequence[ReplayLetter], wanted: Wanted, summary: Summary
    ) -> list[Candidate]:
        candidates = []
        stale = []
        for letter in page:
            found = readable(
                letter,
                max_bytes=self._settings.message_max_bytes,
                now=self._clock.now(),
                max_age=self._snapshot.max_signal_age,
                allow_stale=wanted.allow_stale,
            )
            if isinstance(found, Judgement):
                summary.refuse(letter, found)
                continue
            message, too_old = found
            candidates.append(
                Candidate(
                    letter=letter,
                    request_id=message.request_id,
                    account=message.account,
                    fingerprint=fingerprint(message.terms),
                    new_message_id=str(uuid4()),
                    allow_stale=too_old,
                )
            )
            if too_old:
                stale.append(message)
        if stale and not wanted.dry_run:
            # The ledger may never have seen them; what is allowed for an order is held by its row.
            default = self._settings.default_exchange
            await replays.enter(
                self._database,
                [
                    new_order(one, route(one, self._snapshot, default), self._clock.now())
                    for one in stale
                ],
            )
        return candidates

    async def _publish(self, candidate: Candidate) -> None:
        letter = candidate.letter
        await self._publisher.publish(
            letter.body or b"",
            exchange=self._topology.exchange,
            routing_key=self._topology.queue,
            message_id=candidate.new_message_id,
            headers=producers_headers(letter.headers) | {REPLAY_OF: letter.id},
            content_type=letter.content_type or "application/json",
        )

    async def _turn(self, rate: float) -> None:
        """Wait for the next letter's turn; what a page's look-ups take is caught up with."""
        now = self._clock.monotonic()
        start = max(now - _CATCH_UP, self._next)
        self._next = start + 1 / rate
        if start > now:
            await asyncio.sleep(start - now)
