"""What decoding accepts, what it makes of it, and that anything else is told as malformed."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.contract.decoding import decode
from consumer.contract.message import TradeMessage
from consumer.errors import MalformedMessage
from providers.orders import Action, OrderType, TimeInForce
from storage.identity import fingerprint
from tests.fakes.messages import MAX_BYTES, message
from tests.unit.consumer.decoding_checks import check_error, raw

# What is accepted.


def test_the_smallest_message_gets_its_defaults() -> None:
    small = decode(b'{"requestId":"r","action":"LONG","symbol":"BTCUSDT","quantity":1}', MAX_BYTES)
    assert small.exchange is None
    assert small.order_type is OrderType.MARKET
    assert small.account == "default"
    assert not small.test
    assert (small.leverage, small.price, small.expires_at) == (None, None, None)


@pytest.mark.parametrize(
    "spelling", ["BTCUSDT", "BTC-USDT", "BTC_USDT", "btc/usdt", "btcusdt", "Btc-uSdT"]
)
def test_every_spelling_of_a_symbol_means_the_same(spelling: str) -> None:
    assert message(symbol=spelling).symbol == "BTCUSDT"


@pytest.mark.parametrize("upper", [True, False])
def test_words_are_read_in_any_case(upper: bool) -> None:  # noqa: FBT001 - a parameter of the test
    words = {
        "exchange": "Fake",
        "action": "Short",
        "orderType": "Limit",
        "timeInForce": "Post_Only",
        "marginMode": "Isolated",
        "quantityUnit": "Quote",
    }
    cased = {name: word.upper() if upper else word.lower() for name, word in words.items()}
    read = message(**cased, price=1)
    assert read == message(**words, price=1)
    assert read.exchange == "fake"
    assert read.action is Action.SHORT
    assert read.time_in_force is TimeInForce.POST_ONLY


@pytest.mark.parametrize(
    "written",
    [
        '"2026-01-31T12:00:00Z"',
        '"2026-01-31T13:30:00+01:30"',
        '"2026-01-31T12:00:00.000+00:00"',
        '"20260131T120000Z"',
        "1769860800000",
        "1.7698608e12",
    ],
)
def test_an_instant_is_read_in_any_accepted_form(written: str) -> None:
    read = decode(raw(f', "queuedAt": {written}').encode(), MAX_BYTES)
    assert read.queued_at == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert read.queued_at.tzinfo is UTC


@pytest.mark.parametrize("written", ["10", "10.0", "1e1", "100e-1"])
def test_a_whole_number_may_be_written_like_a_decimal(written: str) -> None:
    assert decode(raw(f', "leverage": {written}').encode(), MAX_BYTES).leverage == 10


def test_the_price_of_a_market_order_is_kept_but_not_sent() -> None:
    market = message(price=20000)
    assert market.trade.price is None
    assert market.terms["price"] == 20000
    assert message(price=20000, orderType="LIMIT").trade.price == 20000


def test_when_it_was_queued_does_not_make_another_trade() -> None:
    first = message(queuedAt="2026-01-31T12:00:00Z")
    again = message(queuedAt="2026-01-31T12:05:00Z")
    assert fingerprint(first.terms) == fingerprint(again.terms)
    assert fingerprint(first.terms) != fingerprint(message(expiresAt=1769860800000).terms)


# Properties.

DIGITS = st.integers(min_value=1, max_value=10**28 - 1)
NUMBERS = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places),
    DIGITS,
    st.integers(min_value=0, max_value=28),
).filter(lambda number: abs(number.adjusted()) <= 20)


def spellings(number: Decimal) -> st.SearchStrategy[str]:
    """The ways to write a number in JSON, all of the same value."""
    plain = format(number, "f")
    short = f"{number:e}"
    ways = [plain, f'"{plain}"', short, f'"{short}"', plain + ("0" if "." in plain else ".0")]
    return st.sampled_from([way for way in ways if len(way) <= 60])


@st.composite
def written_numbers(draw: st.DrawFn) -> tuple[Decimal, str]:
    number = draw(NUMBERS)
    return number, draw(spellings(number))


INSTANTS = st.datetimes(
    min_value=datetime(1980, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001 - as above
    timezones=st.sampled_from([UTC]),
).map(lambda instant: instant.isoformat())
REQUEST_IDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=128)


@st.composite
def valid_fields(draw: st.DrawFn) -> dict[str, str]:
    """The fields of a valid message, each as JSON text."""
    action = draw(st.sampled_from(Action))
    limit = draw(st.booleans())
    number = NUMBERS.flatmap(spellings)
    fields = {
        "requestId": json.dumps(draw(REQUEST_IDS)),
        "action": json.dumps(action.value),
        "symbol": json.dumps(draw(st.from_regex(r"[A-Za-z0-9]{1,10}[-_/]?USDT", fullmatch=True))),
        "quantity": draw(number),
    }
    optional: dict[str, st.SearchStrategy[str]] = {
        "exchange": st.sampled_from(['"bybit"', '"BINANCE"', "null"]),
        "leverage": st.integers(1, 125).map(str),
        "queuedAt": INSTANTS.map(json.dumps),
        "expiresAt": st.integers(10**12, 2 * 10**12).map(str),
        "marginMode": st.sampled_from(['"CROSS"', '"isolated"']),
        "account": st.just('"default"'),
        "test": st.sampled_from(["true", "false"]),
    }
    if action.opens:
        optional |= {
            "takeProfit": number,
            "stopLoss": number,
            "quantityUnit": st.sampled_from(['"base"', '"quote"']),
        }
    if limit:
        fields |= {"orderType": '"LIMIT"', "price": draw(number)}
        optional["timeInForce"] = st.sampled_from(['"GTC"', '"ioc"', '"FOK"', '"POST_ONLY"'])
    else:
        optional["price"] = number
    for name, values in optional.items():
        if draw(st.booleans()):
            fields[name] = draw(values)
    return fields


def joined(fields: dict[str, str]) -> bytes:
    text = ",".join(f"{json.dumps(name)}:{value}" for name, value in fields.items())
    return f"{{{text}}}".encode()


def outcome(raw_body: bytes) -> TradeMessage | MalformedMessage:
    """Decode; anything but a message or a `MalformedMessage` is a fault of ours."""
    try:
        return decode(raw_body, MAX_BYTES)
    except MalformedMessage as error:
        check_error(error)
        return error


def storable(value: object) -> bool:
    """True if PostgreSQL takes the value as text and jsonb."""
    text = orjson.dumps(value).decode()  # refuses half surrogate pairs by itself
    return "\\u0000" not in text and "\x00" not in text


@given(written_numbers())
def test_a_number_survives_exactly(pair: tuple[Decimal, str]) -> None:
    number, written = pair
    read = decode(
        joined(
            {
                "requestId": '"r"',
                "action": '"LONG"',
                "symbol": '"BTCUSDT"',
                "quantity": written,
                "price": written,
                "takeProfit": written,
            }
        ),
        MAX_BYTES,
    )
    assert read.quantity == read.price == read.take_profit == number
    assert read.trade.quantity == number
    assert Decimal(str(read.document["quantity"])) == number
    assert "e" not in str(read.document["quantity"]).lower()


@given(valid_fields())
def test_a_document_is_the_message_again(fields: dict[str, str]) -> None:
    read = decode(joined(fields), MAX_BYTES)
    again = decode(orjson.dumps(read.document), MAX_BYTES)
    assert again == read
    assert again.document == read.document
    assert fingerprint(again.terms) == fingerprint(read.terms)
    assert storable(read.document)
    assert storable({key: str(value) for key, value in read.terms.items()})


@given(valid_fields(), st.randoms(use_true_random=False))
def test_the_order_of_the_fields_does_not_matter(fields: dict[str, str], random: Any) -> None:  # noqa: ANN401 - random.Random has no public alias here
    names = list(fields)
    random.shuffle(names)
    assert decode(joined({name: fields[name] for name in names}), MAX_BYTES) == decode(
        joined(fields), MAX_BYTES
    )


@given(st.binary(max_size=300))
@example(b"\xef\xbb\xbf")
@example(b'{"requestId": "\\ud800\\udc00"}')
def test_any_bytes_are_a_message_or_a_malformed_one(raw_body: bytes) -> None:
    outcome(raw_body)


ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=20)
JSON_TEXT = st.recursive(
    st.one_of(
        st.sampled_from(["null", "true", "false", "NaN", "Infinity", "-Infinity", "-0", "1e400"]),
        st.integers().map(str),
        st.floats().map(repr),
        st.decimals(allow_nan=False, allow_infinity=False).map(str),
        st.builds("{}e{}".format, st.integers(-9, 9), st.integers(-(10**20), 10**20)),
        ANY_TEXT.map(json.dumps),
        st.sampled_from(['"LONG"', '"BTC-USDT"', '"quote"', '"2026-01-31T12:00:00Z"', '"0.005"']),
    ),
    lambda children: (
        st.lists(children, max_size=4).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(ANY_TEXT.map(json.dumps), children), max_size=4).map(
            lambda pairs: "{" + ",".join(f"{name}:{value}" for name, value in pairs) + "}"
        )
    ),
    max_leaves=8,
)
FIELD_NAMES = sorted(field.alias or name for name, field in TradeMessage.model_fields.items())


@given(JSON_TEXT)
def test_any_json_is_a_message_or_a_malformed_one(text: str) -> None:
    outcome(text.encode())


@given(
    valid_fields(),
    st.dictionaries(st.sampled_from([*FIELD_NAMES, "payload"]) | ANY_TEXT, JSON_TEXT, max_size=3),
    st.sets(st.sampled_from(FIELD_NAMES), max_size=2),
)
def test_a_valid_message_with_some_fields_changed(
    fields: dict[str, str], changed: dict[str, str], dropped: set[str]
) -> None:
    kept = {name: value for name, value in fields.items() if name not in dropped}
    read = outcome(joined({**kept, **changed}))
    if isinstance(read, TradeMessage):
        assert storable(read.document)
        assert read.quantity > 0
        assert decode(orjson.dumps(read.document), MAX_BYTES) == read


@given(
    valid_fields(),
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=3)),
        min_size=1,
        max_size=4,
    ),
)
def test_a_valid_message_with_some_bytes_changed(
    fields: dict[str, str], edits: list[tuple[int, int, bytes]]
) -> None:
    raw_body = joined(fields)
    for at, remove, put in edits:
        place = at % (len(raw_body) + 1)
        raw_body = raw_body[:place] + put + raw_body[place + remove :]
    read = outcome(raw_body)
    if isinstance(read, TradeMessage):
        assert storable(read.document)


@given(st.integers(-(10**6), 10**6), st.sampled_from(FIELD_NAMES), st.sampled_from("123456789"))
@example(99_999_999, "leverage", "1")
@example(-99_999_999, "leverage", "1")
@example(99_999_999, "queuedAt", "1")
def test_no_exponent_takes_long_in_any_field(exponent: int, field: str, digit: str) -> None:
    began = time.perf_counter()
    outcome(raw(f', "{field}": {digit}e{exponent}').encode())
    outcome(joined({field: f"{digit}e{exponent}"}))
    assert time.perf_counter() - began < 2
