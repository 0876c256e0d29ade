"""A folder of the bucket in which the probe tries uploads."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import aiohttp

from attachery_client.proxies import aiohttp_options
from attachery_service.domain.checksums import NO_CHECKSUMS
from attachery_service.domain.errors import AttacheryError, StorageUnavailable
from attachery_service.domain.transfers import TargetRequest, UploadTarget
from attachery_service.s3.client import Storage
from attachery_service.s3.http.clients import trust
from attachery_service.s3.objects import S3ObjectStore
from attachery_service.s3.signing.urls import S3TargetSigner

BYTES: Final = b"probe"
_FOLDER: Final = ".probe"
CONTENT_TYPE: Final = "text/plain"
_LIFETIME: Final = timedelta(minutes=5)
_REFUSALS: Final = range(400, 500)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    versioned: bool
    clock_difference: float | None

    @property
    def accepted(self) -> bool:
        return self.status == HTTPStatus.OK

    @property
    def refused(self) -> bool:
        return self.status in _REFUSALS


@dataclass(frozen=True, slots=True)
class Trial:
    """A folder of its own in the bucket, with a signer and a client for it."""

    signer: S3TargetSigner
    objects: S3ObjectStore
    http: aiohttp.ClientSession
    folder: str
    keys: list[str] = field(default_factory=list)

    def new_key(self) -> str:
        self.keys.append(f"{self.folder}/{len(self.keys)}")
        return self.keys[-1]

    async def target(self, key: str, *, write_once: bool) -> UploadTarget:
        request = TargetRequest(
            key=key,
            content_type=CONTENT_TYPE,
            size=len(BYTES),
            max_size=len(BYTES),
            checksums=NO_CHECKSUMS,
            write_once=write_once,
            lifetime=_LIFETIME,
        )
        return await self.signer.sign_upload(request)

    async def put(
        self,
        target: UploadTarget,
        body: bytes = BYTES,
        *,
        without: str = "",
        instead: Mapping[str, str] | None = None,
        pause: Awaitable[None] | None = None,
    ) -> Answer:
        """Sends a PUT as the target says, apart from the given changes; `pause` delays the body.

        Raises StorageUnavailable.
        """
        headers = {**target.headers, **(instead or {}), "Content-Length": str(len(body))}
        headers.pop(without, None)
        before = time.time()
        data = body if pause is None else _halting(body, pause)
        options = aiohttp_options(target.url, headers)
        async with self.http.put(target.url, data=data, **options) as response:
            await response.read()
        # A missing feature is a result of the probe; any other server error is a fault.
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR and (
            response.status != HTTPStatus.NOT_IMPLEMENTED
        ):
            raise StorageUnavailable(detail="object storage answers with a server error")
        now = (before + time.time()) / 2
        return Answer(
            response.status,
            response.headers.get("x-amz-version-id", "null") != "null",
            _difference(response.headers.get("Date", ""), now),
        )

    async def clean_up(self) -> None:
        for key in self.keys:
            # A failed deletion leaves a few bytes, and the report shows the missing permission.
            with suppress(AttacheryError):
                await self.objects.delete(key)


@asynccontextmanager
async def open_trial(storage: Storage) -> AsyncIterator[Trial]:
    """Opens a client and a signer for the block; deletes all objects of the trial at its end."""
    timeout = aiohttp.ClientTimeout(total=storage.options.operation_timeout)
    connector = aiohttp.TCPConnector(ssl=await trust(storage.ca_bundle))
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        trial = Trial(
            # The service may be unable to reach the uploaders' endpoint.
            signer=S3TargetSigner(replace(storage, signing=storage.s3)),
            objects=S3ObjectStore(storage),
            http=http,
            folder=storage.options.key(_FOLDER, secrets.token_urlsafe(16)),
        )
        try:
            yield trial
        finally:
            await trial.clean_up()


async def _halting(body: bytes, pause: Awaitable[None]) -> AsyncIterator[bytes]:
    half = len(body) // 2
    yield body[:half]
    await pause
    yield body[half:]


def _difference(date: str, now: float) -> float | None:
    try:
        told = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    # The Date header is cut to whole seconds, so on average it is half a second late.
    return round(told + 0.5 - now, 1)
