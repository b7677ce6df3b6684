"""What every error of decoding must be, for the tests of decoding."""

from __future__ import annotations

import re
import time

import pytest

from consumer.contract.decoding import decode
from consumer.errors import MalformedMessage
from tests.fakes.messages import MAX_BYTES

LONGEST = 2000  # characters of an error: it goes into log lines and headers


def fault(raw: bytes | str, max_bytes: int = MAX_BYTES) -> MalformedMessage:
    """Decode what must not be decoded, and hold what every error must be."""
    began = time.perf_counter()
    with pytest.raises(MalformedMessage) as caught:
        decode(raw.encode() if isinstance(raw, str) else raw, max_bytes)
    assert time.perf_counter() - began < 2
    check_error(caught.value)
    return caught.value


def check_error(error: MalformedMessage) -> None:
    """An error can go into a header, a log line and a database column."""
    text = str(error)
    assert text
    assert len(text) <= LONGEST
    assert text.encode().decode() == text
    assert "\x00" not in text
    assert re.fullmatch(r"[A-Z0-9_]+", error.code)
    assert error.request_id is None or error.request_id.isprintable()


def raw(fields: str) -> str:
    """A message's text with some fields written by hand."""
    return (
        f'{{"requestId": "r-1", "action": "LONG", "symbol": "BTCUSDT", "quantity": 0.005{fields}}}'
    )
