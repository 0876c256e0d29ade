"""Deletion of many objects: each is deleted, or reported as remaining."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from attachery_service.domain.errors import StorageMisconfigured, StorageUnavailable
from attachery_service.s3.client import Storage, StorageOptions, open_storage
from attachery_service.s3.objects import S3ObjectStore
from support.bad_stores import Exchange, lying_store

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

KEYS = [f"files/{n} & <ü>" for n in range(5)]

Lie = Callable[[Exchange], Exchange]


async def filled(s3: S3Client, bucket: str, keys: list[str]) -> None:
    for key in keys:
        await s3.put_object(Bucket=bucket, Key=key, Body=b"x")


async def left(s3: S3Client, bucket: str) -> set[str]:
    listing = await s3.list_objects_v2(Bucket=bucket)
    return {entry["Key"] for entry in listing.get("Contents", [])}


@asynccontextmanager
async def lied_to(options: StorageOptions, lie: Lie) -> AsyncIterator[S3ObjectStore]:
    """A storage whose responses to batch deletions are forged."""

    def lie_of_deletions(exchange: Exchange) -> Exchange:
        return lie(exchange) if exchange.method == "POST" else exchange

    assert options.endpoint
    async with (
        lying_store(options.endpoint, lie_of_deletions) as endpoint,
        open_storage(replace(options, endpoint=endpoint)) as storage,
    ):
        yield S3ObjectStore(storage)


async def test_those_named_are_gone_and_no_others(
    objects: S3ObjectStore, raw_s3: S3Client, bucket: str
) -> None:
    await filled(raw_s3, bucket, [*KEYS, "files/other"])
    assert await objects.delete_many(KEYS) == {}
    assert await left(raw_s3, bucket) == {"files/other"}


async def test_a_missing_object_is_no_error(objects: S3ObjectStore) -> None:
    assert await objects.delete_many(KEYS) == {}
    assert await objects.delete_many([]) == {}


async def test_more_than_one_request_takes_are_deleted(
    objects: S3ObjectStore, raw_s3: S3Client, bucket: str
) -> None:
    keys = [f"files/{n}" for n in range(1001)]
    await filled(raw_s3, bucket, [keys[0], keys[-1]])
    assert await objects.delete_many(keys) == {}
    assert not await left(raw_s3, bucket)


async def test_the_request_has_content_md5(
    options: StorageOptions, raw_s3: S3Client, bucket: str
) -> None:
    sent: list[str] = []

    def look(exchange: Exchange) -> Exchange:
        sent.append(exchange.headers.get("content-md5", ""))
        return exchange

    await filled(raw_s3, bucket, KEYS)
    async with lied_to(options, look) as objects:
        assert await objects.delete_many(KEYS) == {}
    assert len(sent) == 1
    assert sent[0].endswith("==")


@pytest.mark.parametrize(
    ("code", "error"),
    [("InternalError", StorageUnavailable), ("AccessDenied", StorageMisconfigured)],
)
async def test_an_undeleted_object_is_reported_with_its_error(
    options: StorageOptions, code: str, error: type[Exception]
) -> None:
    entries = [f"<Deleted><Key>k{n}</Key></Deleted>" for n in (0, 2)]
    body = f"<DeleteResult>{''.join(entries)}<Error><Key>k1</Key><Code>{code}</Code></Error>"

    def refuse(exchange: Exchange) -> Exchange:
        return replace(exchange, body=f"{body}</DeleteResult>".encode())

    async with lied_to(options, refuse) as objects:
        failed = await objects.delete_many(["k0", "k1", "k2"])
    assert {key: type(why) for key, why in failed.items()} == {"k1": error}


async def test_an_object_missing_from_the_response_counts_as_undeleted(
    options: StorageOptions,
) -> None:
    def forget(exchange: Exchange) -> Exchange:
        entry = b"<Deleted><Key>k0</Key></Deleted>"
        return replace(exchange, body=b"<DeleteResult>" + entry + b"</DeleteResult>")

    async with lied_to(options, forget) as objects:
        failed = await objects.delete_many(["k0", "k1"])
    assert {key: type(why) for key, why in failed.items()} == {"k1": StorageUnavailable}


async def test_an_object_reported_as_missing_counts_as_deleted(options: StorageOptions) -> None:
    def miss(exchange: Exchange) -> Exchange:
        entry = b"<Error><Key>k0</Key><Code>NoSuchKey</Code></Error>"
        return replace(exchange, body=b"<DeleteResult>" + entry + b"</DeleteResult>")

    async with lied_to(options, miss) as objects:
        assert await objects.delete_many(["k0"]) == {}


@pytest.mark.parametrize("status", [405, 501])
async def test_servers_without_batch_deletion_get_single_deletions(
    options: StorageOptions, status: int
) -> None:
    asked: list[tuple[str, str]] = []

    def refuse(exchange: Exchange) -> Exchange:
        asked.append((exchange.method, exchange.path.rpartition("/")[2]))
        return replace(exchange.saying(status), body=b"") if exchange.method == "POST" else exchange

    assert options.endpoint
    async with (
        lying_store(options.endpoint, refuse) as endpoint,
        open_storage(replace(options, endpoint=endpoint)) as storage,
    ):
        assert await S3ObjectStore(storage).delete_many(["k0", "k1"]) == {}
    assert {key for method, key in asked if method == "DELETE"} == {"k0", "k1"}


async def test_a_missing_bucket_is_no_missing_object(storage: Storage) -> None:
    missing = replace(storage, options=replace(storage.options, bucket="there-is-no-such-bucket"))
    with pytest.raises(StorageMisconfigured):
        await S3ObjectStore(missing).delete_many(KEYS)
