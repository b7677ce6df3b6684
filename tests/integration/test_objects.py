"""One suite that every object store passes, then what is a disk's or a network's own.

S3 is a real server that speaks the protocol, started privately on loopback.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deploy import local_services
from storage.objects.folder import FolderStore
from storage.objects.opening import open_store
from storage.objects.store import (
    INCOMPLETE,
    InvalidKey,
    ObjectNotFound,
    ObjectStoreMisconfigured,
    ObjectStoreUnavailable,
)
from storage.settings import ObjectStoreSettings
from tests.unit.providers.helpers import RawServer, http_answer, raw_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from deploy.local_services import LocalServices
    from storage.objects.store import ObjectStore

JSON = "application/json"
SECRET = "do-not-print"
REPORT = "trade-reports/bybit/BTCUSDT/2026-01-31T12-00-00-123Z-a%2Fb.json"
_buckets = itertools.count(1)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalServices]:
    """An S3 endpoint of the module's own, which its tests may stop."""
    with local_services.start(
        f"test-{os.getpid()}-objects", rabbitmq=False, postgres=False, s3=True, environ={}
    ) as started:
        yield started


def s3_settings(url: str | None, **changes: Any) -> ObjectStoreSettings:  # noqa: ANN401 - settings
    fixed: dict[str, Any] = {
        "object_store_url": "s3://",
        "object_store_create_bucket": True,
        "s3_endpoint_url": url,
        "s3_access_key_id": "trade-worker",
        "s3_secret_access_key": SECRET,
        "s3_region": "us-east-1",
    }
    return ObjectStoreSettings(**{**fixed, **changes})


@pytest.fixture(params=["folder", "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStoreSettings:
    if request.param == "folder":
        return ObjectStoreSettings(object_store_url=f"file://{tmp_path}/objects")
    endpoint: LocalServices = request.getfixturevalue("endpoint")
    return s3_settings(endpoint.s3_endpoint_url)


@pytest.fixture
def bucket() -> str:
    return f"bucket-{next(_buckets)}"


@pytest.fixture
async def store(settings: ObjectStoreSettings, bucket: str) -> AsyncIterator[ObjectStore]:
    async with open_store(settings, bucket) as opened:
        yield opened


async def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [info.key async for info in store.list_objects(prefix)]


class TestEveryStore:
    @pytest.mark.parametrize("body", [b"", b"{}", bytes(range(256)), os.urandom(1_000_000)])
    async def test_gives_back_what_was_put(self, store: ObjectStore, body: bytes) -> None:
        await store.put(REPORT, body, JSON)

        assert await store.get(REPORT) == body

    @pytest.mark.parametrize(
        "key", ["a", "a b+c/d?e#f&g.json", "100%/%2E%2E/x", "é/€/😀.json", "a..b/...", "x" * 255]
    )
    async def test_takes_any_key_and_lists_it_as_it_is(self, store: ObjectStore, key: str) -> None:
        await store.put(key, b"1", JSON)

        assert await store.get(key) == b"1"
        assert await keys(store) == [key]

    async def test_a_later_object_takes_the_place_of_an_earlier(self, store: ObjectStore) -> None:
        await store.put(REPORT, b"a longer first one", JSON)
        await store.put(REPORT, b"second", JSON)

        assert await store.get(REPORT) == b"second"
        assert await keys(store) == [REPORT]

    async def test_says_which_object_is_missing(self, store: ObjectStore) -> None:
        await store.put("there/is/one", b"1", JSON)

        for missing in ("not/there", "there", "there/is", "there/is/one/more"):
            with pytest.raises(ObjectNotFound, match=missing):
                await store.get(missing)
            assert await store.head(missing) is None

    async def test_looks_at_an_object_without_reading_it(self, store: ObjectStore) -> None:
        await store.put(REPORT, b"12345", JSON)

        info = await store.head(REPORT)

        assert info is not None
        assert (info.key, info.size) == (REPORT, 5)
        assert abs(info.modified_at - datetime.now(UTC)) < timedelta(minutes=1)

    async def test_lists_by_prefix_in_the_order_of_keys(self, store: ObjectStore) -> None:
        for key in ("b/2", "a/1", "b/10", "b.txt", "bb/1", "b/é"):
            await store.put(key, key.encode(), JSON)

        assert await keys(store) == ["a/1", "b.txt", "b/10", "b/2", "b/é", "bb/1"]
        assert await keys(store, "b/") == ["b/10", "b/2", "b/é"]
        assert await keys(store, "b/1") == ["b/10"]
        assert await keys(store, "b") == ["b.txt", "b/10", "b/2", "b/é", "bb/1"]
        assert await keys(store, "nothing/here") == []
        assert [info.size async for info in store.list_objects("b/")] == [4, 3, 4]

    async def test_lists_more_than_a_page(self, store: ObjectStore) -> None:
        names = [f"many/{number:04d}" for number in range(1005)]
        for start in range(0, len(names), 50):
            await asyncio.gather(
                *(store.put(name, b"x", JSON) for name in names[start : start + 50])
            )

        assert await keys(store, "many/") == names

    async def test_writers_of_one_key_leave_one_whole_object(self, store: ObjectStore) -> None:
        bodies = [bytes([number]) * 100_000 for number in range(16)]

        await asyncio.gather(*(store.put(REPORT, body, JSON) for body in bodies))

        assert await store.get(REPORT) in bodies
        assert await keys(store) == [REPORT]

    async def test_a_reader_never_sees_half_an_object(self, store: ObjectStore) -> None:
        bodies = [bytes([number]) * 200_000 for number in range(8)]
        await store.put(REPORT, bodies[0], JSON)

        async def write() -> None:
            for body in bodies:
                await store.put(REPORT, body, JSON)

        writing = asyncio.create_task(write())
        while not writing.done():
            assert await store.get(REPORT) in bodies
        await writing

    async def test_buckets_do_not_see_each_other(
        self, store: ObjectStore, settings: ObjectStoreSettings, bucket: str
    ) -> None:
        await store.put("mine", b"1", JSON)

        async with open_store(settings, f"{bucket}-other") as other:
            await other.put("theirs", b"2", JSON)
            assert await keys(other) == ["theirs"]
            assert await other.head("mine") is None
        assert await keys(store) == ["mine"]

    async def test_what_was_put_outlives_the_one_who_put_it(
        self, settings: ObjectStoreSettings, bucket: str
    ) -> None:
        async with open_store(settings, bucket) as first:
            await first.put(REPORT, b"1", JSON)

        async with open_store(settings, bucket) as second:
            assert await second.get(REPORT) == b"1"

    @pytest.mark.parametrize("key", ["", "/etc/passwd", "../up", "a/../../b", "a\x00b", "a//b"])
    async def test_refuses_keys_that_lead_elsewhere(self, store: ObjectStore, key: str) -> None:
        with pytest.raises(InvalidKey):
            await store.put(key, b"1", JSON)
        with pytest.raises(InvalidKey):
            await store.get(key)
        with pytest.raises(InvalidKey):
            await store.head(key)

    async def test_refuses_prefixes_that_lead_elsewhere(self, store: ObjectStore) -> None:
        for prefix in ("../", "/", "a/../../"):
            with pytest.raises(InvalidKey):
                await keys(store, prefix)


class TestFolder:
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[FolderStore]:
        opened = FolderStore(tmp_path / "bucket", timeout=5)
        yield opened
        await opened.aclose()

    async def test_a_disk_that_is_full_leaves_the_old_object_and_nothing_else(
        self, store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put(REPORT, b"old", JSON)

        def full(_number: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(ObjectStoreUnavailable, match="No space left"):
                await store.put(REPORT, b"new", JSON)

        assert await store.get(REPORT) == b"old"
        assert await keys(store) == [REPORT]
        assert list((tmp_path / "bucket" / INCOMPLETE).iterdir()) == []

    async def test_an_object_is_on_the_disk_before_it_has_its_name_and_the_name_before_the_end(
        self, store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put("a/first", b"1", JSON)
        target = tmp_path / "bucket" / "a" / "second"
        synced: list[tuple[bool, bool]] = []
        really = os.fsync

        def watch(number: int) -> None:
            really(number)
            synced.append((Path(f"/proc/self/fd/{number}").readlink().is_dir(), target.exists()))

        monkeypatch.setattr(os, "fsync", watch)
        await store.put("a/second", b"2", JSON)

        assert synced == [(False, False), (True, True)]

    async def test_files_that_a_crash_left_incomplete_are_cleared_and_fresh_ones_are_not(
        self, tmp_path: Path
    ) -> None:
        settings = ObjectStoreSettings(object_store_url=f"file://{tmp_path}")
        incomplete = tmp_path / "bucket" / INCOMPLETE
        incomplete.mkdir(parents=True)
        for name, age in (("old", 7200), ("fresh", 60)):
            (incomplete / name).write_bytes(b"half of it")
            then = datetime.now(UTC).timestamp() - age
            os.utime(incomplete / name, (then, then))

        async with open_store(settings, "bucket") as store:
            assert [path.name for path in incomplete.iterdir()] == ["fresh"]
            assert await keys(store) == []

    async def test_a_folder_that_cannot_be_is_unavailable_not_missing(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"in the way")
        store = FolderStore(tmp_path / "file" / "bucket", timeout=5)

        with pytest.raises(ObjectStoreUnavailable, match="File exists"):
            await store.put(REPORT, b"1", JSON)
        await store.aclose()

    async def test_a_disk_that_hangs_costs_the_deadline_and_no_more(self, tmp_path: Path) -> None:
        store = FolderStore(tmp_path, timeout=0.2)
        os.mkfifo(tmp_path / "pipe")  # reading it waits for a writer

        with pytest.raises(ObjectStoreUnavailable, match=r"within 0\.2 s"):
            await store.get("pipe")

        (tmp_path / "pipe").open("wb").close()  # lets the thread go
        await store.aclose()

    async def test_the_event_loop_goes_on_while_the_disk_is_slow(
        self, store: FolderStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hold = threading.Event()
        monkeypatch.setattr(os, "fsync", lambda _number: hold.wait(10))

        putting = asyncio.create_task(store.put(REPORT, b"1", JSON))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not putting.done()
        hold.set()
        await putting

    async def test_foreign_files_are_left_out(self, store: FolderStore, tmp_path: Path) -> None:
        await store.put("a", b"1", JSON)
        (tmp_path / "bucket" / "new\nline").write_bytes(b"")
        (tmp_path / "bucket" / os.fsdecode(b"\xff")).write_bytes(b"")

        assert await keys(store) == ["a"]


class TestS3:
    async def test_a_server_that_went_away_is_found_again_by_the_same_store(
        self, endpoint: LocalServices, bucket: str
    ) -> None:
        async with open_store(s3_settings(endpoint.s3_endpoint_url), bucket) as store:
            await store.put("a", b"1", JSON)
            await asyncio.to_thread(endpoint.s3.kill)
            try:
                for call in (lambda: store.put("b", b"2", JSON), lambda: store.get("a")):
                    with pytest.raises(ObjectStoreUnavailable, match="S3: "):
                        await call()
                with pytest.raises(ObjectStoreUnavailable):
                    await keys(store)
            finally:
                await asyncio.to_thread(endpoint.s3.start)
            # It keeps everything in memory, so the bucket has to be made again.
            await store.put("c", b"3", JSON)
            assert await keys(store) == ["c"]

    async def test_a_server_that_is_not_there_yet_is_no_fault_of_the_settings(self) -> None:
        async with open_store(s3_settings("http://127.0.0.1:9"), "bucket") as store:
            with pytest.raises(ObjectStoreUnavailable):
                await store.put("a", b"1", JSON)

    async def test_a_server_that_never_answers_costs_the_deadline(self) -> None:
        async def silent(
            server: RawServer, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter
        ) -> None:
            await server.read_request(reader)
            await reader.read()

        async with raw_server(silent) as server:
            settings = s3_settings(server.url, object_store_timeout=0.5)
            async with open_store(settings, "bucket") as store:
                began = asyncio.get_running_loop().time()
                with pytest.raises(ObjectStoreUnavailable, match=r"within 0\.5 s"):
                    await store.put("a", b"1", JSON)
                assert asyncio.get_running_loop().time() - began < 5

    @pytest.mark.parametrize(
        ("status", "code", "says", "requests"),
        [
            ("503 Slow Down", "SlowDown", "SlowDown: later", 2),
            ("403 Forbidden", "AccessDenied", "may these credentials use this bucket", 1),
            ("403 Forbidden", "SignatureDoesNotMatch", "is S3_SECRET_ACCESS_KEY", 1),
            ("404 Not Found", "NoSuchBucket", "OBJECT_STORE_CREATE_BUCKET=true", 1),
        ],
    )
    async def test_a_refusal_says_what_would_be_right_and_no_secret(
        self, status: str, code: str, says: str, requests: int
    ) -> None:
        body = f"<Error><Code>{code}</Code><Message>later</Message></Error>".encode()

        async def refuse(
            server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            while True:
                await server.read_request(reader)
                writer.write(http_answer(body, status, "Content-Type: application/xml\r\n"))
                await writer.drain()

        async with raw_server(refuse) as server:
            settings = s3_settings(server.url, object_store_create_bucket=False)
            async with open_store(settings, "bucket") as store:
                with pytest.raises(ObjectStoreUnavailable, match=says) as caught:
                    await store.put("a", b"1", JSON)

        assert len(server.requests) == requests
        assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"
        assert "'bucket'" in str(caught.value)

    async def test_requests_name_the_bucket_in_the_path_and_carry_the_type(self) -> None:
        async def accept(
            server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            while True:
                await server.read_request(reader)
                writer.write(http_answer(b""))
                await writer.drain()

        async with raw_server(accept) as server:
            async with open_store(s3_settings(server.url), "bucket") as store:
                for _ in range(3):
                    await store.put("a/b", b"1", JSON)

            assert len(server.requests) == 3
            assert server.connections == 1
            head = server.requests[0].lower()
            assert head.startswith(b"put /bucket/a/b http/1.1\r\n")
            assert b"\r\ncontent-type: application/json\r\n" in head

    async def test_a_missing_bucket_is_made_only_if_the_settings_say_so(
        self, endpoint: LocalServices, bucket: str
    ) -> None:
        url = endpoint.s3_endpoint_url
        async with open_store(s3_settings(url, object_store_create_bucket=False), bucket) as store:
            with pytest.raises(ObjectStoreUnavailable, match="OBJECT_STORE_CREATE_BUCKET=true"):
                await store.put("a", b"1", JSON)

        for region in ("us-east-1", "eu-central-1"):
            settings = s3_settings(url, s3_region=region)
            async with open_store(settings, f"{bucket}-{region}") as store:
                await asyncio.gather(*(store.put(f"a{n}", b"1", JSON) for n in range(8)))
                assert len(await keys(store)) == 8

    async def test_credentials_that_appear_later_are_taken_up(
        self,
        endpoint: LocalServices,
        bucket: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        settings = s3_settings(
            endpoint.s3_endpoint_url, s3_access_key_id=None, s3_secret_access_key=None
        )
        async with open_store(settings, bucket) as store:
            with pytest.raises(ObjectStoreUnavailable, match="no credentials; set S3_ACCESS_KEY"):
                await store.put("a", b"1", JSON)

            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "trade-worker")
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
            await store.put("a", b"1", JSON)

    async def test_a_profile_that_does_not_exist_is_refused_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("AWS_PROFILE", "nobody")

        with pytest.raises(ObjectStoreMisconfigured, match="nobody"):
            async with open_store(s3_settings(None), "bucket"):
                pass


def test_without_s3_its_library_is_not_even_imported() -> None:
    program = (
        "import sys, consumer.assembly;"
        "print(*{'aioboto3', 'aiobotocore', 'boto3', 'botocore'} & set(sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.strip() == ""
