"""Who keeps count of requests to the exchanges, as the settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.limits.limiter import LocalLimiter
from providers.settings import RateLimits
from storage.rate_limits import SharedLimiter

if TYPE_CHECKING:
    from uuid import UUID

    from consumer.settings import Settings
    from providers.clock import Clock
    from providers.limits.limiter import Limiter
    from storage.postgres import Database


def open_limiter(
    settings: Settings, database: Database, clock: Clock, replica: UUID
) -> Limiter | None:
    """Make what keeps count of requests; None if nobody does."""
    match settings.rate_limits:
        case RateLimits.SHARED:
            return SharedLimiter(
                database,
                settings.rate_rules,
                clock,
                replica,
                replicas=settings.rate_limit_replicas,
                timeout=settings.rate_limit_timeout,
            )
        case RateLimits.LOCAL:
            return LocalLimiter(clock, settings.rate_rules, settings.rate_limit_replicas)
        case RateLimits.OFF:
            return None
