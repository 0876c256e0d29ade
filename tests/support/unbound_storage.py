"""A storage without a bucket, and the requests that it makes through the SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from attachery_service.domain.checks import StoredObject
from attachery_service.domain.checksums import NO_CHECKSUMS
from attachery_service.s3.client import Storage, StorageOptions, open_storage

KEY = "files/a/b/c"
ETAG = "0" * 32
FOUND = StoredObject(
    key=KEY,
    size=5,
    etag=ETAG,
    etag_is_md5=True,
    content_type="",
    content_encoding="",
    server_checksums=NO_CHECKSUMS,
)
HEADERS = f"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: {ETAG}\r\n\r\n".encode()


@asynccontextmanager
async def opened_at(endpoint: str, **more: Any) -> AsyncIterator[Storage]:
    keys = {"access_key": "AKIAFIRST", "secret_key": "SECRET"}
    async with open_storage(
        StorageOptions(bucket="bucket", endpoint=endpoint, **{**keys, **more})
    ) as storage:
        yield storage


def calls_of_the_sdk(storage: Storage) -> list[str]:
    """Records the operations that it requests."""
    calls: list[str] = []

    def note(model: Any, **_: object) -> None:
        calls.append(model.name)

    storage.s3.meta.events.register("before-call.s3", note)
    return calls
