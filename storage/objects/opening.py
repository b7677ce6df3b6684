"""Which object store the settings choose."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from storage.objects.folder import FolderStore
from storage.objects.store import ObjectStoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from storage.objects.store import ObjectStore
    from storage.settings import ObjectStoreSettings


@asynccontextmanager
async def open_store(settings: ObjectStoreSettings, bucket: str) -> AsyncIterator[ObjectStore]:
    """Open a bucket for as long as the context lasts; whether the store answers is not asked.

    Raises:
        ObjectStoreMisconfigured: the settings lead to no store.
    """
    if settings.object_folder is not None:
        folder = FolderStore(settings.object_folder / bucket, settings.object_store_timeout)
        try:
            with suppress(ObjectStoreUnavailable):  # there is time for it at the next start
                await folder.clear_left_behind()
            yield folder
        finally:
            await folder.aclose()
        return
    from storage.objects.s3 import S3Store  # noqa: PLC0415 - half a second, only where it is wanted

    store = S3Store(settings, bucket)
    try:
        await store.open()
        yield store
    finally:
        await store.aclose()
