"""Every failure that the REST API answers, in one envelope and from one place.

    {"success": false, "requestId": …, "result": null, "error": {"code", "message", "details"}}

Nothing of an exception reaches a caller but what was written for him.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from consumer.errors import BrokerUnavailable, ConfigRefused, MalformedMessage, PublishRefused
from storage.errors import LedgerUnavailable
from storage.objects.store import InvalidKey, ObjectNotFound, ObjectStoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastapi import FastAPI
    from starlette.requests import Request


_log = structlog.get_logger(__name__)

CODES: MappingProxyType[int, str] = MappingProxyType(
    {
        400: "BAD_REQUEST",
        401: "UNAUTHORIZED",
        403: "FORBIDDEN",
        404: "NOT_FOUND",
        405: "METHOD_NOT_ALLOWED",
        408: "TIMEOUT",
        409: "DUPLICATE_REQUEST",
        413: "PAYLOAD_TOO_LARGE",
        415: "UNSUPPORTED_MEDIA_TYPE",
        429: "RATE_LIMITED",
        500: "INTERNAL_ERROR",
        503: "UNAVAILABLE",
    }
)
_PATH_MOST = 200  # characters
_UNREAD = (408, 413)  # the rest of such a body is not waited for: the connection is given up
RETRY_AFTER = 5  # seconds, where nobody said anything better


class ApiError(Exception):
    """A failure to answer; `code` defaults to the status's own."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        details: Mapping[str, object] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.code = code or CODES[status]
        self.message = message
        self.details = details
        self.request_id = request_id
        self.retry_after = retry_after
        super().__init__(message)


def answer(status: int, document: object, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON; decimals and times as text."""
    body = orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS)
    shown = {"Cache-Control": "no-store", **(headers or {})}
    return Response(body, status, shown, media_type="application/json")


def success(status: int, result: object, request_id: str | None = None) -> Response:
    """Answer that something went well."""
    return answer(
        status, {"success": True, "requestId": request_id, "result": result, "error": None}
    )


def failure(error: ApiError) -> Response:
    """Answer that something did not."""
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if error.status == 401:
        headers["WWW-Authenticate"] = 'ApiKey realm="trade-worker"'
    if error.status in _UNREAD:
        headers["Connection"] = "close"
    return answer(
        error.status,
        {
            "success": False,
            "requestId": error.request_id,
            "result": None,
            "error": {"code": error.code, "message": error.message, "details": error.details},
        },
        headers,
    )


def translated(error: Exception) -> ApiError:
    """Say what an exception means for a caller."""
    if isinstance(error, ApiError):
        return error
    for kind, answered in _ANSWERED.items():
        if isinstance(error, kind):
            return answered(error)
    return unforeseen()


def unforeseen() -> ApiError:
    """Say no more than that something went wrong."""
    return ApiError(500, "something went wrong here; it is in the log")


def _malformed(error: MalformedMessage) -> ApiError:
    if error.code == "TOO_LARGE":
        return ApiError(413, str(error))
    if error.code == "VALIDATION_ERROR":
        return ApiError(400, str(error), code=error.code, request_id=error.request_id)
    return ApiError(400, str(error), details={"reason": error.code})


def _http(error: HTTPException) -> ApiError:
    words = {404: "there is no such path", 405: "this method is not for this path; see Allow"}
    status = error.status_code if error.status_code in CODES else 400
    return ApiError(status, words.get(status, "bad request"))


def _invalid(text: str) -> ApiError:
    return ApiError(400, text, code="VALIDATION_ERROR")


def _away(what: str) -> Callable[[Any], ApiError]:
    return lambda _: ApiError(503, f"{what} now", retry_after=RETRY_AFTER)


_ANSWERED: dict[type[Exception], Callable[[Any], ApiError]] = {
    MalformedMessage: _malformed,
    ConfigRefused: lambda error: _invalid(str(error)),
    RequestValidationError: lambda error: _invalid(_faults(error.errors())),
    HTTPException: _http,
    ObjectNotFound: lambda _: ApiError(404, "there is no such report"),
    InvalidKey: lambda _: ApiError(404, "there is no such report"),
    LedgerUnavailable: _away("the ledger can't be reached"),
    BrokerUnavailable: _away("the queue can't be reached"),
    PublishRefused: _away("the queue takes nothing"),
    ObjectStoreUnavailable: _away("the object store can't be reached"),
    TimeoutError: _away("it took too long; it can't be done"),
}


def install(app: FastAPI) -> None:
    """Let every failure of an application be answered here."""

    async def handle(request: Request, error: Exception) -> Response:
        answered = translated(error)
        if answered.status == 503 and not isinstance(error, ApiError):
            # The caller is told what is away; what it said is for operators.
            path = request.url.path[:_PATH_MOST]
            _log.warning("request not served", method=request.method, path=path, error=str(error))
        return failure(answered)

    # The last one is Starlette's "server error": it is answered so, and raised on to `Guard`.
    kinds: tuple[type[Exception], ...] = (ApiError, *_ANSWERED, Exception)
    for kind in kinds:
        app.add_exception_handler(kind, handle)


def _faults(errors: Any) -> str:  # noqa: ANN401 - what FastAPI gives
    """Name each parameter and what is wrong with it; never its value."""
    return "; ".join(
        f"{item['loc'][-1] if item['loc'] else 'request'}: {item['msg']}" for item in errors[:5]
    )
