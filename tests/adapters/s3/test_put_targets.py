"""A PUT target accepts the declared bytes once, and nothing else."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from msgspec import structs
from yarl import URL

from attachery_service.domain.checksums import Algorithm
from attachery_service.domain.sessions import SealedObject
from attachery_service.s3.client import StorageOptions, open_storage
from attachery_service.s3.objects import S3ObjectStore
from attachery_service.s3.signing.urls import S3TargetSigner
from support.clocks import signing_earlier
from support.proxy import proxy_of
from support.uploading import BODY, OTHER_BODY, Uploader, checksums_of, in_chunks, put_request

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

ALL = tuple(Algorithm)


async def test_the_declared_bytes_are_accepted(
    signer: S3TargetSigner, objects: S3ObjectStore, uploader: Uploader, key: str
) -> None:
    target = await signer.sign_upload(put_request(key, checksums=checksums_of(BODY, *ALL)))

    assert (await uploader.send(target)).accepted

    found = await objects.head(key)
    assert found is not None
    assert await objects.first_bytes(found, 100) == BODY


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b"!", b""], ids=["shorter", "longer", "empty"])
async def test_another_length_is_refused(
    signer: S3TargetSigner, objects: S3ObjectStore, uploader: Uploader, key: str, body: bytes
) -> None:
    target = await signer.sign_upload(put_request(key))

    assert (await uploader.send(target, body)).refused
    assert await objects.head(key) is None


async def test_a_body_of_unknown_length_is_refused(
    signer: S3TargetSigner, objects: S3ObjectStore, uploader: Uploader, key: str
) -> None:
    target = await signer.sign_upload(put_request(key))
    headers = {name: v for name, v in target.headers.items() if name != "Content-Length"}

    async with uploader.http.put(
        URL(target.url, encoded=True), data=in_chunks(BODY), headers=headers
    ) as answer:
        assert 400 <= answer.status < 500
    assert await objects.head(key) is None


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 2000], ids=len)
async def test_without_a_declared_size_any_length_is_accepted_once(
    signer: S3TargetSigner, objects: S3ObjectStore, uploader: Uploader, key: str, body: bytes
) -> None:
    target = await signer.sign_upload(put_request(key, size=None))
    assert "Content-Length" not in target.headers

    assert (await uploader.send(target, body)).accepted
    assert (await uploader.send(target, OTHER_BODY)).status == 412

    found = await objects.head(key)
    assert found is not None
    assert found.size == len(body)


@pytest.mark.parametrize(
    "change",
    [{"content_type": "text/html"}, {"if_none_match": None}, {"content_md5": None}],
    ids=lambda change: next(iter(change)),
)
async def test_without_a_declared_size_the_other_headers_are_bound(
    signer: S3TargetSigner,
    objects: S3ObjectStore,
    uploader: Uploader,
    key: str,
    change: dict[str, str | None],
) -> None:
    declared = checksums_of(BODY, Algorithm.MD5)
    target = await signer.sign_upload(put_request(key, size=None, checksums=declared))

    assert (await uploader.send(target, BODY, **change)).refused
    assert await objects.head(key) is None


async def test_another_type_is_refused(
    signer: S3TargetSigner, objects: S3ObjectStore, uploader: Uploader, key: str
) -> None:
    target = await signer.sign_upload(put_request(key))

    assert (await uploader.send(target, content_type="text/html")).refused
    assert await objects.head(key) is None


@pytest.mark.parametrize("algorithm", Algorithm)
async def test_bytes_of_another_digest_are_refused(
    signer: S3TargetSigner,
    objects: S3ObjectStore,
    uploader: Uploader,
    key: str,
    algorithm: Algorithm,
) -> None:
    request = put_request(key, checksums=checksums_of(BODY, algorithm))
    target = await signer.sign_upload(request)

    assert (await uploader.send(target, OTHER_BODY)).refused
    assert await objects.head(key) is None


@pytest.mark.parametrize(
    "header",
    ["content_type", "content_md5", "if_none_match", "x_amz_checksum_sha256",
     "x_amz_sdk_checksum_algorithm"],
)  # fmt: skip
async def test_a_missing_header_is_refused(
    signer: S3TargetSigner, objects: S3ObjectStore, uploader: Uploader, key: str, header: str
) -> None:
    target = await signer.sign_upload(put_request(key, checksums=checksums_of(BODY, *ALL)))
    assert header.replace("_", "-") in {name.lower() for name in target.headers}

    assert (await uploader.send(target, **{header: None})).refused
    assert await objects.head(key) is None


async def test_another_digest_of_other_bytes_is_refused(
    signer: S3TargetSigner, uploader: Uploader, key: str
) -> None:
    ours, theirs = [
        await signer.sign_upload(put_request(key, checksums=checksums_of(body, Algorithm.SHA256)))
        for body in (BODY, OTHER_BODY)
    ]

    answer = await uploader.send(structs.replace(ours, headers=theirs.headers), OTHER_BODY)

    assert answer.refused


async def test_an_access_list_is_refused(
    signer: S3TargetSigner, objects: S3ObjectStore, uploader: Uploader, key: str
) -> None:
    target = await signer.sign_upload(put_request(key))

    assert (await uploader.send(target, x_amz_acl="public-read")).refused
    assert await objects.head(key) is None


async def test_a_copy_of_something_else_is_refused(
    signer: S3TargetSigner,
    raw_s3: S3Client,
    uploader: Uploader,
    key: str,
    request: pytest.FixtureRequest,
) -> None:
    bucket = signer.storage.options.bucket
    if request.config.getoption("--store") == "ministack":
        # AWS and Ceph refuse them; strict, so that a fix is noticed.
        reason = "ministack obeys x-amz- headers that were not signed"
        request.applymarker(pytest.mark.xfail(strict=True, reason=reason))
    await raw_s3.put_object(Bucket=bucket, Key="others/secret", Body=OTHER_BODY)
    target = await signer.sign_upload(put_request(key, b""))

    answer = await uploader.send(target, b"", x_amz_copy_source=f"/{bucket}/others/secret")

    assert answer.refused


async def test_an_expired_url_is_refused(
    signer: S3TargetSigner, uploader: Uploader, key: str
) -> None:
    with signing_earlier(timedelta(seconds=61)):
        target = await signer.sign_upload(put_request(key, lifetime=timedelta(minutes=1)))

    assert (await uploader.send(target)).refused


async def test_a_url_signed_a_while_ago_still_works_within_its_lifetime(
    signer: S3TargetSigner, uploader: Uploader, key: str
) -> None:
    with signing_earlier(timedelta(minutes=50)):
        target = await signer.sign_upload(put_request(key, lifetime=timedelta(hours=1)))

    assert (await uploader.send(target)).accepted


async def test_a_written_key_cannot_be_written_again(
    signer: S3TargetSigner, objects: S3ObjectStore, uploader: Uploader, key: str
) -> None:
    target = await signer.sign_upload(put_request(key))
    assert (await uploader.send(target)).accepted

    assert (await uploader.send(target, OTHER_BODY)).status == 412

    found = await objects.head(key)
    assert found is not None
    assert await objects.first_bytes(found, 100) == BODY


async def test_without_write_once_a_replay_replaces_the_object(
    signer: S3TargetSigner, objects: S3ObjectStore, uploader: Uploader, key: str
) -> None:
    target = await signer.sign_upload(put_request(key, write_once=False))
    assert (await uploader.send(target)).accepted

    assert (await uploader.send(target, OTHER_BODY)).accepted

    found = await objects.head(key)
    assert found is not None
    assert await objects.first_bytes(found, 100) == OTHER_BODY


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_an_upload_url_does_nothing_else(
    signer: S3TargetSigner, objects: S3ObjectStore, uploader: Uploader, key: str, method: str
) -> None:
    target = await signer.sign_upload(put_request(key))
    await uploader.send(target)

    assert (await uploader.request(method, target.url)).refused
    assert await objects.head(key) is not None


async def test_a_download_url_cannot_upload(
    signer: S3TargetSigner, objects: S3ObjectStore, uploader: Uploader, key: str
) -> None:
    sealed = SealedObject(key, "0" * 32)
    download = await signer.sign_download(sealed, timedelta(minutes=5), "text/plain", "attachment")

    assert (await uploader.request("PUT", download.url, BODY)).refused
    assert await objects.head(key) is None


async def test_another_key_is_refused(
    signer: S3TargetSigner, objects: S3ObjectStore, uploader: Uploader, key: str
) -> None:
    target = await signer.sign_upload(put_request(key))
    elsewhere = structs.replace(target, url=target.url.replace(key, f"{key}x"))

    assert (await uploader.send(elsewhere)).refused
    assert await objects.head(f"{key}x") is None


@pytest.mark.parametrize(
    "content_type",
    ["text/plain;  charset=utf-8", 'multipart/mixed;\tboundary="a  b"', "Application/X-Odd+json"],
)
async def test_a_type_with_parameters_survives(
    signer: S3TargetSigner,
    objects: S3ObjectStore,
    uploader: Uploader,
    key: str,
    content_type: str,
) -> None:
    target = await signer.sign_upload(put_request(key, content_type=content_type))

    assert (await uploader.send(target)).accepted

    found = await objects.head(key)
    assert found is not None
    assert "".join(found.content_type.split()) == "".join(content_type.split())


async def test_targets_are_signed_for_the_public_endpoint(
    options: StorageOptions, uploader: Uploader
) -> None:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(proxy_of(str(options.endpoint)))
        public = proxy.in_front_of(str(options.endpoint))
        storage = await stack.enter_async_context(
            open_storage(replace(options, public_endpoint=public))
        )
        target = await S3TargetSigner(storage).sign_upload(put_request("files/a/b/c"))

        assert target.url.startswith(public)
        assert (await uploader.send(target)).accepted
        assert await S3ObjectStore(storage).head("files/a/b/c") is not None
