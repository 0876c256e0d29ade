"""The S3 adapter on a real server, with a bucket for each test."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest
from botocore.retries.standard import ExponentialBackoff

from attachery_service.s3.client import Storage, StorageOptions, open_storage
from attachery_service.s3.objects import S3ObjectStore
from attachery_service.s3.signing.urls import S3TargetSigner
from support.store_fixtures import StoreUnderTest
from support.uploading import Uploader


def options_of(store: StoreUnderTest, bucket: str, *, fast: bool) -> StorageOptions:
    return StorageOptions(
        bucket=bucket,
        prefix="files",
        endpoint=store.endpoint,
        access_key=store.access_key,
        secret_key=store.secret_key,
        fast=fast,
    )


@pytest.fixture(scope="session")
def fast(request: pytest.FixtureRequest) -> bool:
    """Whether the run uses the fast paths."""
    return bool(request.config.getoption("--hot-paths") == "on")


@pytest.fixture
def options(object_store: StoreUnderTest, bucket: str, fast: bool) -> StorageOptions:
    return options_of(object_store, bucket, fast=fast)


@pytest.fixture(scope="session")
async def shared_storage(object_store: StoreUnderTest, fast: bool) -> AsyncIterator[Storage]:
    """One connection for the run, since opening one takes longer than most tests."""
    async with open_storage(options_of(object_store, "", fast=fast)) as opened:
        yield opened


@pytest.fixture
def storage(shared_storage: Storage, options: StorageOptions) -> Storage:
    return replace(shared_storage, options=options)


@pytest.fixture
def signer(storage: Storage) -> S3TargetSigner:
    return S3TargetSigner(storage)


@pytest.fixture
def objects(storage: Storage) -> S3ObjectStore:
    return S3ObjectStore(storage)


@pytest.fixture
def key(signer: S3TargetSigner) -> str:
    return signer.new_key("acme", uuid.uuid4())


@pytest.fixture
def attempts_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0)


@pytest.fixture
async def uploader() -> AsyncIterator[Uploader]:
    async with aiohttp.ClientSession() as http:
        yield Uploader(http)
