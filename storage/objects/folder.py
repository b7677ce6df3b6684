"""An object store in a local folder: one folder a bucket, one file an object.

A file appears whole or not at all, and is on the disk when `put` returns. Unlike in S3, a key may
not go on where another one ends (`a` and `a/b`). Content types are not kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from storage.objects.store import (
    INCOMPLETE,
    InvalidKey,
    ObjectInfo,
    ObjectNotFound,
    ObjectStoreUnavailable,
    check_key,
    check_prefix,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

T = TypeVar("T")

_THREADS = 4
_READABLE = 0o640  # by our own user and group
_LEFT_BEHIND = 3600.0  # seconds after which an incomplete file is a crash's, not somebody's work


class FolderStore:
    """A bucket in a folder.

    Args:
        folder: the bucket's own folder; made when something is put.
        timeout: seconds for one call.
    """

    def __init__(self, folder: Path, timeout: float) -> None:
        self._folder = folder.absolute()
        self._timeout = timeout
        # Not the event loop's own threads: a disk that hangs would take them all, and with them
        # the looking up of host names.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="object-folder")

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        """Keep an object; see `ObjectStore.put`."""
        del content_type
        await self._do(partial(_write, self._folder, check_key(key), body))

    async def get(self, key: str) -> bytes:
        """Return an object's content; raises `ObjectNotFound`."""
        try:
            return await self._do((self._folder / check_key(key)).read_bytes)
        except _NotThere:
            raise ObjectNotFound(key) from None

    async def head(self, key: str) -> ObjectInfo | None:
        """Look at an object; None if there is none."""
        try:
            return await self._do(partial(_look, self._folder, check_key(key)))
        except _NotThere:
            return None

    async def list_objects(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """Go through the objects under a prefix, in the order of their keys."""
        for found in await self._do(partial(_walk, self._folder, check_prefix(prefix))):
            yield found

    async def clear_left_behind(self) -> None:
        """Remove the incomplete files of processes that crashed."""
        await self._do(partial(_clear, self._folder / INCOMPLETE, time.time() - _LEFT_BEHIND))

    async def aclose(self) -> None:
        """Let go of the threads; what one of them does is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _do(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                return await loop.run_in_executor(self._threads, work)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise _NotThere(f"object folder: {_say(error)}") from error
        except TimeoutError as error:
            raise ObjectStoreUnavailable(
                f"object folder {self._folder}: no answer within {self._timeout:g} s"
            ) from error
        except OSError as error:
            raise ObjectStoreUnavailable(f"object folder: {_say(error)}") from error


class _NotThere(ObjectStoreUnavailable):
    """There is no file of that name: for a reader the object is missing, for a writer a fault."""


def _write(folder: Path, key: str, body: bytes) -> None:
    target = folder / key
    beginning = folder / INCOMPLETE / uuid4().hex
    _make(target.parent)
    _make(beginning.parent)
    try:
        beginning.touch(_READABLE, exist_ok=False)
        with beginning.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        beginning.replace(target)
    except BaseException:
        beginning.unlink(missing_ok=True)
        raise
    _sync(target.parent)


def _make(folder: Path) -> None:
    """Make a folder and those above it, each of them durable."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    """Make the folder's list of names durable."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _look(folder: Path, key: str) -> ObjectInfo | None:
    path = folder / key
    if not path.is_file():
        return None
    status = path.stat()
    return ObjectInfo(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _walk(folder: Path, prefix: str) -> list[ObjectInfo]:
    found = []
    top = folder / prefix.rpartition("/")[0]
    for place, _folders, names in os.walk(top, onerror=_unless_missing):
        for name in names:
            key = Path(place, name).relative_to(folder).as_posix()
            # Somebody else's file may have a name that is no key.
            with contextlib.suppress(InvalidKey, FileNotFoundError):
                info = _look(folder, check_key(key)) if key.startswith(prefix) else None
                if info is not None:
                    found.append(info)
    return sorted(found, key=lambda info: info.key)


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _clear(folder: Path, before: float) -> None:
    for path in folder.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < before:
                path.unlink()


def _say(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)
