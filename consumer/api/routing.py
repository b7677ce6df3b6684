"""What the routers share: their parts, who may call, and how their answers are described."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from consumer.api.errors import CODES, ApiError
from consumer.api.keys import HEADER

if TYPE_CHECKING:
    from consumer.api.parts import ApiParts

_KEY = APIKeyHeader(name=HEADER, scheme_name="internalAuthKey", auto_error=False)
_FAILURE = {"$ref": "#/components/schemas/Failure"}
_SUCCESS = {"$ref": "#/components/schemas/Success"}


def parts_of(request: Request) -> ApiParts:
    """Give what the routes work with."""
    parts: ApiParts = request.app.state.parts
    return parts


def _may_execute(request: Request, given: Annotated[str | None, Security(_KEY)]) -> None:
    parts_of(request).keys.check(given, execute=True)


def _may_read(request: Request, given: Annotated[str | None, Security(_KEY)]) -> None:
    parts_of(request).keys.check(given, execute=False)


def _known_query(request: Request) -> None:
    """Refuse what is no parameter: a filter that is spelled wrong must not list everything."""
    known = {one.alias for one in request.scope["route"].dependant.query_params}
    names = [name for name, _ in request.query_params.multi_items()]
    if len(names) != len(set(names)):
        raise ApiError(400, "a parameter is given more than once", code="VALIDATION_ERROR")
    unknown = sorted(set(names) - known)
    if unknown:
        expected = f"expected: {', '.join(sorted(known))}" if known else "this path takes none"
        raise ApiError(
            400, f"{unknown[0][:40]!a}: unknown parameter; {expected}", code="VALIDATION_ERROR"
        )


EXECUTE: list[Any] = [Depends(_may_execute), Depends(_known_query)]
READ: list[Any] = [Depends(_may_read), Depends(_known_query)]


def answers(
    *failures: int,
    example: object,
    status: int = 200,
    request_id: str | None = None,
    also: dict[int, str] | None = None,
) -> dict[int | str, dict[str, Any]]:
    """Describe a route's answers: the success with an example, and the failures it may give."""
    described: dict[int | str, dict[str, Any]] = {}
    for good, about in {status: "Done.", **(also or {})}.items():
        content: dict[str, Any] = {"schema": _SUCCESS}
        if good == status:
            content["example"] = {
                "success": True, "requestId": request_id, "result": example, "error": None,
            }  # fmt: skip
        described[good] = {"description": about, "content": {"application/json": content}}
    described |= failing(*failures)
    return described


def failing(*failures: int) -> dict[int | str, dict[str, Any]]:
    """Describe the failures that a route may give, those of every route included."""
    described: dict[int | str, dict[str, Any]] = {}
    for status in sorted({400, 401, 403, 408, 413, 500, 503, *failures}):
        described[status] = {
            "description": CODES[status],
            "content": {"application/json": {"schema": _FAILURE}},
        }
    return described
