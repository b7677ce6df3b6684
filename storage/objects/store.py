"""What every object store can do, what its keys may look like, and what it raises.

    StorageError
    ├── ObjectStoreUnavailable     the store can't do it now: try again later
    ├── ObjectStoreMisconfigured   the settings lead to no store at all: mend them
    ├── ObjectNotFound             nothing is kept under the key
    └── InvalidKey                 no store takes this key

The stores themselves are in `storage.objects.folder` and `storage.objects.s3`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from storage.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

# Where a folder keeps files that are not complete yet. No store takes a key that begins with it, so
# that all take the same ones.
INCOMPLETE = ".incomplete"

_KEY_MOST = 1024  # bytes of UTF-8: the most that S3 takes
_SEGMENT_MOST = 255  # bytes: the most that a Linux file system takes for one name
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_ELSEWHERE = frozenset({".", ".."})


class ObjectStoreUnavailable(StorageError):  # noqa: N818 - names say the condition, as in storage.errors
    """The store did not answer, refused, or has no room; what was to be kept may or may not be."""


class ObjectStoreMisconfigured(StorageError):  # noqa: N818 - as above
    """No store can be made of the settings, whatever the network does."""


class ObjectNotFound(StorageError):  # noqa: N818 - as above
    """Nothing is kept under the key."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"no object {key!r}")


class InvalidKey(StorageError):  # noqa: N818 - as above
    """The key breaks a rule of `check_key`."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object without its content; `size` is in bytes."""

    key: str
    size: int
    modified_at: datetime


class ObjectStore(Protocol):
    """One bucket. Every call ends within `object_store_timeout`.

    All calls raise `ObjectStoreUnavailable` while the store can't do it, and `InvalidKey`.
    """

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        """Keep an object, in place of what was there. It is seen whole or not at all.

        When this returns, the object is as durable as the store makes it.
        """

    async def get(self, key: str) -> bytes:
        """Return an object's content; raises `ObjectNotFound`."""

    async def head(self, key: str) -> ObjectInfo | None:
        """Look at an object without reading it; None if there is none."""

    def list_objects(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """Go through the objects whose keys begin with `prefix`, in the order of their keys."""


def check_key(key: str) -> str:
    """Return the key if every store takes it. Pure.

    A key is 1 to 1,024 bytes of UTF-8: segments of 1 to 255 bytes between slashes, none of them
    `.` or `..`, without control characters.

    Raises:
        InvalidKey: saying which rule is broken.
    """
    fault = _fault_of(key)
    if fault is not None:
        raise InvalidKey(f"object key {key[:200]!r} {fault}")
    return key


def check_prefix(prefix: str) -> str:
    """Return the prefix if some key can begin with it; raises `InvalidKey`. Pure."""
    check_key(prefix + "x")
    return prefix


def _fault_of(key: str) -> str | None:
    size = len(key.encode(errors="surrogatepass"))
    segments = key.split("/")
    rules = (
        (1 <= size <= _KEY_MOST, f"has {size} bytes; a key has 1 to {_KEY_MOST}"),
        (not _UNFIT.search(key), "has a control character, or half of a surrogate pair"),
        ("" not in segments, "has an empty segment: a slash at its head or end, or two in a row"),
        (_ELSEWHERE.isdisjoint(segments), "has a segment . or .., which would lead elsewhere"),
        (
            all(len(part.encode(errors="surrogatepass")) <= _SEGMENT_MOST for part in segments),
            f"has a segment of more than {_SEGMENT_MOST} bytes",
        ),
        (segments[0] != INCOMPLETE, f"begins with {INCOMPLETE}, where unfinished files are kept"),
    )
    return next((fault for kept, fault in rules if not kept), None)
