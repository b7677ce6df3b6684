"""Logs: one JSON object a line on standard output, or readable lines on a terminal.

A line that can't be written (the disk is full, the reader of the pipe is gone) is lost; it must
not stop an order.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from consumer.settings import LogFormat
from consumer.telling.redaction import Scrubber
from consumer.watching.trail import with_ids

if TYPE_CHECKING:
    from structlog.typing import Processor


def configure(
    level: str,
    log_format: LogFormat,
    *,
    replica: str | None = None,
    scrub: Scrubber | None = None,
) -> None:
    """Set up logging for the process.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
        log_format: AUTO means console on a terminal and JSON elsewhere.
        replica: bound to every line, to tell processes apart.
        scrub: takes secrets out of every line.
    """
    hide = _Hide(scrub or Scrubber())
    number = logging.getLevelNamesMapping()[level]
    console = log_format is LogFormat.CONSOLE or (
        log_format is LogFormat.AUTO and sys.stdout.isatty()
    )
    shared: list[Processor] = [
        with_ids,
        structlog.processors.add_log_level,
        _Prepared(replica),
    ]
    if console:
        structlog.configure(
            processors=[*shared, _for_people(), hide],
            wrapper_class=structlog.make_filtering_bound_logger(number),
            logger_factory=structlog.PrintLoggerFactory(),
            cache_logger_on_first_use=True,
        )
    else:
        structlog.configure(
            processors=[
                *shared,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(serializer=to_json),
                hide,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(number),
            logger_factory=lambda *_: _Unfailing(sys.stdout.buffer),
            cache_logger_on_first_use=True,
        )
    # Libraries say what they have to say at WARNING; their INFO lines may hold whole URLs.
    logging.basicConfig(level=logging.WARNING, handlers=[_AsOurs()])


def _for_people() -> Processor:
    # Its own tracebacks show the variables of every frame, folded: no secret is found in them.
    return structlog.dev.ConsoleRenderer(
        colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


class _Prepared:
    """Leaves out what is None; adds the process and the time."""

    def __init__(self, replica: str | None) -> None:
        self._replica = replica

    def __call__(
        self, _logger: object, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        line = {key: value for key, value in event.items() if value is not None}
        if self._replica is not None:
            line.setdefault("replica", self._replica)
        now = datetime.now(UTC).replace(tzinfo=None)
        line["timestamp"] = now.isoformat(timespec="microseconds") + "Z"
        return line


def to_json(event: object, **_options: object) -> bytes:
    """Write any event as one line of JSON, whatever its values are."""
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # half a surrogate pair, or an integer beyond 64 bits
        return json.dumps(event, default=str).encode()


class _Hide:
    """The last processor: takes secrets out of the finished line."""

    def __init__(self, scrub: Scrubber) -> None:
        self._scrub = scrub

    def __call__(self, _logger: object, _method: str, line: Any) -> Any:  # noqa: ANN401 - structlog's
        return self._scrub.data(line) if isinstance(line, bytes) else self._scrub.text(line)


class _AsOurs(logging.Handler):
    """Writes what a library logs as a line like ours, `logger` being its name."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):  # as the standard handlers: a bad line is lost
            structlog.get_logger(record.name).log(
                max(record.levelno // 10, 1) * 10,  # ours are the round ones
                record.getMessage(),
                logger=record.name,
                exc_info=record.exc_info if record.exc_info and record.exc_info[0] else None,
            )


class _Unfailing(structlog.BytesLogger):
    """Writes lines; loses one rather than raise."""

    def msg(self, message: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: the file is closed
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg
