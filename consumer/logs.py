"""Logs: one JSON object a line on standard output, or readable lines on a terminal.

A line that can't be written (the disk is full, the reader of the pipe is gone) is lost; it must
not stop an order.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from typing import TYPE_CHECKING

import orjson
import structlog

from consumer.settings import LogFormat

if TYPE_CHECKING:
    from structlog.typing import Processor


def configure(level: str, log_format: LogFormat, *, replica: str | None = None) -> None:
    """Set up logging for the process.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
        log_format: AUTO means console on a terminal and JSON elsewhere.
        replica: bound to every line, to tell processes apart.
    """
    number = logging.getLevelNamesMapping()[level]
    console = log_format is LogFormat.CONSOLE or (
        log_format is LogFormat.AUTO and sys.stdout.isatty()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _without_none,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if console:
        structlog.configure(
            processors=[*shared, structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())],
            wrapper_class=structlog.make_filtering_bound_logger(number),
            logger_factory=structlog.PrintLoggerFactory(),
            cache_logger_on_first_use=True,
        )
    else:
        structlog.configure(
            processors=[
                *shared,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(serializer=_to_json),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(number),
            logger_factory=lambda *_: _Unfailing(sys.stdout.buffer),
            cache_logger_on_first_use=True,
        )
    structlog.contextvars.clear_contextvars()
    if replica is not None:
        structlog.contextvars.bind_contextvars(replica=replica)
    # Libraries say what they have to say at WARNING; their INFO lines may hold whole URLs.
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(name)s: %(message)s")


def _without_none(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return {key: value for key, value in event.items() if value is not None}


def _to_json(event: object, **_options: object) -> bytes:
    try:
        return orjson.dumps(event, default=str)
    except TypeError:  # half a surrogate pair, or an integer beyond 64 bits
        return json.dumps(event, default=str).encode()


class _Unfailing(structlog.BytesLogger):
    """Writes lines; loses one rather than raise."""

    def msg(self, message: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: the file is closed
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg
