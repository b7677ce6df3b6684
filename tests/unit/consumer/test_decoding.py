"""From bytes to a message, or to an error that tells the producer what to mend."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from consumer.contract.decoding import decode, request_id_of
from tests.fakes.messages import MAX_BYTES, body, message
from tests.unit.consumer.decoding_checks import fault, raw

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
