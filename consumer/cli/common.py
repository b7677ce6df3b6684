"""What every command does: read the settings, run a coroutine, turn errors into exit codes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
from pydantic import ValidationError

from consumer.cli.output import ExitCode, fail
from consumer.errors import (
    BrokerUnavailable,
    ConsumerError,
    PublishRefused,
    TopologyMismatch,
)
from providers.errors import ProviderError
from storage import migrate, postgres
from storage.errors import ConfigLocked, LedgerUnavailable, MigrationError, StorageError
from storage.objects.store import ObjectStoreUnavailable
from storage.settings import StorageSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from pydantic_core import ErrorDetails

    from consumer.settings import Settings
    from storage.postgres import Database

S = TypeVar("S")
T = TypeVar("T")
_CONNECT_WITHIN = 5.0  # seconds that a command waits for the database


def load_settings() -> Settings:
    """Read the settings from the environment; ends the command if they are wrong."""
    from consumer.settings import Settings  # noqa: PLC0415 - a kill switch does not wait for it

    return _read(Settings)


def load_storage_settings() -> StorageSettings:
    """Read only what leads to the database: nothing else that is wrong is in the way."""
    return _read(StorageSettings)


def _read(settings: Callable[[], S]) -> S:
    try:
        return settings()
    except ValidationError as error:
        faults = "; ".join(
            _fault(item)
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        )
        fail(f"the settings are wrong: {faults}", ExitCode.USAGE)
    except ValueError as error:
        fail(f"the settings are wrong: {error}", ExitCode.USAGE)


def _fault(item: ErrorDetails) -> str:
    """Name the variable and say what is wrong with it; never its value."""
    text = item["msg"].removeprefix("Value error, ")
    return f"{str(item['loc'][0]).upper()}: {text}" if item["loc"] else text


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the fastest loop there is; errors become a line and an exit code."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(work)
    except ConfigLocked as error:
        fail(str(error), ExitCode.UNREACHABLE)
    except LedgerUnavailable as error:
        fail(f"{error}; is DATABASE_URL right?", ExitCode.UNREACHABLE)
    except BrokerUnavailable as error:
        fail(f"{error}; is AMQP_URL right?", ExitCode.UNREACHABLE)
    except ObjectStoreUnavailable as error:
        fail(f"{error}; is OBJECT_STORE_URL right?", ExitCode.UNREACHABLE)
    except (MigrationError, TopologyMismatch, PublishRefused) as error:
        fail(str(error), ExitCode.FAILED)
    except (ConsumerError, StorageError, ProviderError) as error:
        fail(f"{type(error).__name__}: {error}", ExitCode.FAILED)
    except KeyboardInterrupt:
        fail("interrupted", ExitCode.FAILED)


def run_with_database(
    settings: StorageSettings, work: Callable[[Database], Awaitable[T]], *, check: bool = True
) -> T:
    """Run a coroutine with the database of the settings, migrated as this version needs it.

    Args:
        settings: where the database is.
        work: what to run.
        check: False takes the database as it is, for what has to work during an upgrade too; what
            is missing is said if the work fails for it.
    """

    async def connected() -> T:
        database = await postgres.connect(settings, give_up_after=_CONNECT_WITHIN)
        try:
            if check:
                await migrate.check(database)
            return await work(database)
        except asyncpg.SyntaxOrAccessError:  # no such table, no such column, no such right
            await migrate.check(database)
            raise
        finally:
            await database.aclose()

    return run(connected())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - optional: it is not there on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop
