"""Temporary credentials: one refresh at a time, and no call waits longer than necessary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiobotocore.credentials import AioRefreshableCredentials

from attachery_service.domain.errors import StorageUnavailable
from attachery_service.s3.client import Storage
from attachery_service.s3.credentials import share_refresh
from attachery_service.s3.objects import S3ObjectStore
from attachery_service.s3.signing.urls import S3TargetSigner
from support.bad_stores import canned_store, http_answer
from support.unbound_storage import ETAG, KEY, opened_at
from support.uploading import put_request

pytestmark = pytest.mark.usefixtures("attempts_without_a_pause")


@dataclass
class Metadata:
    """A metadata service that issues credentials once it is released."""

    released: asyncio.Event = field(default_factory=asyncio.Event)
    requests: int = 0
    error: Exception | None = None

    async def issue(self) -> dict[str, str]:
        self.requests += 1
        await self.released.wait()
        if self.error is not None:
            raise self.error
        return issued("NEW", timedelta(hours=2))


def issued(name: str, lifetime: timedelta) -> dict[str, str]:
    keys = {"access_key": f"AKIA{name}", "secret_key": f"SECRET{name}", "token": name}
    return {**keys, "expiry_time": (datetime.now(UTC) + lifetime).isoformat()}


@asynccontextmanager
async def with_role(endpoint: str, metadata: Metadata, left: timedelta) -> AsyncIterator[Storage]:
    """An open storage whose temporary credentials have this lifetime left."""
    async with opened_at(endpoint, operation_timeout=1.0) as opened:
        role: Any = AioRefreshableCredentials.create_from_metadata(
            issued("OLD", left), refresh_using=metadata.issue, method="test"
        )
        share_refresh(role)
        client: Any = opened.s3
        client._request_signer._credentials = role
        yield replace(opened, credentials=role)


async def test_no_call_waits_for_new_credentials_while_the_old_ones_are_valid() -> None:
    metadata = Metadata()
    async with (
        canned_store(http_answer("200 OK", b"", f"ETag: {ETAG}")) as store,
        with_role(store.endpoint, metadata, timedelta(minutes=12)) as storage,
    ):
        objects = S3ObjectStore(storage)
        await asyncio.gather(*(objects.head(KEY) for _ in range(20)))
        assert metadata.requests == 1
        metadata.released.set()
        for _ in range(5):
            await asyncio.sleep(0)
        await objects.head(KEY)
    assert all("AKIAOLD/" in head for head in store.heads[:-1])
    assert "AKIANEW/" in store.heads[-1]


async def test_a_silent_metadata_service_refuses_all_callers_after_one_attempt() -> None:
    metadata = Metadata()
    async with (
        canned_store(http_answer("200 OK", b"", f"ETag: {ETAG}")) as store,
        with_role(store.endpoint, metadata, timedelta(seconds=1)) as storage,
    ):
        objects, signer = S3ObjectStore(storage), S3TargetSigner(storage)
        async with asyncio.timeout(10):
            found = await asyncio.gather(
                *(objects.head(KEY) for _ in range(10)),
                *(signer.sign_upload(put_request(KEY)) for _ in range(10)),
                return_exceptions=True,
            )
        assert {type(error) for error in found} == {StorageUnavailable}
        assert metadata.requests == 1
        metadata.released.set()
        await objects.head(KEY)
        assert metadata.requests == 1
    assert "AKIANEW/" in store.heads[-1]
