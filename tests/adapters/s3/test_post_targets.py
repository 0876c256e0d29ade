"""A form accepts 1 to the permitted number of bytes, of the declared type, for its one key."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest

from attachery_service.domain.checksums import Algorithm
from attachery_service.s3.objects import S3ObjectStore
from attachery_service.s3.signing.urls import S3TargetSigner
from support.clocks import signing_earlier
from support.uploading import BODY, OTHER_BODY, Uploader, checksums_of, form_request


@pytest.mark.parametrize("size", [1, 1024])
async def test_sizes_within_the_limits_are_accepted(
    signer: S3TargetSigner, objects: S3ObjectStore, uploader: Uploader, key: str, size: int
) -> None:
    target = await signer.sign_upload(form_request(key))

    assert (await uploader.send(target, b"x" * size)).accepted

    found = await objects.head(key)
    assert found is not None
    assert found.size == size
    assert found.content_type == "text/plain"


@pytest.mark.parametrize("size", [0, 1025])
async def test_sizes_outside_the_limits_are_refused(
    signer: S3TargetSigner, objects: S3ObjectStore, uploader: Uploader, key: str, size: int
) -> None:
    target = await signer.sign_upload(form_request(key))

    assert (await uploader.send(target, b"x" * size)).refused
    assert await objects.head(key) is None


@pytest.mark.parametrize(
    "change",
    [{"key": "files/acme/elsewhere"}, {"content_type": "text/html"}, {"content_type": None},
     {"acl": "public-read"}, {"x_amz_meta_note": "extra"}, {"policy": None},
     {"x_amz_signature": None}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
async def test_a_changed_form_is_refused(
    signer: S3TargetSigner,
    objects: S3ObjectStore,
    uploader: Uploader,
    key: str,
    change: dict[str, str | None],
) -> None:
    target = await signer.sign_upload(form_request(key))

    assert (await uploader.send(target, BODY, **change)).refused
    assert await objects.head(key) is None
    assert await objects.head("files/acme/elsewhere") is None


async def test_a_policy_with_wider_limits_is_refused(
    signer: S3TargetSigner, objects: S3ObjectStore, uploader: Uploader, key: str
) -> None:
    target = await signer.sign_upload(form_request(key))
    policy = json.loads(base64.b64decode(target.form_fields["policy"]))
    wider = [["content-length-range", 0, 10**9] if isinstance(c, list) else c
             for c in policy["conditions"]]  # fmt: skip
    tampered = base64.b64encode(json.dumps({**policy, "conditions": wider}).encode()).decode()

    assert (await uploader.send(target, b"x" * 2000, policy=tampered)).refused
    assert await objects.head(key) is None


async def test_an_expired_form_is_refused(
    signer: S3TargetSigner, uploader: Uploader, key: str
) -> None:
    with signing_earlier(timedelta(seconds=61)):
        target = await signer.sign_upload(form_request(key, lifetime=timedelta(minutes=1)))

    assert (await uploader.send(target)).refused


@pytest.mark.parametrize("algorithm", [a for a in Algorithm if a is not Algorithm.MD5])
async def test_no_store_attests_a_digest_the_bytes_do_not_have(
    signer: S3TargetSigner,
    objects: S3ObjectStore,
    uploader: Uploader,
    key: str,
    algorithm: Algorithm,
) -> None:
    declared = checksums_of(BODY, algorithm)
    target = await signer.sign_upload(form_request(key, checksums=declared))

    await uploader.send(target, OTHER_BODY)

    # Refused, or stored without its digest: then the service computes it.
    found = await objects.head(key)
    assert found is None or found.server_checksums.get(algorithm) is None


async def test_the_declared_digest_is_no_hindrance(
    signer: S3TargetSigner, objects: S3ObjectStore, uploader: Uploader, key: str
) -> None:
    declared = checksums_of(BODY, *Algorithm)
    target = await signer.sign_upload(form_request(key, checksums=declared))

    assert (await uploader.send(target)).accepted

    found = await objects.head(key)
    assert found is not None
    assert found.server_checksums.sha256 in (None, declared.sha256)


async def test_a_form_cannot_be_write_once(signer: S3TargetSigner, key: str) -> None:
    with pytest.raises(ValueError, match="write-once"):
        await signer.sign_upload(form_request(key, write_once=True))
