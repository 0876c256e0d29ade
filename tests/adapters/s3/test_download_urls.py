"""A download URL returns exactly the sealed bytes, with the type and name of the service."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from attachery_service.domain.content_disposition import content_disposition
from attachery_service.domain.declarations import Disposition
from attachery_service.domain.sessions import SealedObject
from attachery_service.s3.signing.urls import S3TargetSigner
from support.clocks import signing_earlier
from support.uploading import BODY, Uploader

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

HOUR = timedelta(hours=1)


@pytest.fixture
async def stored_key(raw_s3: S3Client, bucket: str, key: str) -> str:
    """The key of an object that a browser must not execute."""
    await raw_s3.put_object(Bucket=bucket, Key=key, Body=BODY, ContentType="text/html")
    return key


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "filename",
    ["plain.txt", "Übersicht 2026.pdf", "日本語の名前.png", "a\"b'c;d=e%41&f+g #h.txt",
     "👩‍👩‍👧.gif",
     "trailing dot.", "😀" * 251 + ".png", "x" * 255, "(1) [2] {3} ~ ! @ $ ^ , `.txt"],
)  # fmt: skip
async def test_a_download_has_the_bytes_and_the_forced_headers(
    signer: S3TargetSigner,
    stored_key: str,
    uploader: Uploader,
    filename: str,
) -> None:
    disposition = content_disposition(Disposition.ATTACHMENT, filename)

    url = await signer.sign_download(
        SealedObject(stored_key, ""), HOUR, "application/octet-stream", disposition
    )
    answer = await uploader.request("GET", url.url)

    assert answer.body == BODY
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == disposition
    assert answer.headers["Cache-Control"] == "private, no-store"


async def test_a_type_with_parameters_is_given_as_it_is(
    signer: S3TargetSigner, stored_key: str, uploader: Uploader
) -> None:

    url = await signer.sign_download(
        SealedObject(stored_key, ""), HOUR, "text/plain; charset=utf-8", "inline"
    )

    answer = await uploader.request("GET", url.url)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_the_forced_headers_cannot_be_changed(
    signer: S3TargetSigner, stored_key: str, uploader: Uploader
) -> None:
    url = await signer.sign_download(SealedObject(stored_key, ""), HOUR, "text/plain", "attachment")

    assert (await uploader.request("GET", url.url.replace("plain", "html"))).refused


async def test_an_expired_download_is_refused(
    signer: S3TargetSigner,
    stored_key: str,
    uploader: Uploader,
) -> None:
    with signing_earlier(timedelta(hours=2)):
        url = await signer.sign_download(
            SealedObject(stored_key, ""), HOUR, "text/plain", "attachment"
        )

    assert (await uploader.request("GET", url.url)).refused
