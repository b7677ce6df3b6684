"""Putting the API together beside a worker, and closing it with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from consumer.api.app import guarded
from consumer.api.keys import Keys
from consumer.api.parts import ApiParts
from consumer.telling.request_log import RequestLog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AsyncExitStack

    from consumer.api.doorway import Doorway
    from consumer.controls.registry import Registry
    from consumer.telling.system_log import SystemLog
    from consumer.worker import Parts, Worker
    from providers.router import ExchangeRouter
    from storage.objects.store import ObjectStore

_log = structlog.get_logger(__name__)


def serve(
    stack: AsyncExitStack,
    door: Doorway,
    worker: Worker,
    parts: Parts,
    router: ExchangeRouter,
    reports: ObjectStore,
    registry: Registry,
    system_log: SystemLog | None,
    faults: tuple[Callable[[], Sequence[str]], Callable[[], Sequence[str]]],
) -> None:
    """Serve until the stack unwinds; what is in flight then is finished first.

    `faults` are those of life, and those of readiness.
    """
    settings = parts.settings
    keys = Keys.of(settings.internal_key_binding, settings.internal_read_key_binding)
    if not keys.execute and not keys.read:
        _log.error("INTERNAL_KEY_BINDING is not set: the REST API answers nobody")
    app = guarded(
        ApiParts(
            settings=settings,
            topology=parts.topology,
            database=parts.ledger.database,
            worker=worker,
            publisher=parts.publisher,
            router=router,
            reports=reports,
            registry=registry,
            keys=keys,
            clock=parts.clock,
            faults_of_life=faults[0],
            faults_of_readiness=faults[1],
        )
    )
    door.lead_to(RequestLog(app, system_log) if system_log is not None else app)
    stack.push_async_callback(door.aclose)  # ahead of what answers are made with
