"""The signed headers, by name: an uploader cannot omit a constraint."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.credentials import ReadOnlyCredentials

from attachery_service.domain.checksums import Algorithm, Checksums
from attachery_service.domain.errors import StorageMisconfigured
from attachery_service.domain.sessions import SealedObject
from attachery_service.s3.client import Storage, StorageOptions, open_storage
from attachery_service.s3.http.fast_reads import choose_reads
from attachery_service.s3.reads import SdkReads
from attachery_service.s3.signing.signers import choose_signer
from attachery_service.s3.signing.urls import S3TargetSigner
from support.uploading import BODY, checksums_of, form_request, put_request

BASE = {"host", "content-length", "content-type"}
SEALED = SealedObject("files/a/b/c", "0" * 32)


@dataclass(frozen=True)
class EndingCredentials:
    """Credentials of a role, with some seconds to live."""

    seconds: float

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return ReadOnlyCredentials("AKIA", "SECRET", "token")

    def _seconds_remaining(self) -> float:
        return self.seconds


@dataclass(frozen=True)
class LostCredentials:
    """Credentials that have expired and cannot be refreshed."""

    async def get_frozen_credentials(self) -> None:
        raise RuntimeError("Credentials were refreshed, but are still expired: AKIASECRET")


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


@pytest.mark.parametrize(
    ("algorithms", "headers"),
    [
        ([], set()),
        ([Algorithm.MD5], {"content-md5"}),
        ([Algorithm.SHA256], {"x-amz-checksum-sha256", "x-amz-sdk-checksum-algorithm"}),
        ([Algorithm.CRC32C], {"x-amz-checksum-crc32c", "x-amz-sdk-checksum-algorithm"}),
        ([Algorithm.CRC64NVME], {"x-amz-checksum-crc64nvme", "x-amz-sdk-checksum-algorithm"}),
        (
            list(Algorithm),
            {"content-md5", "x-amz-checksum-sha256", "x-amz-sdk-checksum-algorithm"},
        ),
        (
            [Algorithm.CRC64NVME, Algorithm.CRC32C],
            {"x-amz-checksum-crc32c", "x-amz-sdk-checksum-algorithm"},
        ),
    ],
)
@pytest.mark.parametrize("write_once", [True, False])
async def test_every_constraint_is_a_signed_header_the_target_names(
    signer: S3TargetSigner,
    key: str,
    algorithms: list[Algorithm],
    headers: set[str],
    write_once: bool,
) -> None:
    request = put_request(key, checksums=checksums_of(BODY, *algorithms), write_once=write_once)

    target = await signer.sign_upload(request)

    signed = set(query(target.url)["X-Amz-SignedHeaders"].split(";"))
    assert signed == BASE | headers | ({"if-none-match"} if write_once else set())
    assert {name.lower() for name in target.headers} == signed - {"host"}


async def test_a_size_that_is_not_declared_is_not_signed(signer: S3TargetSigner, key: str) -> None:
    target = await signer.sign_upload(put_request(key, size=None))

    signed = set(query(target.url)["X-Amz-SignedHeaders"].split(";"))
    assert (target.method, signed) == ("PUT", BASE - {"content-length"} | {"if-none-match"})
    assert {name.lower() for name in target.headers} == signed - {"host"}


async def test_the_headers_contain_the_declaration(signer: S3TargetSigner, key: str) -> None:
    digest = checksums_of(BODY, Algorithm.SHA256).sha256
    assert digest is not None

    target = await signer.sign_upload(put_request(key, checksums=Checksums(sha256=digest)))

    assert dict(target.headers) == {
        "Content-Length": str(len(BODY)),
        "Content-Type": "text/plain",
        "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(digest)).decode(),
        "x-amz-sdk-checksum-algorithm": "SHA256",
        "If-None-Match": "*",
    }
    assert target.method == "PUT"
    assert not target.form_fields


async def test_the_policy_fixes_key_type_and_size(signer: S3TargetSigner, key: str) -> None:
    target = await signer.sign_upload(form_request(key, max_size=7))

    conditions = json.loads(base64.b64decode(target.form_fields["policy"]))["conditions"]
    assert {"key": key} in conditions
    assert {"Content-Type": "text/plain"} in conditions
    assert ["content-length-range", 1, 7] in conditions
    assert not any("starts-with" in condition for condition in conditions)
    named = {name for condition in conditions if isinstance(condition, dict) for name in condition}
    assert named - {"bucket"} == set(target.form_fields) - {"policy", "x-amz-signature"}
    assert not target.headers


@pytest.mark.parametrize(
    ("asked", "left", "expected"),
    [
        (timedelta(hours=1), None, 3600),
        (timedelta(seconds=90.9), None, 90),
        (timedelta(days=30), None, 7 * 86400),
        (timedelta(hours=1), 600.5, 600),
        (timedelta(minutes=1), 600.5, 60),
        (timedelta(0), None, 1),
        (timedelta(hours=1), -5.0, 1),
    ],
)
async def test_a_lifetime_is_limited_by_the_credentials(
    storage: Storage, asked: timedelta, left: float | None, expected: int
) -> None:
    if left is not None:
        storage = replace(storage, credentials=EndingCredentials(left))  # type: ignore[arg-type]
    signer = S3TargetSigner(storage)

    put = await signer.sign_upload(put_request("k", lifetime=asked))
    form = await signer.sign_upload(form_request("k", lifetime=asked))
    download = await signer.sign_download(SEALED, asked, "text/plain", "attachment")

    for lifetime in (put.lifetime, form.lifetime, download.lifetime):
        assert lifetime == timedelta(seconds=expected)
    for url in (put.url, download.url):
        assert query(url)["X-Amz-Expires"] == str(expected)


async def test_lost_credentials_are_an_operators_matter(storage: Storage) -> None:
    signer = S3TargetSigner(replace(storage, credentials=LostCredentials()))  # type: ignore[arg-type]

    with pytest.raises(StorageMisconfigured) as raised:
        await signer.sign_upload(put_request("k"))

    assert "AKIA" not in repr(raised.value) + repr(raised.value.facts)


async def test_an_sdk_that_signs_otherwise_is_not_trusted(
    options: StorageOptions, key: str
) -> None:
    def drop(params: dict[str, object], **_: object) -> None:
        params.pop("IfNoneMatch", None)

    async with open_storage(replace(options, fast=False)) as storage:
        storage.signing.meta.events.register("provide-client-params.s3.PutObject", drop)

        with pytest.raises(StorageMisconfigured):
            await S3TargetSigner(storage).sign_upload(put_request(key))


async def test_representations_omit_the_secret(storage: Storage, options: StorageOptions) -> None:
    signer = await choose_signer(storage)
    reads = await choose_reads(storage, SdkReads(storage.s3, storage.options.bucket))

    shown = f"{storage!r} {S3TargetSigner(storage)!r} {signer!r} {reads!r}"

    assert str(options.secret_key) not in shown


def test_keys_are_made_of_ids_and_never_repeat(signer: S3TargetSigner) -> None:
    attachment_id = uuid.uuid4()

    keys = {signer.new_key("acme", attachment_id) for _ in range(100)}

    assert len(keys) == 100
    for each in keys:
        prefix, tenant, attachment, nonce = each.split("/")
        assert (prefix, tenant, attachment) == ("files", "acme", str(attachment_id))
        assert len(base64.urlsafe_b64decode(nonce + "==")) == 16


@pytest.mark.parametrize(("prefix", "key"), [("", "a/b"), ("/x/", "x/a/b"), ("x/y", "x/y/a/b")])
def test_a_prefix_may_be_empty_or_deep(storage: Storage, prefix: str, key: str) -> None:
    assert replace(storage.options, prefix=prefix).key("a", "b") == key
