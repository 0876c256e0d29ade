"""Operations on objects succeed, or report that the object has changed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from awscrt import checksums as crc
from msgspec import structs

from attachery_service.domain.checks import StoredObject
from attachery_service.domain.checksums import NO_CHECKSUMS, Algorithm, Checksums
from attachery_service.domain.object_faults import PreconditionChanged
from attachery_service.domain.transfers import TargetRequest
from attachery_service.s3.client import Storage, StorageOptions, open_storage
from attachery_service.s3.digests import to_base64
from attachery_service.s3.objects import S3ObjectStore
from attachery_service.s3.signing.urls import S3TargetSigner
from support.bad_stores import canned_store, http_answer
from support.uploading import (
    BODY,
    OTHER_BODY,
    Uploader,
    checksums_of,
    form_request,
    put_request,
)

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.literals import ChecksumAlgorithmType, ChecksumTypeType

PART = b"p" * 5 * 1024**2
FOUND = StoredObject(
    key="files/a/b/c",
    size=0,
    etag="0" * 32,
    etag_is_md5=True,
    content_type="",
    content_encoding="",
    server_checksums=NO_CHECKSUMS,
)
ATTESTABLE = [a for a in Algorithm if a is not Algorithm.MD5]

Put = Callable[..., Awaitable[StoredObject]]


@pytest.fixture
def put(objects: S3ObjectStore, raw_s3: S3Client, bucket: str, key: str) -> Put:
    """Puts an object without the service, and returns its metadata."""

    async def put(body: bytes = BODY, **more: Any) -> StoredObject:
        await raw_s3.put_object(Bucket=bucket, Key=key, Body=body, **more)
        found = await objects.head(key)
        assert found is not None
        return found

    return put


async def multipart(
    s3: S3Client, bucket: str, key: str, algorithm: Algorithm, kind: ChecksumTypeType
) -> None:
    """Uploads PART and a short tail as two parts."""
    name: ChecksumAlgorithmType = algorithm.name  # type: ignore[assignment]
    upload = await s3.create_multipart_upload(
        Bucket=bucket, Key=key, ChecksumAlgorithm=name, ChecksumType=kind
    )
    where: Any = {"Bucket": bucket, "Key": key, "UploadId": upload["UploadId"]}
    parts: list[Any] = []
    for number, body in enumerate((PART, BODY), start=1):
        part: dict[str, Any] = dict(
            await s3.upload_part(**where, PartNumber=number, Body=body, ChecksumAlgorithm=name)
        )
        digest = {f"Checksum{name}": part[f"Checksum{name}"]} if f"Checksum{name}" in part else {}
        parts.append({"PartNumber": number, "ETag": part["ETag"], **digest})
    await s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})


async def test_a_missing_object_is_none(objects: S3ObjectStore, key: str) -> None:
    assert await objects.head(key) is None


async def test_head_returns_size_type_and_etag(put: Put, key: str) -> None:
    found = await put(ContentType="text/x-odd; a=b", ContentEncoding="gzip")

    assert found == StoredObject(
        key=key,
        size=len(BODY),
        etag=hashlib.md5(BODY, usedforsecurity=False).hexdigest(),
        etag_is_md5=True,
        content_type="text/x-odd; a=b",
        content_encoding="gzip",
        server_checksums=found.server_checksums,
    )


async def test_an_empty_object_has_size_0(put: Put) -> None:
    assert (await put(b"")).size == 0


@pytest.mark.parametrize("algorithm", ATTESTABLE)
async def test_a_digest_verified_at_upload_is_attested(
    signer: S3TargetSigner,
    objects: S3ObjectStore,
    uploader: Uploader,
    key: str,
    algorithm: Algorithm,
) -> None:
    declared = checksums_of(BODY, algorithm)
    await uploader.send(await signer.sign_upload(put_request(key, checksums=declared)))

    found = await objects.head(key)

    assert found is not None
    assert found.server_checksums == declared
    assert found.etag_is_md5


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        (Algorithm.SHA256, "COMPOSITE"),
        (Algorithm.CRC32C, "COMPOSITE"),
        (Algorithm.CRC64NVME, "FULL_OBJECT"),
    ],
)
async def test_a_multipart_digest_counts_only_if_it_is_of_the_whole_object(
    storage: Storage,
    raw_s3: S3Client,
    key: str,
    algorithm: Algorithm,
    kind: ChecksumTypeType,
) -> None:
    await multipart(raw_s3, storage.options.bucket, key, algorithm, kind)

    found = await S3ObjectStore(storage).head(key)

    assert found is not None
    assert found.server_checksums in (NO_CHECKSUMS, checksums_of(PART + BODY, algorithm))
    if algorithm is Algorithm.SHA256:
        assert found.server_checksums == NO_CHECKSUMS


async def test_a_multipart_etag_is_not_md5(
    objects: S3ObjectStore, raw_s3: S3Client, bucket: str, key: str
) -> None:
    await multipart(raw_s3, bucket, key, Algorithm.SHA256, "COMPOSITE")

    found = await objects.head(key)

    assert found is not None
    assert found.etag.endswith("-2")
    assert not found.etag_is_md5
    assert found.known_digest(Algorithm.MD5) is None


@pytest.mark.parametrize(
    "request_of",
    [lambda key: put_request(key, write_once=False), form_request],
    ids=["put", "form"],
)
async def test_a_sealed_copy_is_out_of_reach_of_the_upload_url(
    signer: S3TargetSigner,
    objects: S3ObjectStore,
    uploader: Uploader,
    key: str,
    request_of: Callable[[str], TargetRequest],
) -> None:
    target = await signer.sign_upload(request_of(key))
    await uploader.send(target)
    uploaded = await objects.head(key)
    assert uploaded is not None

    await objects.copy(uploaded, f"{key}-sealed", "text/plain")
    assert (await uploader.send(target, OTHER_BODY)).accepted

    sealed = await objects.head(f"{key}-sealed")
    assert sealed is not None
    assert await objects.first_bytes(sealed, 100) == BODY
    replaced = await objects.head(key)
    assert replaced is not None
    assert await objects.first_bytes(replaced, 100) == OTHER_BODY


async def test_a_copy_has_the_declared_type_and_no_metadata_of_the_uploader(
    put: Put, objects: S3ObjectStore, raw_s3: S3Client, bucket: str, key: str
) -> None:
    source = await put(ContentType="text/html", Metadata={"a": "b"}, CacheControl="public")

    await objects.copy(source, f"{key}-sealed", "image/png; q=1")

    head = await raw_s3.head_object(Bucket=bucket, Key=f"{key}-sealed")
    assert head["ContentType"] == "image/png; q=1"
    assert not head.get("CacheControl")
    assert head["Metadata"] == {}


async def test_a_digest_of_a_copy_is_correct_or_unknown(
    signer: S3TargetSigner, objects: S3ObjectStore, uploader: Uploader, key: str
) -> None:
    declared = checksums_of(BODY, Algorithm.SHA256)
    await uploader.send(await signer.sign_upload(put_request(key, checksums=declared)))
    uploaded = await objects.head(key)
    assert uploaded is not None

    await objects.copy(uploaded, f"{key}-sealed", "text/plain")

    sealed = await objects.head(f"{key}-sealed")
    assert sealed is not None
    assert sealed.etag == uploaded.etag
    assert sealed.server_checksums.sha256 in (None, declared.sha256)


CALLS: dict[str, Callable[[S3ObjectStore, StoredObject], Awaitable[object]]] = {
    "copy": lambda objects, source: objects.copy(source, f"{source.key}-copy", "text/plain"),
    "first_bytes": lambda objects, source: objects.first_bytes(source, 5),
    "digest": lambda objects, source: objects.digest(source, [Algorithm.SHA256]),
}


@pytest.mark.parametrize("call", CALLS)
async def test_an_overwritten_source_is_noticed(
    put: Put, objects: S3ObjectStore, call: str
) -> None:
    described = await put()
    await put(OTHER_BODY)

    with pytest.raises(PreconditionChanged):
        await CALLS[call](objects, described)
    assert await objects.head(f"{described.key}-copy") is None


@pytest.mark.parametrize("call", CALLS)
async def test_a_deleted_source_is_noticed(put: Put, objects: S3ObjectStore, call: str) -> None:
    described = await put()
    await objects.delete(described.key)

    with pytest.raises(PreconditionChanged):
        await CALLS[call](objects, described)


@pytest.mark.parametrize(
    ("body", "count", "expected"),
    [
        (b"", 10, b""),
        (b"abc", 10, b"abc"),
        (b"abc", 3, b"abc"),
        (b"abc", 2, b"ab"),
        (b"abc", 0, b""),
        (PART, 4096, PART[:4096]),
    ],
    ids=["empty", "short", "exact", "some", "none", "long"],
)
async def test_first_bytes_are_as_many_as_there_are(
    put: Put, objects: S3ObjectStore, body: bytes, count: int, expected: bytes
) -> None:
    assert await objects.first_bytes(await put(body), count) == expected


@pytest.mark.parametrize("body", [b"", b"x", PART + BODY], ids=["empty", "one", "long"])
async def test_digests_are_those_of_the_bytes(
    put: Put, objects: S3ObjectStore, body: bytes
) -> None:
    found = await put(body)

    assert await objects.digest(found, list(Algorithm)) == Checksums(
        md5=hashlib.md5(body, usedforsecurity=False).hexdigest(),
        sha256=hashlib.sha256(body).hexdigest(),
        crc32c=f"{crc.crc32c(body):08x}",
        crc64nvme=f"{crc.crc64nvme(body):016x}",
    )


async def test_only_the_requested_digests_are_computed(put: Put, objects: S3ObjectStore) -> None:
    found = await put()

    assert await objects.digest(found, [Algorithm.CRC32C]) == checksums_of(BODY, Algorithm.CRC32C)
    assert await objects.digest(found, []) == NO_CHECKSUMS


async def test_more_digests_than_places_all_finish(put: Put, objects: S3ObjectStore) -> None:
    found = await put()

    digests = [objects.digest(found, [Algorithm.SHA256]) for _ in range(20)]

    assert set(await asyncio.gather(*digests)) == {checksums_of(BODY, Algorithm.SHA256)}


async def test_a_store_without_ranges_gives_its_connection_back(options: StorageOptions) -> None:
    source = structs.replace(FOUND, size=len(PART))
    whole = http_answer("200 OK", PART, f"ETag: {source.etag}")
    async with canned_store(whole) as store:
        one_connection = replace(options, endpoint=store.endpoint, max_connections=1)
        async with open_storage(one_connection) as storage:
            first_bytes = S3ObjectStore(storage).first_bytes
            assert await first_bytes(source, 10) == PART[:10]
            assert await first_bytes(source, 10) == PART[:10]


@pytest.mark.parametrize(
    ("headers", "is_md5"),
    [
        ([], True),
        (["x-amz-server-side-encryption: AES256"], True),
        (["x-amz-server-side-encryption: aws:kms"], False),
        (["x-amz-server-side-encryption: aws:kms:dsse"], False),
        (["x-amz-server-side-encryption-customer-algorithm: AES256"], False),
    ],
)
async def test_an_etag_is_md5_unless_a_key_of_its_own_encrypts_the_object(
    options: StorageOptions, headers: list[str], is_md5: bool
) -> None:
    found = await described(options, *headers)

    assert found.etag == FOUND.etag
    assert found.etag_is_md5 is is_md5


@pytest.mark.parametrize(
    ("headers", "is_attested"),
    [
        (["x-amz-checksum-type: FULL_OBJECT"], True),
        (["x-amz-checksum-type: COMPOSITE"], False),
        ([], True),
        ([f'ETag: "{"0" * 32}-2"'], False),
    ],
)
async def test_a_checksum_without_its_type_counts_for_a_single_part(
    options: StorageOptions, headers: list[str], is_attested: bool
) -> None:
    checksum = checksums_of(BODY, Algorithm.CRC32C)
    value = to_base64(checksum.crc32c or "")

    found = await described(options, f"x-amz-checksum-crc32c: {value}", *headers)

    assert found.server_checksums == (checksum if is_attested else NO_CHECKSUMS)


async def described(options: StorageOptions, *headers: str) -> StoredObject:
    """An object as the service sees it with these response headers."""
    etag = () if any("ETag" in header for header in headers) else (f'ETag: "{FOUND.etag}"',)
    async with (
        canned_store(http_answer("200 OK", b"", *etag, *headers)) as store,
        open_storage(replace(options, endpoint=store.endpoint)) as storage,
    ):
        found = await S3ObjectStore(storage).head(FOUND.key)
    assert found is not None
    return found


async def test_deleting_twice_is_no_error(put: Put, objects: S3ObjectStore, key: str) -> None:
    await put()

    await objects.delete(key)
    await objects.delete(key)

    assert await objects.head(key) is None
