"""A storage at a store that needs no bucket, and what of it goes through the SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from attachery_service.storage.client import Storage, StorageOptions, open_storage


@asynccontextmanager
async def opened_at(endpoint: str, **more: Any) -> AsyncIterator[Storage]:
    keys = {"access_key": "AKIAFIRST", "secret_key": "SECRET"}
    async with open_storage(
        StorageOptions(bucket="bucket", endpoint=endpoint, **{**keys, **more})
    ) as storage:
        yield storage


def calls_of_the_sdk(storage: Storage) -> list[str]:
    """The operations it will have been asked for."""
    calls: list[str] = []

    def note(model: Any, **_: object) -> None:
        calls.append(model.name)

    storage.s3.meta.events.register("before-call.s3", note)
    return calls
