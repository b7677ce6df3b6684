"""Streams without sockets: who is told, what each fault does to an event, what is forgotten."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from providers.sandbox.bybit.gate import signature
from providers.sandbox.faults import FaultKind, FaultRule
from providers.sandbox.sandbox import Credentials, Options, Sandbox
from providers.sandbox.streams import Ask
from providers.sandbox.values import NewOrder, OrderKind, Side
from providers.sandbox.wire import Inbound

if TYPE_CHECKING:
    from providers.sandbox.streams import Session

NOW = 1_700_000_000_000
CUT = "cut"


@dataclass
class Tap:
    """A line that writes down what it is told; delays beside the text."""

    said: list[tuple[dict[str, Any], int]] = field(default_factory=list)
    stands: bool = True

    def send(self, body: bytes, after_ms: int = 0) -> None:
        self.said.append((orjson.loads(body), after_ms))

    def cut(self) -> None:
        self.stands = False

    @property
    def states(self) -> list[str]:
        return [body["data"][0]["orderStatus"] for body, _ in self.said if "topic" in body]


def login(sandbox: Sandbox, account: str = "main") -> str:
    known = next(one for one in sandbox.credentials("bybit") if one.name == account)
    expires = str(NOW + 10_000)
    text = signature(known.secret, f"GET/realtime{expires}", "", "", "")
    return orjson.dumps({"op": "auth", "args": [known.key, expires, text]}).decode()


def connect(sandbox: Sandbox, path: str = "/v5/private", venue: str = "bybit") -> Session:
    inbound = Inbound(
        method="GET", path=path, query="", headers={}, body=b"", arrived_ms=NOW, arrived_ns=0
    )
    session = sandbox.facade(venue).connect(inbound)
    assert session is not None
    return session


def listen(sandbox: Sandbox, account: str = "main") -> Tap:
    """A tap on the orders of an account."""
    tap, session = Tap(), connect(sandbox)
    sandbox.streams.join("bybit", "/v5/private", session, tap, NOW)
    session.received(login(sandbox, account), NOW)
    session.received('{"op": "subscribe", "args": ["order"]}', NOW)
    return tap


def buy(sandbox: Sandbox, client_id: str = "s-1", account: str = "main") -> None:
    engine = sandbox.facade("bybit").engine
    new = NewOrder(
        symbol="BTCUSDT",
        side=Side.BUY,
        kind=OrderKind.MARKET,
        qty=Decimal("0.01"),
        client_order_id=client_id,
    )
    engine.place(engine.book.accounts[account], new, NOW)
    sandbox.streams.flush(NOW)


@pytest.fixture
def sandbox() -> Sandbox:
    made = Sandbox(Options(fill_delay=0))
    made.clock.freeze(NOW)
    made.facade("bybit").engine.market.hold("BTCUSDT", Decimal(100_000))
    made.add_account(
        "bybit", Credentials(name="other", key="other-key", secret="o"), balance=Decimal(10_000)
    )
    return made


def test_each_change_is_told_as_it_was(sandbox: Sandbox) -> None:
    tap = listen(sandbox)
    buy(sandbox)
    rows = [body["data"][0] for body, _ in tap.said]
    assert [(row["orderStatus"], row["cumExecQty"]) for row in rows] == [
        ("New", "0.000"),
        ("Filled", "0.010"),
    ]


def test_an_account_hears_of_its_own_orders_only(sandbox: Sandbox) -> None:
    mine, other = listen(sandbox), listen(sandbox, "other")
    buy(sandbox)
    assert (len(mine.said), other.said) == (2, [])
    buy(sandbox, "s-2", "other")
    assert (len(mine.said), len(other.said)) == (2, 2)


def test_what_happened_while_nobody_listened_is_not_told(sandbox: Sandbox) -> None:
    buy(sandbox)
    tap = listen(sandbox)
    sandbox.streams.leave(tap)
    buy(sandbox, "s-2")
    late = listen(sandbox)
    assert (tap.said, late.said) == ([], [])
    assert sandbox.facade("bybit").engine.book.journal is not None
    sandbox.streams.leave(late)
    assert sandbox.facade("bybit").engine.book.journal is None


FAULTS: list[tuple[dict[str, Any], list[tuple[str, int]]]] = [
    ({"kind": "stream_lose", "count": 1}, [("Filled", 0)]),
    ({"kind": "stream_lose", "after": 1}, [("New", 0)]),
    ({"kind": "stream_delay", "ms": 30, "count": 1}, [("New", 30), ("Filled", 0)]),
    ({"kind": "stream_duplicate", "after": 1}, [("New", 0), ("Filled", 0), ("Filled", 0)]),
    (
        {"kind": "stream_duplicate", "ms": 9, "count": 1},
        [("New", 0), ("New", 9), ("Filled", 0)],
    ),
    ({"kind": "stream_swap", "count": 1}, [("Filled", 0), ("New", 0)]),
    ({"kind": "stream_lose", "endpoint": "execution"}, [("New", 0), ("Filled", 0)]),
    ({"kind": "stream_lose", "client_order_id_prefix": "x"}, [("New", 0), ("Filled", 0)]),
    ({"kind": "drop_before"}, [("New", 0), ("Filled", 0)]),
]


@pytest.mark.parametrize(("rule", "expected"), FAULTS)
def test_faults(sandbox: Sandbox, rule: dict[str, Any], expected: list[tuple[str, int]]) -> None:
    tap = listen(sandbox)
    sandbox.faults.add(FaultRule(**{**rule, "kind": FaultKind(rule["kind"])}), NOW)
    buy(sandbox)
    assert [(body["data"][0]["orderStatus"], after) for body, after in tap.said] == expected


def test_a_cut_stream_hears_nothing_more_and_the_event_is_gone(sandbox: Sandbox) -> None:
    tap, other = listen(sandbox), listen(sandbox)
    rule = FaultRule(kind=FaultKind.STREAM_CUT, count=1, after=2)
    sandbox.faults.add(rule, NOW)
    buy(sandbox)
    assert (tap.states, tap.stands) == (["New"], False)
    assert (other.states, other.stands) == (["New", "Filled"], True)
    again = listen(sandbox)
    buy(sandbox, "s-2")
    assert (tap.states, again.states) == (["New"], ["New", "Filled"])


def test_an_event_held_back_is_sent_when_the_rule_is_gone(sandbox: Sandbox) -> None:
    tap = listen(sandbox)
    rule = sandbox.faults.add(FaultRule(kind=FaultKind.STREAM_SWAP), NOW)
    buy(sandbox)
    assert tap.states == ["New"]
    sandbox.faults.remove(rule.number)
    buy(sandbox, "s-2")
    links = [body["data"][0]["orderLinkId"] for body, _ in tap.said]
    assert sorted(links) == ["s-1", "s-1", "s-2", "s-2"]
    assert links[-1] == "s-2"


def test_answers_are_never_spoiled(sandbox: Sandbox) -> None:
    session = connect(sandbox)
    tap = Tap()
    sandbox.streams.join("bybit", "/v5/private", session, tap, NOW)
    sandbox.faults.add(FaultRule(kind=FaultKind.STREAM_LOSE), NOW)
    for answer in session.received('{"op": "ping", "req_id": "r"}', NOW):
        sandbox.streams.answer(tap, answer, NOW)  # type: ignore[arg-type]  # no request
    assert tap.said == [
        ({"op": "pong", "args": [str(NOW)], "conn_id": "sandbox-1", "req_id": "r"}, 0)
    ]


@pytest.mark.parametrize(
    ("message", "ok"),
    [
        ('{"op": "subscribe", "args": ["order"]}', False),
        ('{"op": "auth", "args": ["nobody", 1, "x"]}', False),
        ('{"op": "auth", "args": ["other-key", 1700000001000, "bad"]}', False),
        ('{"op": "auth", "args": ["other-key"]}', False),
        ('{"op": "nonsense"}', False),
        ("no json", False),
        ("[]", False),
    ],
)
def test_what_is_refused(sandbox: Sandbox, message: str, ok: bool) -> None:  # noqa: FBT001
    (answer,) = connect(sandbox).received(message, NOW)
    assert orjson.loads(answer.body)["success"] is ok  # type: ignore[union-attr]  # a frame


def test_a_reset_cuts_all_streams(sandbox: Sandbox) -> None:
    tap = listen(sandbox)
    sandbox.reset()
    assert not tap.stands
    assert not sandbox.streams.busy


SECRET = "testsecret-abcdef-0123456789"
VECTORS = [
    (
        "bybit",
        "/v5/private",
        {
            "op": "auth",
            "args": [
                "TESTKEY123456",
                1700000010000,
                "8cf3342b188328a6332ef6066c44591e24f38096c0f3cffdbc1ad2773fab20bb",
            ],
        },
    ),
    (
        "mexc",
        "/edge",
        {
            "method": "login",
            "param": {
                "apiKey": "mx0TESTKEY123",
                "reqTime": "1700000000000",
                "signature": "c26ec57aa74d818d09bd2984a963c0c74e95e6685f37d9fcad30b4746d1003e3",
            },
        },
    ),
    (
        "binance",
        "/ws-fapi/v1",
        {
            "id": "r",
            "method": "order.status",
            "params": {
                "apiKey": "TESTKEY123456",
                "origClientOrderId": "tw-0001",
                "symbol": "BTCUSDT",
                "timestamp": NOW,
                "signature": "193a86a4e5cf676742081e08aa20edd06e4aadd808e4ee53e52ec43ecb37d7f8",
            },
        },
    ),
]


@pytest.mark.parametrize(("venue", "path", "message"), VECTORS)
@pytest.mark.parametrize("right", [True, False])
def test_known_signatures_are_taken(
    sandbox: Sandbox,
    venue: str,
    path: str,
    message: dict[str, Any],
    right: bool,  # noqa: FBT001 - a table column
) -> None:
    key = "mx0TESTKEY123" if venue == "mexc" else "TESTKEY123456"
    secret = SECRET if right else SECRET[:-1]
    keys = Credentials(name="known", key=key, secret=secret)
    sandbox.add_account(venue, keys, balance=Decimal(1))
    (answer,) = connect(sandbox, path, venue).received(orjson.dumps(message).decode(), NOW)
    if isinstance(answer, Ask):
        taken = True
    else:
        said = orjson.loads(answer.body)
        taken = said.get("success") is True or said.get("data") == "success"
    assert taken is right
