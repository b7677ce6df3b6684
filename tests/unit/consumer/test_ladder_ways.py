"""The broker's shape: each message's way through nacks, for any ladder, by its bindings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from consumer.queue.topology import UNANSWERED_MOST, BindingSpec, QueueSpec, Topology, draw
from consumer.settings import BrokerSettings, parse_delay

if TYPE_CHECKING:
    from collections.abc import Iterable

QUEUE = "trade-execution"
EXCHANGE = "trade"
UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
MOST = 24 * 3_600_000

DELAYS = st.builds("{}{}".format, st.integers(1, 59), st.sampled_from(["ms", "s", "m"]))
LADDERS = st.lists(DELAYS, min_size=1, max_size=20).map(tuple)


def topology(delays: Iterable[str]) -> Topology:
    return Topology(QUEUE, EXCHANGE, tuple(delays))


def matches(pattern: str, key: str) -> bool:
    """Match a routing key as a topic exchange does: `*` is exactly one word."""
    expression = r"\.".join(
        "[^.]+" if word == "*" else re.escape(word) for word in pattern.split(".")
    )
    return re.fullmatch(expression, key) is not None


@dataclass
class Broker:
    """The bindings and queues, and where a message goes by them."""

    bindings: set[BindingSpec]
    queues: dict[str, QueueSpec]

    @classmethod
    def of(cls, *topologies: Topology) -> Broker:
        return cls(
            {binding for one in topologies for binding in one.bindings},
            {queue.name: queue for one in topologies for queue in one.queues},
        )

    def route(self, exchange: str, key: str) -> list[str]:
        """The queues that get a copy."""
        fanout = exchange.endswith(".dead")
        return sorted(
            {
                binding.queue
                for binding in self.bindings
                if binding.exchange == exchange and (fanout or matches(binding.key, key))
            }
        )

    def dead_letter(self, queue: str, key: str) -> tuple[str, list[str], str]:
        """Where a message goes that a queue gives up: exchange, queues, routing key."""
        arguments = self.queues[queue].arguments
        exchange = str(arguments["x-dead-letter-exchange"])
        key = str(arguments.get("x-dead-letter-routing-key", key))
        return exchange, self.route(exchange, key), key


def journey(broker: Broker, ladder: Topology) -> tuple[list[str], list[int]]:
    """Publish a message and nack it whenever it is delivered.

    Returns:
        The queues it waited in, the dead letters last, and the attempts it was delivered as.
    """
    key = QUEUE
    assert broker.route(EXCHANGE, key) == [QUEUE]
    waited: list[str] = []
    attempts: list[int] = []
    while True:
        attempts.append(ladder.attempt(key))
        assert len(attempts) <= 30, "going round in circles"
        _, queues, key = broker.dead_letter(QUEUE, key)
        assert len(queues) == 1, "exactly one copy, or it is lost or doubled"
        waited += queues
        if queues == [ladder.dead_letter_queue]:
            return waited, attempts
        _, queues, key = broker.dead_letter(queues[0], key)
        assert queues == [QUEUE]


def check(broker: Broker, ladder: Topology) -> None:
    """Every promise about a ladder, held against what the broker would do."""
    waited, attempts = journey(broker, ladder)
    rungs = len(ladder.delays)
    assert waited == [*ladder.rung_queues, ladder.dead_letter_queue]
    assert attempts == list(range(1, rungs + 2))
    assert [ladder.is_last(attempt) for attempt in attempts] == [False] * rungs + [True]
    keys = [QUEUE, *(f"retry.{number}" for number in range(1, rungs + 1))]
    for key in keys:
        assert len(broker.route(ladder.retry_exchange, key)) == 1
    assert broker.route(ladder.dead_exchange, QUEUE) == [ladder.dead_letter_queue]


@given(LADDERS)
@example(("30s", "60s", "5m", "15m", "30m"))
@example(("1s",) * 20)
def test_a_nack_climbs_one_rung_and_the_last_one_ends_among_the_dead(
    delays: tuple[str, ...],
) -> None:
    check(Broker.of(topology(delays)), topology(delays))


@given(LADDERS)
def test_each_rung_waits_as_long_as_it_says(delays: tuple[str, ...]) -> None:
    ladder = topology(delays)
    ttl = {queue.name: queue.arguments.get("x-message-ttl") for queue in ladder.queues}
    for name, delay in zip(ladder.rung_queues, delays, strict=True):
        assert f".{delay}" in name
        match = re.fullmatch(r"(\d+)(\w+)", delay)
        assert match is not None
        assert ttl[name] == int(match[1]) * UNITS[match[2]]
    assert ttl[QUEUE] is None
    assert ttl[ladder.dead_letter_queue] is None


@given(st.integers(1, MOST))
@example(1001)
@example(1009)
def test_a_delay_in_milliseconds_is_not_rounded(milliseconds: int) -> None:
    (queue,) = (
        queue
        for queue in topology((f"{milliseconds}ms",)).queues
        if "x-message-ttl" in queue.arguments
    )
    assert queue.arguments["x-message-ttl"] == milliseconds


@given(LADDERS)
def test_every_queue_is_safe_and_named_once(delays: tuple[str, ...]) -> None:
    ladder = topology(delays)
    names = [queue.name for queue in ladder.queues]
    assert len(names) == len(set(names)) == len(delays) + 2
    exchanges = {exchange.name for exchange in ladder.exchanges}
    for queue in ladder.queues:
        assert queue.arguments["x-queue-type"] == "quorum"
        if "x-dead-letter-exchange" in queue.arguments:
            assert queue.arguments["x-dead-letter-strategy"] == "at-least-once"
            assert queue.arguments["x-overflow"] == "reject-publish"
            assert queue.arguments["x-dead-letter-exchange"] in exchanges
    for binding in ladder.bindings:
        assert binding.queue in names
        assert binding.exchange in exchanges
    assert "x-dead-letter-routing-key" not in names_to_queues(ladder)[QUEUE].arguments


def names_to_queues(ladder: Topology) -> dict[str, QueueSpec]:
    return {queue.name: queue for queue in ladder.queues}


@given(LADDERS)
def test_a_message_whose_consumers_all_died_is_left_to_the_worker(delays: tuple[str, ...]) -> None:
    main = names_to_queues(topology(delays))[QUEUE]
    limit = main.arguments["x-delivery-limit"]
    assert isinstance(limit, int)
    assert limit > 1000 * UNANSWERED_MOST  # the broker would lose what meets its limit
    assert main.arguments["x-dead-letter-exchange"] == topology(delays).retry_exchange


# A ladder that replaces another.


def clash(new: Topology, old: Topology) -> bool:
    """True if a queue of both has other arguments in one than in the other."""
    ours = names_to_queues(new)
    return any(ours.get(queue.name, queue).arguments != queue.arguments for queue in old.queues)


@given(LADDERS, LADDERS)
@example(("30s", "60s"), ("30s",))
@example(("30s",), ("30s", "60s"))
@example(("1s", "1s"), ("1s",))
@example(("5m", "30s"), ("30s", "5m"))
def test_after_a_change_of_the_ladder_the_new_one_holds_alone(
    new_delays: tuple[str, ...], old_delays: tuple[str, ...]
) -> None:
    new, old = topology(new_delays), topology(old_delays)
    broker = Broker.of(old, new)
    broker.queues |= names_to_queues(new)
    broker.bindings -= set(new.stale_bindings(old))
    check(broker, new)
    assert set(new.bindings) <= broker.bindings


@given(st.lists(LADDERS, min_size=1, max_size=4), LADDERS)
def test_after_any_number_of_changes_as_well(
    history: list[tuple[str, ...]], new_delays: tuple[str, ...]
) -> None:
    new = topology(new_delays)
    older = [topology(delays) for delays in history]
    broker = Broker.of(*older, new)
    broker.queues |= names_to_queues(new)
    for old in older:
        broker.bindings -= set(new.stale_bindings(old))
    check(broker, new)


@given(LADDERS, LADDERS)
def test_what_waits_in_an_old_queue_comes_back_and_goes_on_in_the_new_ladder(
    new_delays: tuple[str, ...], old_delays: tuple[str, ...]
) -> None:
    new, old = topology(new_delays), topology(old_delays)
    broker = Broker.of(old, new)
    broker.bindings -= set(new.stale_bindings(old))
    for number, name in enumerate(old.rung_queues, start=1):
        _, queues, key = broker.dead_letter(name, QUEUE)
        assert queues == [QUEUE]
        if broker.queues[name] == names_to_queues(old)[name]:
            assert key == f"retry.{number}"
        attempt = new.attempt(key)
        # A nack of it finds one queue, or it is the last attempt and nobody nacks.
        assert new.is_last(attempt) or len(broker.route(new.retry_exchange, key)) == 1


@given(LADDERS)
def test_nothing_is_stale_in_the_same_ladder(delays: tuple[str, ...]) -> None:
    assert topology(delays).stale_bindings(topology(delays)) == ()


@given(LADDERS, LADDERS)
@example(("5m", "30s"), ("30s", "5m"))
@example(("30s",), ("30s", "30s"))
def test_two_ladders_clash_only_where_a_delay_changed_its_rung(
    new_delays: tuple[str, ...], old_delays: tuple[str, ...]
) -> None:
    """A queue's name has its delay, its arguments have its rung.

    A clash is refused by the broker when the new ladder is declared, so nothing is lost by it.
    """
    new, old = topology(new_delays), topology(old_delays)
    rung = {name: number for number, name in enumerate(old.rung_queues)}
    moved = [name for n, name in enumerate(new.rung_queues) if rung.get(name, n) != n]
    assert clash(new, old) == bool(moved)


# Attempts.


@pytest.mark.parametrize(
    ("key", "attempt"),
    [
        (QUEUE, 1),
        ("", 1),
        ("anything.else", 1),
        ("retry", 1),
        ("retry.", 1),
        ("retry.x", 1),
        ("retry.-1", 1),
        ("retry.1.2", 1),
        ("retry.1", 2),
        ("retry.20", 21),
        ("retry.99", 100),
    ],
)
def test_the_routing_key_tells_the_attempt(key: str, attempt: int) -> None:
    assert topology(("30s",)).attempt(key) == attempt


@given(LADDERS, st.text(max_size=255))
def test_any_routing_key_is_some_attempt(delays: tuple[str, ...], key: str) -> None:
    assert topology(delays).attempt(key) >= 1


def test_a_message_from_beyond_the_ladder_is_on_its_last_attempt() -> None:
    """After a ladder was shortened: nobody nacks it into an exchange that has no queue for it."""
    short = topology(("30s",))
    assert short.is_last(short.attempt("retry.5"))


# Delays and settings.


@given(st.integers(1, 10**9 - 1), st.sampled_from(sorted(UNITS)))
def test_a_delay_is_exact_or_refused(number: int, unit: str) -> None:
    milliseconds = number * UNITS[unit]
    if milliseconds > MOST:
        with pytest.raises(ValueError, match="is out of range; a retry delay is 1ms to 24h"):
            parse_delay(f"{number}{unit}")
    else:
        assert parse_delay(f"{number}{unit}") == timedelta(milliseconds=milliseconds)


@given(st.text(max_size=12))
@example("٣s")
@example("30 s")
@example("30s\n")
@example("1.5s")
@example("-1s")
@example("30S")
@example("1d")
@example("")
def test_anything_else_is_no_delay(text: str) -> None:
    assume(re.fullmatch(r"[0-9]{1,9}(ms|s|m|h)", text) is None)
    with pytest.raises(ValueError, match="write it as 500ms, 30s, 5m or 1h"):
        parse_delay(text)


@pytest.mark.parametrize("text", ["0s", "0ms", "25h", "86400001ms"])
def test_a_delay_of_nothing_or_of_more_than_a_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="1ms to 24h"):
        parse_delay(text)


def test_settings_make_a_topology() -> None:
    made = Topology.of(BrokerSettings(retry_delays=" 30s, 60s ,5m,"))
    assert made.delays == ("30s", "60s", "5m")
    assert made.rung_queues[1].endswith(".retry.60s")


@pytest.mark.parametrize(
    ("ladder", "says"),
    [
        ("", "1 to 20 delays separated by commas"),
        (" , ", "1 to 20 delays separated by commas"),
        (",".join(["1s"] * 21), "1 to 20 delays separated by commas"),
        ("30s,soon", "'soon' is no delay; write it as"),
        ("30s,48h", "'48h' is out of range"),
    ],
)
def test_a_ladder_that_is_none_is_refused(ladder: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        BrokerSettings(retry_delays=ladder)


# The drawing.


@given(LADDERS)
def test_the_drawing_shows_every_queue_and_exchange(delays: tuple[str, ...]) -> None:
    ladder = topology(delays)
    drawing = draw(ladder)
    for queue in ladder.queues:
        assert queue.name in drawing
    for exchange in ladder.exchanges:
        assert exchange.name in drawing
    for binding in ladder.bindings:
        assert binding.key in drawing
