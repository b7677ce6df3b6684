"""What watches us: liveness, readiness, metrics. Needs no key, and tells nothing that would."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import PlainTextResponse, Response

from consumer.api.errors import answer
from consumer.api.routing import parts_of
from consumer.watching import metrics
from consumer.watching.vitals import STARTING

_STATE = {
    "type": "object",
    "required": ["status", "faults"],
    "properties": {
        "status": {"type": "string"},
        "faults": {"type": "array", "items": {"type": "string"}},
    },
}


def _described(well: str, ill: str) -> dict[int | str, dict[str, object]]:
    return {
        status: {"description": about, "content": {"application/json": {"schema": _STATE}}}
        for status, about in ((200, well), (503, ill))
    }


router = APIRouter(tags=["watching"])


@router.get("/health", responses=_described("Alive.", "To be started again."))
async def health(request: Request) -> Response:
    """Tell whether the process lives; 503 if it should be started again."""
    faults = list(parts_of(request).faults_of_life())
    return answer(503 if faults else 200, {"status": "dead" if faults else "ok", "faults": faults})


@router.get("/ready", responses=_described("Takes work.", "Takes none now."))
async def ready(request: Request) -> Response:
    """Tell whether it takes work; 503 while it starts, drains or waits for the ledger."""
    faults = list(parts_of(request).faults_of_readiness())
    return answer(
        503 if faults else 200, {"status": "not ready" if faults else "ready", "faults": faults}
    )


@router.get("/started", responses=_described("It has started.", "It starts."))
async def started(request: Request) -> Response:
    """Tell whether it has started; 503 until ledger, exchanges and queue were looked at once."""
    faults = list(parts_of(request).faults_of_readiness())
    if STARTING in faults:
        return answer(503, {"status": "starting", "faults": faults})
    return answer(200, {"status": "started", "faults": []})


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={
        200: {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    },
)
async def show_metrics() -> Response:
    """Give the metrics as Prometheus reads them."""
    return exposition()


def exposition() -> Response:
    """All metrics, as Prometheus reads them."""
    return Response(
        generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )
