"""The application: its routes, its errors, its OpenAPI document."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from consumer.api import errors, examples, operating, reading, trading, watching
from consumer.api.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.routing import BaseRoute

    from consumer.api.parts import ApiParts

_ROUTERS = (trading.router, reading.router, operating.router, watching.router)
_ABOUT = (
    "Trades, executed as those from the queue are: the same ledger, the same controls, at most one "
    "order for a request id, however often it is asked for. Numbers in answers are text."
)
_ENVELOPE = ("success", "requestId", "result", "error")


def create_app(parts: ApiParts | None = None) -> FastAPI:
    """Make the application; without parts only its document is of use."""
    app = FastAPI(
        title="trade-worker",
        version=version("trade-worker"),
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    app.state.parts = parts
    for router in _ROUTERS:
        app.include_router(router)
    errors.install(app)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]  # FastAPI's own way to do it
    return app


def guarded(parts: ApiParts) -> Guard:
    """Make the application as it is served."""
    app = create_app(parts)
    routes = [*app.routes, *(route for router in _ROUTERS for route in router.routes)]
    return Guard(app, routes, parts.settings.message_max_bytes, parts.settings.api_timeout)


def document(app: FastAPI | None = None) -> dict[str, Any]:
    """Give the OpenAPI document."""
    app = app or create_app()
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=_ABOUT, routes=app.routes
        )
        for path in made["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)  # answered as 400, in our envelope
                for parameter in operation.get("parameters", ()):
                    _required_or_absent(parameter)
        for router in _ROUTERS:
            _put_examples(made["paths"], router.routes)
        schemas = made["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas |= {"Success": _success(), "Failure": _failure()}
        app.openapi_schema = made
    return app.openapi_schema


def _put_examples(paths: dict[str, Any], routes: Sequence[BaseRoute]) -> None:
    """Put the examples in as they are: FastAPI takes the nulls out of them."""
    for route in routes:
        if not isinstance(route, APIRoute):
            continue
        for method in route.methods or ():
            described = paths[route.path_format][method.lower()]["responses"]
            for status, response in route.responses.items():
                for kind, content in response.get("content", {}).items():
                    if "example" in content:
                        described[str(status)]["content"][kind]["example"] = content["example"]


def _required_or_absent(parameter: dict[str, Any]) -> None:
    """Say of a parameter that it may be left out, not that it may be null."""
    forms = parameter["schema"].pop("anyOf", None)
    if forms is not None:
        (form,) = [one for one in forms if one.get("type") != "null"]
        parameter["schema"] |= form


def _success() -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(_ENVELOPE),
        "properties": {
            "success": {"const": True},
            "requestId": {"type": ["string", "null"]},
            "result": {"type": "object"},
            "error": {"type": "null"},
        },
    }


def _failure() -> dict[str, Any]:
    error = {
        "type": "object",
        "required": ["code", "message", "details"],
        "properties": {
            "code": {
                "enum": sorted({*errors.CODES.values(), "VALIDATION_ERROR", "KILL_SWITCH_ACTIVE"})
            },
            "message": {"type": "string"},
            "details": {"type": ["object", "null"]},
        },
    }
    return {
        "type": "object",
        "example": examples.FAILURE,
        "required": list(_ENVELOPE),
        "properties": {
            "success": {"const": False},
            "requestId": {"type": ["string", "null"]},
            "result": {"type": "null"},
            "error": error,
        },
    }
