"""The messages of a chaos run: from a seed, all kinds among them, and what they claim to be."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from consumer.contract.decoding import decode
from consumer.errors import MalformedMessage
from tests.chaos.traffic import POISON, SYMBOLS, Kind, Message, stream
from tests.fakes.messages import MAX_BYTES

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
PRICES = {symbol: Decimal(100) for symbol, _, _ in SYMBOLS}


def made(seed: int, intents: int) -> list[Message]:
    messages = stream(seed, intents, PRICES)
    for message in messages:
        if message.again is not None:
            message.body = messages[message.again].body
        message.made(NOW)
    return messages


def test_a_seed_tells_every_byte() -> None:
    assert [one.body for one in made(7, 300)] == [one.body for one in made(7, 300)]
    assert [one.body for one in made(7, 300)] != [one.body for one in made(8, 300)]


def test_every_kind_is_there_and_the_intents_are_as_many_as_asked_for() -> None:
    messages = made(7, 2000)

    kinds = Counter(message.kind for message in messages)
    assert set(kinds) == set(Kind)
    assert sum(message.is_intent for message in messages) == 2000
    assert len({message.request_id for message in messages if message.is_intent}) == 2000


@pytest.mark.parametrize("seed", range(3))
def test_poison_can_not_be_read_and_everything_else_can(seed: int) -> None:
    for message in made(seed, 300):
        if message.kind in POISON:
            with pytest.raises(MalformedMessage):
                decode(message.body, MAX_BYTES)
        else:
            assert decode(message.body, MAX_BYTES).request_id == message.request_id
