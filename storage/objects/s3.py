"""An object store behind the S3 protocol: AWS, or an endpoint that speaks it.

Importing this module costs about half a second, so it is imported only where S3 is chosen. The
client is made once and used for every call; its library has no types, hence the `Any`s, none of
which leaves this module.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import aioboto3  # type: ignore[import-untyped]  # ships no types, and neither do its parts below
import aiohttp
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    NoCredentialsError,
)

from storage.objects.store import (
    ObjectInfo,
    ObjectNotFound,
    ObjectStoreMisconfigured,
    ObjectStoreUnavailable,
    check_key,
    check_prefix,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from storage.settings import ObjectStoreSettings

_CONNECT_MOST = 3.0  # seconds
_TRIES = 2  # of one request, by the library; longer waits are the caller's business
_HOME_REGION = "us-east-1"  # the one region that a request for a bucket must not name

_MISSING = frozenset({"404", "NoSuchKey"})
_ALREADY_THERE = frozenset({"BucketAlreadyOwnedByYou", "OperationAborted"})  # another replica's
_HINTS = {
    "NoSuchBucket": "create it, or set OBJECT_STORE_CREATE_BUCKET=true",
    "AccessDenied": "may these credentials use this bucket?",
    "InvalidAccessKeyId": "is S3_ACCESS_KEY_ID, or AWS_ACCESS_KEY_ID, right?",
    "SignatureDoesNotMatch": "is S3_SECRET_ACCESS_KEY, or AWS_SECRET_ACCESS_KEY, right?",
    "AuthorizationHeaderMalformed": "is S3_REGION the bucket's region?",
    "PermanentRedirect": "is S3_REGION the bucket's region?",
    "RequestTimeTooSkewed": "check system NTP sync",
}


class S3Store:
    """A bucket of an S3 endpoint.

    Args:
        settings: the endpoint, the region, the credentials, the deadline.
        bucket: the bucket's name.
    """

    def __init__(self, settings: ObjectStoreSettings, bucket: str) -> None:
        self._bucket = bucket
        self._timeout = settings.object_store_timeout
        self._create_bucket = settings.object_store_create_bucket
        key, secret = settings.s3_access_key_id, settings.s3_secret_access_key
        self._access = {
            "aws_access_key_id": key.get_secret_value() if key else None,
            "aws_secret_access_key": secret.get_secret_value() if secret else None,
            "region_name": settings.s3_region,
        }
        self._endpoint = str(settings.s3_endpoint_url) if settings.s3_endpoint_url else None
        self._connections = settings.offload_concurrency
        self._session: Any = None
        self._client: Any = None
        self._opened = AsyncExitStack()
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Make the client, which takes about 0.2 s of computing; the endpoint is not asked yet.

        Raises:
            ObjectStoreMisconfigured: the AWS profile or credentials of the environment are broken.
        """
        try:
            async with asyncio.timeout(self._timeout):
                await self._connected()
        except TimeoutError:
            return  # whoever lends out credentials here is slow now; the first call tries again
        except (BotoCoreError, ValueError) as error:
            raise ObjectStoreMisconfigured(f"S3: {_one_line(error)}") from error

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        """Keep an object; makes the bucket if it is missing and the settings say so."""
        content = {"Key": check_key(key), "Body": body, "ContentType": content_type}
        async with self._errors(), asyncio.timeout(self._timeout):
            client = await self._connected()
            try:
                await client.put_object(Bucket=self._bucket, **content)
            except ClientError as error:
                if _code(error) != "NoSuchBucket" or not self._create_bucket:
                    raise
                await self._make_bucket(client)
                await client.put_object(Bucket=self._bucket, **content)

    async def get(self, key: str) -> bytes:
        """Return an object's content; raises `ObjectNotFound`."""
        async with self._errors(), asyncio.timeout(self._timeout):
            client = await self._connected()
            try:
                answer = await client.get_object(Bucket=self._bucket, Key=check_key(key))
            except ClientError as error:
                if _code(error) in _MISSING:
                    raise ObjectNotFound(key) from None
                raise
            async with answer["Body"] as stream:
                body: bytes = await stream.read()
        return body

    async def head(self, key: str) -> ObjectInfo | None:
        """Look at an object; None if there is none."""
        async with self._errors(), asyncio.timeout(self._timeout):
            client = await self._connected()
            try:
                answer = await client.head_object(Bucket=self._bucket, Key=check_key(key))
            except ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise
        return ObjectInfo(key, answer["ContentLength"], answer["LastModified"])

    async def list_objects(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """Go through the objects under a prefix, page by page, in the order of their keys."""
        wanted = {"Bucket": self._bucket, "Prefix": check_prefix(prefix)}
        while True:
            async with self._errors(), asyncio.timeout(self._timeout):
                client = await self._connected()
                page = await client.list_objects_v2(**wanted)
            for item in page.get("Contents", ()):
                yield ObjectInfo(item["Key"], item["Size"], item["LastModified"])
            if not page.get("IsTruncated"):
                return
            wanted["ContinuationToken"] = page["NextContinuationToken"]

    async def aclose(self) -> None:
        """Close the client."""
        opened, self._opened = self._opened, AsyncExitStack()
        self._client = None
        await opened.aclose()

    async def _connected(self) -> Any:  # noqa: ANN401 - the library has no types
        async with self._opening:
            if self._client is None:
                self._session = self._session or aioboto3.Session(**self._access)
                self._client = await self._opened.enter_async_context(
                    self._session.client("s3", endpoint_url=self._endpoint, config=self._config())
                )
                self._client.meta.events.register_last("before-call.s3", _at_once)
            return self._client

    def _config(self) -> Any:  # noqa: ANN401 - as above
        options: dict[str, object] = {
            "connect_timeout": min(_CONNECT_MOST, self._timeout),
            "read_timeout": self._timeout,
            "retries": {"mode": "standard", "total_max_attempts": _TRIES},
            "max_pool_connections": self._connections,
        }
        if self._endpoint is not None:
            # Not every server that speaks S3 has a host name for each bucket, or knows the newer
            # checksums that AWS takes.
            options["s3"] = {"addressing_style": "path"}
            options["request_checksum_calculation"] = "when_required"
            options["response_checksum_validation"] = "when_required"
        return Config(**options)

    async def _make_bucket(self, client: Any) -> None:  # noqa: ANN401 - as above
        place: dict[str, object] = {}
        if client.meta.region_name not in (None, _HOME_REGION, "aws-global"):
            place = {"CreateBucketConfiguration": {"LocationConstraint": client.meta.region_name}}
        try:
            await client.create_bucket(Bucket=self._bucket, **place)
        except ClientError as error:
            if _code(error) not in _ALREADY_THERE:
                raise

    @asynccontextmanager
    async def _errors(self) -> AsyncIterator[None]:
        """Turn what the library and the network raise into one error."""
        try:
            yield
        except ClientError as error:
            raise ObjectStoreUnavailable(self._refusal(error)) from error
        except NoCredentialsError as error:
            # A client keeps the credentials it was made with, even none at all.
            await self.aclose()
            raise ObjectStoreUnavailable(
                "S3: no credentials; set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY, or what AWS's "
                "own tools read"
            ) from error
        except TimeoutError as error:
            raise ObjectStoreUnavailable(f"S3: no answer within {self._timeout:g} s") from error
        except (BotoCoreError, aiohttp.ClientError, OSError) as error:
            raise ObjectStoreUnavailable(f"S3: {_one_line(error)}") from error

    def _refusal(self, error: Any) -> str:  # noqa: ANN401 - as above
        code = _code(error)
        said = error.response.get("Error", {}).get("Message") or "no message"
        hint = f"; {_HINTS[code]}" if code in _HINTS else ""
        return f"S3 refused for bucket {self._bucket!r}: {code}: {said}{hint}"


def _at_once(params: dict[str, Any], **_: object) -> None:
    """Send the body with the head: asking first costs a round trip, and not all servers answer."""
    params["headers"].pop("Expect", None)


def _code(error: Any) -> str:  # noqa: ANN401 - as above
    return str(error.response.get("Error", {}).get("Code", "no code"))


def _one_line(error: BaseException) -> str:
    text = str(error).strip().split("\n", 1)[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
