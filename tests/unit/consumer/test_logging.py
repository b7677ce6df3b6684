"""Log lines: valid JSON, no empty fields, the level kept, and never an error of their own."""

from __future__ import annotations

import io
import json
import logging
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.settings import LogFormat
from consumer.telling.logs import _AsOurs, _Prepared, configure, to_json
from consumer.telling.redaction import Scrubber

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class Output(io.TextIOWrapper):
    """A standard output that keeps what is written."""

    def __init__(self, raw: io.BytesIO | None = None, *, terminal: bool = False) -> None:
        self.raw_bytes = raw if raw is not None else io.BytesIO()
        self.terminal = terminal
        super().__init__(self.raw_bytes, encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return self.terminal

    def text(self) -> str:
        return self.raw_bytes.getvalue().decode()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]


class Broken(io.BytesIO):
    """A file that can't be written to any more."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, _data: object) -> int:
        raise self.error


@contextmanager
def kept_configuration() -> Iterator[None]:
    """Put structlog back as it was; other tests catch their log lines by it."""
    before = structlog.get_config()
    try:
        yield
    finally:
        structlog.configure(**before)


@pytest.fixture
def logging_to(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Output]]:
    """Configure logging as a process would, with its standard output replaced."""

    def begin(
        level: str = "INFO",
        log_format: LogFormat = LogFormat.JSON,
        output: Output | None = None,
        replica: str | None = None,
        secrets: Sequence[str] = (),
    ) -> Output:
        out = output if output is not None else Output()
        monkeypatch.setattr(sys, "stdout", out)
        configure(level, log_format, replica=replica, scrub=Scrubber(secrets))
        return out

    with kept_configuration():
        yield begin


def logger() -> Any:  # noqa: ANN401 - structlog types its loggers so
    """A logger of the test's own: the modules' loggers must not remember this configuration."""
    return structlog.get_logger("test")


def test_a_line_is_one_json_object_with_level_and_time(
    logging_to: Callable[..., Output],
) -> None:
    out = logging_to()
    logger().info("settled", request_id="r-1", quantity=Decimal("0.005"), attempt=2)
    logger().warning("two\nlines \x1b[31m", at=datetime(2026, 1, 31, tzinfo=UTC))
    first, second = out.lines()
    assert first["event"] == "settled"
    assert first["level"] == "info"
    assert first["quantity"] == "0.005"
    assert first["attempt"] == 2
    assert datetime.fromisoformat(first["timestamp"]).tzinfo is not None
    assert second["event"] == "two\nlines \x1b[31m"
    assert second["level"] == "warning"
    assert "\x1b" not in out.text()


def test_fields_without_a_value_are_left_out(logging_to: Callable[..., Output]) -> None:
    out = logging_to()
    logger().info("settled", error=None, reason="", attempt=0, stale=False)
    (line,) = out.lines()
    assert "error" not in line
    assert (line["reason"], line["attempt"], line["stale"]) == ("", 0, False)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("DEBUG", ["debug", "info", "warning", "error"]),
        ("INFO", ["info", "warning", "error"]),
        ("WARNING", ["warning", "error"]),
        ("ERROR", ["error"]),
    ],
)
def test_the_level_filters(
    level: str, expected: list[str], logging_to: Callable[..., Output]
) -> None:
    out = logging_to(level)
    log = logger()
    for method in (log.debug, log.info, log.warning, log.error):
        method("said")
    assert [line["level"] for line in out.lines()] == expected


def test_an_exception_is_told_in_its_line(logging_to: Callable[..., Output]) -> None:
    out = logging_to()
    try:
        int("what went wrong")
    except ValueError:
        logger().exception("execution failed", request_id="r-1")
    (line,) = out.lines()
    assert "ValueError: invalid literal" in line["exception"]
    assert line["level"] == "error"


@pytest.mark.parametrize("log_format", [LogFormat.JSON, LogFormat.CONSOLE])
def test_a_secret_in_an_exception_or_in_what_a_library_says_is_hidden(
    logging_to: Callable[..., Output], log_format: LogFormat
) -> None:
    secret = 'unheard"word of the key ' * 8  # long enough to be folded somewhere
    out = logging_to(log_format=log_format, secrets=[secret])
    said = {"name": "a.library", "levelno": logging.ERROR, "msg": "it has sent %s"}

    def fails() -> None:
        held = f"held: {secret}"
        raise RuntimeError(f"outside: {quote(secret, safe='')}") from ValueError(held)

    try:
        fails()
    except RuntimeError:
        logger().exception("execution failed", error=secret, nested={secret: [secret]})
        _AsOurs().handle(logging.makeLogRecord({**said, "args": (secret,)}))
    assert "RuntimeError: outside: ***" in out.text()
    assert "it has sent ***" in out.text()
    assert "unheard" not in out.text()


def test_every_line_names_the_replica(logging_to: Callable[..., Output]) -> None:
    out = logging_to(replica="worker-7")
    logger().info("said")
    assert out.lines()[0]["replica"] == "worker-7"


def test_auto_is_json_unless_somebody_reads_along(logging_to: Callable[..., Output]) -> None:
    piped = logging_to(log_format=LogFormat.AUTO)
    logger().info("said")
    assert piped.lines()[0]["event"] == "said"
    terminal = logging_to(log_format=LogFormat.AUTO, output=Output(terminal=True))
    logger().info("said")
    assert "said" in terminal.text()
    assert not terminal.text().startswith("{")


def test_a_console_line_leaves_out_what_has_no_value(logging_to: Callable[..., Output]) -> None:
    out = logging_to(log_format=LogFormat.CONSOLE)
    logger().info("said", error=None, reason="WHY")
    assert "reason" in out.text()
    assert "None" not in out.text()


@pytest.mark.parametrize(
    "value", ["\ud800", 2**70, {1: "a"}, object(), b"\xff", {"a", "b"}, float("inf")]
)
def test_a_value_that_json_does_not_have_is_written_all_the_same(
    value: object, logging_to: Callable[..., Output]
) -> None:
    out = logging_to()
    logger().info("said", value=value)
    (line,) = out.lines()
    assert line["event"] == "said"
    assert "value" in line


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), BrokenPipeError(), ValueError("closed file")]
)
def test_a_line_that_cannot_be_written_is_lost_quietly(
    error: Exception, logging_to: Callable[..., Output]
) -> None:
    logging_to(output=Output(Broken(error)))
    logger().info("said")
    logger().error("said")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_categories=[]))
    | st.decimals()
    | st.binary(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children),
    max_leaves=6,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(st.characters(exclude_categories=[]), max_size=10), VALUES))
def test_any_event_is_one_line_of_json(event: dict[str, Any]) -> None:
    line = to_json(_Prepared(None)(None, "info", event))
    assert b"\n" not in line
    read = json.loads(line)
    kept = {key for key, value in event.items() if value is not None}
    assert len(read) == len(kept | {"timestamp"})
