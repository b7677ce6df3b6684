"""From bytes to a message, or to an error that tells the producer what to mend."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.decoding import decode, request_id_of
from consumer.errors import MalformedMessage
from consumer.message import TradeMessage
from providers.orders import Action, OrderType, TimeInForce
from storage.identity import fingerprint
from tests.fakes.messages import MAX_BYTES, body, message

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


# Bodies that are no JSON object.


@pytest.mark.parametrize(
    ("given_body", "code", "says"),
    [
        (b"", "NOT_JSON", "the body is empty; expected one JSON object"),
        (b" \r\n\t ", "NOT_JSON", "the body is empty; expected one JSON object"),
        (b"LONG 0.005 BTCUSDT", "NOT_JSON", "not JSON: Expecting value at character 0"),
        (b'{"requestId": "r-1",}', "NOT_JSON", "at character"),
        (b'{"requestId": "r-1"', "NOT_JSON", "at character 19"),
        (body() + b"{}", "NOT_JSON", "Extra data"),
        (b"{'requestId': 'r-1'}", "NOT_JSON", "double quotes at character 1"),
        (b'{"requestId": "\x01"}', "NOT_JSON", "control character at"),
        (b"\xef\xbb\xbf" + body(), "NOT_JSON", "byte order mark; leave it out"),
        (body().decode().encode("utf-16"), "NOT_UTF8", "not UTF-8: byte 0 is 0xff"),
        (b'{"requestId": "\xe9"}', "NOT_UTF8", "byte 15 is 0xe9"),
        (b'{"requestId": "\xed\xa0\x80"}', "NOT_UTF8", "byte 15 is 0xed"),
        (b"[]", "NOT_AN_OBJECT", "a JSON array; expected an object"),
        (b'["requestId"]', "NOT_AN_OBJECT", "a JSON array; expected an object"),
        (b"null", "NOT_AN_OBJECT", "a JSON null; expected an object"),
        (b"true", "NOT_AN_OBJECT", "a JSON boolean; expected an object"),
        (b"1", "NOT_AN_OBJECT", "a JSON number; expected an object"),
        (b"1e999999", "NOT_AN_OBJECT", "a JSON number; expected an object"),
        (b"NaN", "NOT_AN_OBJECT", "a JSON number; expected an object"),
        (b'"LONG"', "NOT_AN_OBJECT", "a JSON string; expected an object"),
        (b"[" * 60_000, "NOT_JSON", "nested too deeply; a trade message is one flat object"),
        (b'{"a":' * 13_000, "NOT_JSON", "nested too deeply; a trade message is one flat object"),
    ],
)
def test_a_body_that_is_no_object_is_told_why(given_body: bytes, code: str, says: str) -> None:
    error = fault(given_body)
    assert error.code == code
    assert says in str(error)
    assert error.request_id is None


def test_a_nested_bomb_of_any_size_is_refused() -> None:
    error = fault(b"[" * 100_000, max_bytes=1_000_000)
    assert "nested too deeply" in str(error)


def test_ten_megabytes_are_refused_unread() -> None:
    error = fault(b"\xff" * 10_000_000)
    assert error.code == "TOO_LARGE"
    assert "10000000 bytes; at most 65536" in str(error)


def test_the_largest_body_is_read_and_one_byte_more_is_not() -> None:
    largest = body() + b" " * (MAX_BYTES - len(body()))
    assert decode(largest, MAX_BYTES).request_id == "r-1"
    assert fault(largest + b" ").code == "TOO_LARGE"


def test_a_field_given_twice_is_named() -> None:
    error = fault(raw(', "quantity": 5, "symbol": "ETHUSDT"'))
    assert "quantity, symbol: given more than once" in str(error)


def test_many_fields_given_twice_are_cut_and_found_quickly() -> None:
    names = ",".join(f'"f{number}":1' for number in range(2800))
    error = fault("{" + names + "," + names + "}")
    assert "given more than once" in str(error)
    assert "and 2795 more" in str(error)


# One fault in one field.


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("quantity", "0", "Quantity parameter must be greater than zero."),
        ("quantity", "-0", "Quantity parameter must be greater than zero."),
        ("quantity", "0e10", "Quantity parameter must be greater than zero."),
        ("quantity", "-0.005", "Quantity parameter must be greater than zero."),
        ("quantity", '"0.000"', "Quantity parameter must be greater than zero."),
        ("quantity", "NaN", "is NaN, which JSON does not have; must be a number, such as 0.005"),
        ("quantity", "Infinity", "is Infinity, which JSON does not have"),
        ("quantity", "-Infinity", "is -Infinity, which JSON does not have"),
        ("quantity", '"NaN"', "must be a number, such as 0.005"),
        ("quantity", '"Infinity"', "must be a number, such as 0.005"),
        ("quantity", '"sNaN"', "must be a number, such as 0.005"),
        ("quantity", "1e999999", "is beyond 10^±"),
        ("quantity", "1e-999999", "is beyond 10^±"),
        ("quantity", "0e999999", "is beyond 10^±"),
        ("quantity", "1e9999999999999999999999", "is beyond 10^±"),
        ("quantity", "1e21", "is beyond 10^±20"),
        ("quantity", "1e-21", "is beyond 10^±20"),
        ("quantity", '"1e999999"', "must be a number, such as 0.005"),
        ("quantity", "1" * 5000, "is a number of 5000 characters; at most 64 are read"),
        ("quantity", "0." + "1" * 5000, "is a number of 5002 characters; at most 64 are read"),
        ("quantity", "0." + "1" * 31, "has more than 30 decimals"),
        ("quantity", '"0.' + "1" * 31 + '"', "must be a number, such as 0.005"),
        ("quantity", '"0,005"', "must be a number, such as 0.005"),
        ("quantity", '"0.005 "', "must be a number, such as 0.005"),
        ("quantity", '"0.005\\n"', "must be a number, such as 0.005"),
        ("quantity", '"1_000"', "must be a number, such as 0.005"),
        ("quantity", '".5"', "must be a number, such as 0.005"),
        ("quantity", '"5."', "must be a number, such as 0.005"),
        ("quantity", '"+5"', "must be a number, such as 0.005"),
        ("quantity", '"0x10"', "must be a number, such as 0.005"),
        ("quantity", '"1.5f"', "must be a number, such as 0.005"),
        ("quantity", '"٣"', "must be a number, such as 0.005"),
        ("quantity", '""', "must be a number, such as 0.005"),
        ("quantity", "true", "must be a number, not true or false"),
        ("quantity", "null", "must be a number, such as 0.005"),
        ("quantity", "[1]", "must be a number, such as 0.005"),
        ("quantity", "{}", "must be a number, such as 0.005"),
        ("price", "0", "must be greater than zero"),
        ("price", "-1", "must be greater than zero"),
        ("price", "NaN", "is NaN, which JSON does not have"),
        ("price", "true", "must be a number, not true or false"),
        ("takeProfit", "0", "must be greater than zero"),
        ("stopLoss", '"-20000"', "must be greater than zero"),
        ("leverage", "true", "must be a whole number, such as 10"),
        ("leverage", '"10"', "must be a whole number, such as 10"),
        ("leverage", "10.5", "must be a whole number, such as 10"),
        ("leverage", "0", "greater than or equal to 1"),
        ("leverage", "-1", "greater than or equal to 1"),
        ("leverage", "126", "less than or equal to 125"),
        ("leverage", "1e20", "less than or equal to 125"),
        ("leverage", "1e99999999", "is beyond 10^±"),
        ("leverage", "1e-99999999", "is beyond 10^±"),
        ("leverage", "[]", "must be a whole number, such as 10"),
        ("leverage", "NaN", "is NaN, which JSON does not have"),
        ("queuedAt", '"2026-01-31T12:00:00"', "needs a time zone, such as the Z"),
        ("queuedAt", '"2026-01-31"', "needs a time zone, such as the Z"),
        ("queuedAt", '"yesterday"', "must be ISO 8601, such as 2026-01-31T12:00:00Z"),
        ("queuedAt", '"1769860800000"', "must be ISO 8601, such as 2026-01-31T12:00:00Z"),
        ("queuedAt", "1769860800", "must be whole milliseconds since 1970, UTC"),
        ("queuedAt", "1769860800000.5", "must be whole milliseconds since 1970, UTC"),
        ("queuedAt", "1769860800000000", "must be whole milliseconds since 1970, UTC"),
        ("queuedAt", "-1769860800000", "must be whole milliseconds since 1970, UTC"),
        ("queuedAt", "1e99999999", "is beyond 10^±"),
        ("queuedAt", "true", "must be a time, not true or false"),
        ("expiresAt", "1e999999999999", "is beyond 10^±"),
        ("expiresAt", '"0001-01-01T00:00:00+14:00"', "must be within the years 1 to 9999"),
        ("expiresAt", '"9999-12-31T23:59:59-14:00"', "must be within the years 1 to 9999"),
        ("expiresAt", '"2026-02-30T00:00:00Z"', "must be ISO 8601"),
        ("expiresAt", '"\\ud800"', "must be ISO 8601"),
        ("expiresAt", "[]", "must be ISO 8601, such as 2026-01-31T12:00:00Z"),
        ("exchange", '"bybit\\n"', "pattern"),
        ("exchange", '"by bit"', "pattern"),
        ("exchange", '""', "pattern"),
        ("exchange", "5", "must be a text in quotes"),
        ("action", '"BUY"', "'LONG', 'SHORT', 'CLOSE_LONG', 'CLOSE_SHORT' or 'CLOSE'"),
        ("action", "5", "'LONG', 'SHORT', 'CLOSE_LONG', 'CLOSE_SHORT' or 'CLOSE'"),
        ("action", "null", "'LONG', 'SHORT', 'CLOSE_LONG', 'CLOSE_SHORT' or 'CLOSE'"),
        ("symbol", '"BTC USDT"', "for example BTCUSDT or BTC-USDT"),
        ("symbol", '"BTC--USDT"', "for example BTCUSDT or BTC-USDT"),
        ("symbol", '"\\ud800"', "for example BTCUSDT or BTC-USDT"),
        ("symbol", '"\\u0000"', "for example BTCUSDT or BTC-USDT"),
        ("symbol", "5", "must be a text in quotes"),
        ("orderType", '"STOP"', "'MARKET' or 'LIMIT'"),
        ("orderType", "null", "'MARKET' or 'LIMIT'"),
        ("orderType", '{"a": 1}', "'MARKET' or 'LIMIT'"),
        ("timeInForce", '"GTD"', "'GTC', 'IOC', 'FOK' or 'POST_ONLY'"),
        ("marginMode", '"HALF"', "'CROSS' or 'ISOLATED'"),
        ("quantityUnit", '"usdt"', "'base' or 'quote'"),
        ("account", '"other"', "'default'"),
        ("account", "1e9999999", "'default'"),
        ("test", '"true"', "must be true or false"),
        ("test", "1", "must be true or false"),
        ("requestId", '""', "at least 1 character"),
        ("requestId", f'"{"r" * 129}"', "at most 128 characters"),
        ("requestId", '"r\\u0000"', "must be printable text without spaces around it"),
        ("requestId", '"r\\u001b[31m"', "must be printable text without spaces around it"),
        ("requestId", '"r\\n"', "must be printable text without spaces around it"),
        ("requestId", '"r\\u202e"', "must be printable text without spaces around it"),
        ("requestId", '" r"', "must be printable text without spaces around it"),
        ("requestId", '"\\ud800"', "must be valid Unicode"),
        ("requestId", "5", "must be a text in quotes"),
        ("requestId", "null", "must be a text in quotes"),
        ("quantitty", "5", "unknown field"),
        ("request_id", '"r-1"', "unknown field"),
    ],
)
def test_a_fault_is_told_with_its_field(field: str, value: str, says: str) -> None:
    fields = {
        "requestId": '"r-1"',
        "action": '"LONG"',
        "symbol": '"BTCUSDT"',
        "quantity": "0.005",
        field: value,
    }
    text = "{" + ", ".join(f'"{name}": {written}' for name, written in fields.items()) + "}"
    error = fault(text)
    assert error.code == "VALIDATION_ERROR"
    assert str(error).startswith(f"{field}: ")
    assert says in str(error)
    assert field == "requestId" or error.request_id == "r-1"


@pytest.mark.parametrize("field", ["requestId", "action", "symbol", "quantity"])
def test_a_missing_field_is_named(field: str) -> None:
    error = fault(body(**{field: None}))
    assert f"{field}: is missing" in str(error)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"orderType": "LIMIT"}, "a LIMIT order needs a price"),
        ({"timeInForce": "GTC"}, "timeInForce is for LIMIT orders; a MARKET order is always IOC"),
        ({"action": "CLOSE", "takeProfit": 1}, "takeProfit and stopLoss are for LONG and SHORT"),
        ({"action": "CLOSE_LONG", "stopLoss": 1}, "takeProfit and stopLoss are for LONG and SHORT"),
        ({"action": "CLOSE_SHORT", "quantityUnit": "quote"}, "quantityUnit quote is for LONG"),
    ],
)
def test_fields_that_contradict_each_other_are_named(changes: dict[str, object], says: str) -> None:
    error = fault(body(**changes))
    assert says in str(error)
    assert error.request_id == "r-1"


def test_every_fault_is_told_at_once_but_not_more_than_five() -> None:
    error = fault(
        '{"requestId": 5, "symbol": "?", "quantity": 0, "price": 0, "leverage": 0, "x": 1}'
    )
    parts = str(error).split("; ")
    assert [part.split(":")[0] for part in parts[:2]] == ["requestId", "action"]
    assert parts[-1] == "and 2 more"
    assert len(parts) >= 6


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\\u0000", r"'\x00': unknown field"),
        ("\\u001b[2J", r"'\x1b[2J': unknown field"),
        ("", "'': unknown field"),
        ("x" * 5000, "x" * 40 + "…: unknown field"),
        ("\\ud800", "a field's name must be valid Unicode"),
    ],
)
def test_a_field_name_can_do_no_harm_in_the_error(name: str, shown: str) -> None:
    error = fault(raw(f', "{name}": 1'))
    assert shown in str(error)
    assert error.request_id == "r-1"


@pytest.mark.parametrize("name", ["\\ud800", "\\u0000", "x" * 20_000])
def test_nor_a_name_that_is_given_twice_or_beside_an_envelope(name: str) -> None:
    assert "given more than once" in str(fault(f'{{"{name}": 1, "{name}": 2}}'))
    assert "unknown field beside payload" in str(fault(f'{{"payload": {{}}, "{name}": 2}}'))


def test_the_input_is_not_repeated_in_the_error() -> None:
    assert "secret" not in str(fault(body(quantity="secret", leverage="secret", price="secret")))


# The REST envelope.


def test_an_envelope_is_opened() -> None:
    inner = json.loads(body(requestId=None))
    opened = decode(json.dumps({"requestId": "r-1", "payload": inner}).encode(), MAX_BYTES)
    assert opened == message()
    both = json.dumps({"requestId": "r-1", "payload": {**inner, "requestId": "r-1"}}).encode()
    assert decode(both, MAX_BYTES) == message()
    inside = json.dumps({"payload": {**inner, "requestId": "r-1"}}).encode()
    assert decode(inside, MAX_BYTES) == message()


@pytest.mark.parametrize(
    ("envelope", "says"),
    [
        ({"requestId": "r-1", "payload": {"requestId": "r-2"}}, "payload.requestId: differs"),
        ({"requestId": None, "payload": {"requestId": "r-2"}}, "payload.requestId: differs"),
        ({"requestId": "r-1", "payload": []}, "payload: is a JSON array; expected an object"),
        ({"requestId": "r-1", "payload": None}, "payload: is a JSON null; expected an object"),
        ({"requestId": "r-1", "payload": "{}"}, "payload: is a JSON string; expected an object"),
        ({"requestId": "r-1", "payload": 5}, "payload: is a JSON number; expected an object"),
        (
            {"requestId": "r-1", "payload": {}, "symbol": "X", "action": "LONG"},
            "action, symbol: unknown field beside payload; an envelope has requestId and payload",
        ),
        ({"requestId": "r-1", "payload": {}}, "action: is missing"),
        ({"payload": {"payload": {}}}, "payload: unknown field"),
        ({"payload": {}}, "requestId: is missing"),
    ],
)
def test_a_wrong_envelope_is_told_where(envelope: dict[str, object], says: str) -> None:
    error = fault(json.dumps(envelope))
    assert error.code == "VALIDATION_ERROR"
    assert says in str(error)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("r-1", "r-1"),
        ("r" * 128, "r" * 128),
        ("r" * 129, None),
        ("", None),
        ("r\n", None),
        ("\ud800", None),
        (Decimal(5), None),
        (None, None),
    ],
)
def test_a_request_id_is_read_from_what_is_malformed_otherwise(
    value: object, expected: str | None
) -> None:
    assert request_id_of({"requestId": value}) == expected


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
