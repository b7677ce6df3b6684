"""Streams without their sockets: who listens, what each is told, and what faults do to it.

A venue's side makes a `Session` of a path; it reads what the client sends and turns changes of
orders and prices into frames. Events (frames with a topic) may be spoiled by fault rules of the
`stream_...` kinds; answers to what the client sent never are. Nothing is kept for those who are not
connected: as with the venues, there is no replay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from providers.sandbox.fault_kinds import FaultKind
from providers.sandbox.faults import Faults, Target
from providers.sandbox.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from providers.sandbox.account import Account
    from providers.sandbox.journal import Entry, Told
    from providers.sandbox.wire import Facade, Inbound, Reply


@dataclass(frozen=True, slots=True)
class Frame:
    """One text to be sent.

    Attributes:
        topic: what fault rules call an event; empty for an answer.
    """

    body: bytes
    topic: str = ""
    symbol: str = ""
    client_order_id: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that came over a stream, to be served as any other.

    Attributes:
        answer: makes the frame of the venue's reply.
    """

    inbound: Inbound
    answer: Callable[[Reply], Frame]


class Session(Protocol):
    """One client's connection as the venue sees it."""

    @property
    def account(self) -> Account | None:
        """Whose events it is told, once it has said who it is."""
        ...

    @property
    def topics(self) -> list[str]:
        """What it has subscribed to."""
        ...

    def opened(self, now_ms: int) -> list[Frame]:
        """What is sent at once."""
        ...

    def received(self, text: str, now_ms: int) -> list[Frame | Ask]:
        """The answers to what the client sent."""
        ...

    def told(self, entry: Entry | Told, now_ms: int) -> list[Frame]:
        """What a change of its account makes it say."""
        ...

    def ticked(self, now_ms: int) -> list[Frame]:
        """What is due by time: prices, expiry."""
        ...


class Line(Protocol):
    """The way to one client."""

    def send(self, body: bytes, after_ms: int = 0) -> None:
        """Send a text, now or later."""
        ...

    def cut(self) -> None:
        """Break the connection."""
        ...


@dataclass(slots=True, eq=False)
class _Member:
    venue: str
    path: str
    session: Session
    line: Line
    held: list[bytes] = field(default_factory=list)


class Streams:
    """Every open stream of a sandbox.

    Args:
        facades: the venues.
        faults: the rules in force.
    """

    def __init__(self, facades: Mapping[str, Facade], faults: Faults) -> None:
        self._facades = facades
        self._faults = faults
        self._members: list[_Member] = []

    @property
    def busy(self) -> bool:
        """Whether any is open."""
        return bool(self._members)

    def join(self, venue: str, path: str, session: Session, line: Line, now_ms: int) -> None:
        """Let a client listen."""
        self.flush(now_ms)
        member = _Member(venue, path, session, line)
        self._members.append(member)
        book = self._facades[venue].engine.book
        if book.journal is None:
            book.journal = Journal()
        self._post(member, session.opened(now_ms), now_ms)

    def leave(self, line: Line) -> None:
        """Forget a client."""
        self._members = [member for member in self._members if member.line is not line]
        heard = {member.venue for member in self._members}
        for venue, facade in self._facades.items():
            if venue not in heard:
                facade.engine.book.journal = None

    def answer(self, line: Line, frame: Frame, now_ms: int) -> None:
        """Send a client what it asked for."""
        for member in self._members:
            if member.line is line:
                self._post(member, [frame], now_ms)

    def flush(self, now_ms: int) -> None:
        """Tell everyone what has happened since the last time."""
        for venue, facade in self._facades.items() if self._members else ():
            journal = facade.engine.book.journal
            for entry in journal.take() if journal is not None else ():
                for member in self._listeners(venue, entry.account):
                    self._post(member, member.session.told(entry, now_ms), now_ms)

    def tick(self, now_ms: int) -> None:
        """Send what is due by time."""
        self.flush(now_ms)
        for member in list(self._members):
            self._post(member, member.session.ticked(now_ms), now_ms)

    def cut(self, venue: str = "") -> int:
        """Break the connections of a venue, or all; how many there were."""
        chosen = [member for member in self._members if venue in ("", member.venue)]
        for member in chosen:
            member.line.cut()
            self.leave(member.line)
        return len(chosen)

    def view(self) -> list[dict[str, Any]]:
        """The open streams as the control API shows them."""
        return [
            {
                "venue": member.venue,
                "path": member.path,
                "account": member.session.account.name if member.session.account else None,
                "topics": member.session.topics,
            }
            for member in self._members
        ]

    def _listeners(self, venue: str, account: Account) -> list[_Member]:
        return [m for m in self._members if m.venue == venue and m.session.account is account]

    def _post(self, member: _Member, frames: list[Frame], now_ms: int) -> None:
        for frame in frames:
            if not frame.topic:
                member.line.send(frame.body)
                continue
            held, member.held = member.held, []
            if not self._faults.rules:
                member.line.send(frame.body)
            elif not self._spoil(member, frame, now_ms):
                return
            for body in held:
                member.line.send(body)

    def _spoil(self, member: _Member, frame: Frame, now_ms: int) -> bool:
        """Send an event as the fault rules want it; whether the connection still stands."""
        target = Target(
            venue=member.venue,
            method="",
            path=member.path,
            endpoint=frame.topic,
            symbol=frame.symbol,
            client_order_id=frame.client_order_id,
            streamed=True,
        )
        struck = {rule.kind: rule for rule in self._faults.strike(target, now_ms)}
        if FaultKind.STREAM_CUT in struck:
            member.line.cut()
            self.leave(member.line)
            return False
        if FaultKind.STREAM_LOSE in struck:
            return True
        if FaultKind.STREAM_SWAP in struck:
            member.held.append(frame.body)
            return True
        delay = struck.get(FaultKind.STREAM_DELAY)
        after_ms = delay.ms if delay is not None else 0
        member.line.send(frame.body, after_ms)
        again = struck.get(FaultKind.STREAM_DUPLICATE)
        if again is not None:
            member.line.send(frame.body, after_ms + again.ms)
        return True
