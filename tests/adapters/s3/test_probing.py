"""The probe relies on tests: it chooses write-once on a real server, and copies on a faulty one."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from attachery_service.domain.errors import StorageMisconfigured, StorageUnavailable
from attachery_service.domain.sessions import Seal
from attachery_service.s3.bucket.probing import Permission, ProbeReport, probe
from attachery_service.s3.client import Storage, StorageOptions, open_storage
from support.bad_stores import Exchange, Lie, canned_store, hasty_store, lying_store, s3_error

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client


@asynccontextmanager
async def behind(lie: Lie, options: StorageOptions) -> AsyncIterator[Storage]:
    """Object storage behind a proxy that changes some of its responses."""
    async with (
        lying_store(str(options.endpoint), lie) as endpoint,
        open_storage(replace(options, endpoint=endpoint)) as storage,
    ):
        yield storage


async def probed(lie: Lie, options: StorageOptions) -> ProbeReport:
    async with behind(lie, options) as storage:
        return await probe(storage)


def truthfully(exchange: Exchange) -> Exchange:
    return exchange


async def test_a_store_that_keeps_its_word_is_written_once(storage: Storage) -> None:
    report = await probe(storage)

    assert report.seal is Seal.WRITE_ONCE
    assert report.write_once
    assert report.signed_headers
    assert report.conditional_copy
    assert not report.versioned
    assert report.permitted == set(Permission)
    assert report.clock_difference == pytest.approx(0, abs=3)
    assert report.notes == ()


async def test_the_probe_leaves_nothing_behind(
    storage: Storage, raw_s3: S3Client, bucket: str
) -> None:
    await probe(storage)

    assert (await raw_s3.list_objects_v2(Bucket=bucket))["KeyCount"] == 0


async def test_a_proxy_that_changes_nothing_changes_nothing(options: StorageOptions) -> None:
    report = await probed(truthfully, options)

    assert report.seal is Seal.WRITE_ONCE
    assert report.notes == ()


async def test_a_store_that_lets_a_slow_put_overtake_a_finished_one_is_copied(
    options: StorageOptions, raw_s3: S3Client
) -> None:
    async with (
        hasty_store(str(options.endpoint), raw_s3) as endpoint,
        open_storage(replace(options, endpoint=endpoint)) as storage,
    ):
        report = await probe(storage)
    assert report.seal is Seal.COPY
    assert not report.write_once


async def test_a_store_that_ignores_the_condition_is_copied(options: StorageOptions) -> None:
    def ignore_condition(exchange: Exchange) -> Exchange:
        precondition_failed = exchange.method == "PUT" and exchange.status == 412
        is_upload = "if-none-match" in exchange.headers
        return exchange.saying(200) if precondition_failed and is_upload else exchange

    report = await probed(ignore_condition, options)

    assert report.seal is Seal.COPY
    assert not report.write_once
    assert report.signed_headers
    assert any("copied" in note for note in report.notes)


async def test_a_store_without_conditions_is_copied(options: StorageOptions) -> None:
    def not_implemented(exchange: Exchange) -> Exchange:
        return exchange.saying(501) if "if-none-match" in exchange.headers else exchange

    report = await probed(not_implemented, options)

    assert report.seal is Seal.COPY
    assert not report.write_once


async def test_a_store_that_needs_no_signed_header_is_copied(options: StorageOptions) -> None:
    def accept_all(exchange: Exchange) -> Exchange:
        return exchange.saying(200) if exchange.status == 403 else exchange

    report = await probed(accept_all, options)

    assert report.seal is Seal.COPY
    assert not report.write_once
    assert not report.signed_headers
    assert any("signed" in note for note in report.notes)


async def test_an_unconditional_copy_is_noted(options: StorageOptions) -> None:
    def copied(exchange: Exchange) -> Exchange:
        if "x-amz-copy-source" not in exchange.headers or exchange.status != 412:
            return exchange
        body = b'<CopyObjectResult><ETag>"x"</ETag></CopyObjectResult>'
        return replace(exchange, status=200, body=body)

    report = await probed(copied, options)

    assert not report.conditional_copy
    assert report.seal is Seal.WRITE_ONCE
    assert any("copies a source that has changed" in note for note in report.notes)


async def test_a_missing_list_permission_is_noted(options: StorageOptions) -> None:
    def forbid_listing(exchange: Exchange) -> Exchange:
        is_bucket = exchange.path.count("/") < 2
        hidden = exchange.method == "HEAD" and (is_bucket or exchange.status == 404)
        return exchange.saying(403) if hidden else exchange

    report = await probed(forbid_listing, options)

    assert Permission.LIST not in report.permitted
    assert any("list" in note for note in report.notes)


@pytest.mark.parametrize(
    ("method", "permission"), [("GET", Permission.GET), ("DELETE", Permission.DELETE)]
)
async def test_a_missing_permission_is_noted(
    options: StorageOptions, method: str, permission: Permission
) -> None:
    def forbid(exchange: Exchange) -> Exchange:
        return exchange.saying(403) if exchange.method == method else exchange

    report = await probed(forbid, options)

    assert permission not in report.permitted
    assert any(permission.value in note for note in report.notes)


async def test_a_missing_head_permission_is_named(options: StorageOptions) -> None:
    def forbid_head(exchange: Exchange) -> Exchange:
        is_bucket = exchange.path.count("/") < 2
        return exchange.saying(403) if exchange.method == "HEAD" and not is_bucket else exchange

    async with behind(forbid_head, options) as storage:
        with pytest.raises(StorageMisconfigured) as raised:
            await probe(storage)

    assert "s3:GetObject" in raised.value.facts["detail"]


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_clock_that_is_wrong_is_noted(options: StorageOptions, hours: int) -> None:
    def at_another_time(exchange: Exchange) -> Exchange:
        told = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
        return replace(exchange, answer_headers={**exchange.answer_headers, "Date": told})

    report = await probed(at_another_time, options)

    assert report.clock_difference == pytest.approx(hours * 3600, abs=3)
    assert any("clock" in note for note in report.notes)


async def test_a_versioned_bucket_is_noted(storage: Storage, raw_s3: S3Client, bucket: str) -> None:
    await raw_s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    report = await probe(storage)

    assert report.versioned
    assert report.seal is Seal.WRITE_ONCE
    assert any("versioned" in note for note in report.notes)


async def test_the_probe_does_not_need_the_public_endpoint(options: StorageOptions) -> None:
    unreachable = replace(options, public_endpoint="http://uploads.invalid")
    async with open_storage(unreachable) as storage:
        assert (await probe(storage)).seal is Seal.WRITE_ONCE


async def test_a_missing_bucket_is_named(storage: Storage) -> None:
    missing = replace(storage, options=replace(storage.options, bucket=f"no-{uuid.uuid4()}"))

    with pytest.raises(StorageMisconfigured) as raised:
        await probe(missing)

    assert "no such bucket" in raised.value.facts["detail"]


async def test_wrong_keys_are_named(options: StorageOptions) -> None:
    async with open_storage(replace(options, secret_key="wrong")) as storage:
        with pytest.raises(StorageMisconfigured) as raised:
            await probe(storage)

    assert "wrong keys" in raised.value.facts["detail"]


@pytest.mark.parametrize("answer", [None, s3_error("503 Slow Down", "SlowDown")])
async def test_a_store_that_fails_is_unavailable(
    options: StorageOptions, answer: bytes | None
) -> None:
    async with canned_store(answer) as store:
        failing = replace(options, endpoint=store.endpoint, operation_timeout=0.3)
        async with open_storage(failing) as storage:
            with pytest.raises(StorageUnavailable) as raised:
                await probe(storage)

    assert "does not answer" in raised.value.facts["detail"]


async def test_a_store_that_fails_half_way_is_unavailable(options: StorageOptions) -> None:
    def fail_uploads(exchange: Exchange) -> Exchange:
        return exchange.saying(503) if exchange.method == "PUT" else exchange

    async with behind(fail_uploads, options) as storage:
        with pytest.raises(StorageUnavailable):
            await probe(storage)
