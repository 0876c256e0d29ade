"""Signs URLs and forms that each permit one operation on one object."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

from attachery_service.domain.checksums import Algorithm, Checksums
from attachery_service.domain.sessions import SealedObject
from attachery_service.domain.transfers import DownloadUrl, TargetRequest, UploadTarget
from attachery_service.s3.client import Storage
from attachery_service.s3.digests import to_base64
from attachery_service.s3.errors import translate_errors
from attachery_service.s3.signing.signers import UrlSigner, choose_signer

# Object storage refuses a longer lifetime; the SDK does not.
MAX_LIFETIME: Final = timedelta(days=7)
MIN_LIFETIME: Final = timedelta(seconds=1)
_NONCE_BYTES: Final = 16
# Verified bytes may be deleted later, or be meant for one reader only.
_CACHE_CONTROL: Final = "private, no-store"
# A request may have one of them, so the strongest declared one is used.
_BY_STRENGTH: Final = (Algorithm.SHA256, Algorithm.CRC32C, Algorithm.CRC64NVME)


@dataclass(slots=True)
class S3TargetSigner:
    """Signs for the public endpoint. Raises StorageMisconfigured.

    Lifetimes are whole seconds, from 1 s to MAX_LIFETIME or the rest of the credentials' lifetime.
    Temporary credentials given as settings have no known end, and may expire earlier.
    """

    storage: Storage
    _chosen: UrlSigner | None = field(default=None, init=False)

    def new_key(self, tenant_id: str, attachment_id: UUID) -> str:
        """Generates a unique key with 128 random bits."""
        nonce = secrets.token_urlsafe(_NONCE_BYTES)
        return self.storage.options.key(tenant_id, str(attachment_id), nonce)

    async def sign_upload(self, request: TargetRequest) -> UploadTarget:
        """Signs a form, or a PUT of exactly the declared size.

        Raises ValueError for a write-once form.
        """
        if request.is_form and request.write_once:
            raise ValueError("a form cannot be write-once")
        with translate_errors(self.storage.options.operation_timeout):
            lifetime = await self._lifetime(request.lifetime)
            if request.is_form:
                return await self._form(request, lifetime)
            return await self._put(request, lifetime)

    async def sign_download(
        self, sealed: SealedObject, lifetime: timedelta, content_type: str, disposition: str
    ) -> DownloadUrl:
        """Signs a GET of the sealed key with response headers that replace the object's own."""
        with translate_errors(self.storage.options.operation_timeout):
            shortened = await self._lifetime(lifetime)
            signer = await self._signer()
            answer_with = {
                "response-content-type": content_type,
                "response-content-disposition": disposition,
                "response-cache-control": _CACHE_CONTROL,
            }
            url = await signer.get(sealed.key, answer_with, _seconds(shortened))
            return DownloadUrl(url=url, lifetime=shortened)

    async def _put(self, request: TargetRequest, lifetime: timedelta) -> UploadTarget:
        headers = dict(_headers(request))
        signed = {name.lower(): value for name, value in headers.items()}
        signer = await self._signer()
        url = await signer.put(request.key, signed, _seconds(lifetime))
        return UploadTarget(
            method="PUT", url=url, headers=headers, form_fields={}, lifetime=lifetime
        )

    async def _form(self, request: TargetRequest, lifetime: timedelta) -> UploadTarget:
        fields = {"Content-Type": _one_line(request.content_type)}
        fields |= dict(_checksum(request.checksums)[:1])
        signer = await self._signer()
        form = await signer.form(
            request.key, fields, (request.min_size, request.max_size), _seconds(lifetime)
        )
        return UploadTarget(
            method="POST", url=form.url, headers={}, form_fields=form.fields, lifetime=lifetime
        )

    async def _signer(self) -> UrlSigner:
        if self._chosen is None:
            self._chosen = await choose_signer(self.storage)
        return self._chosen

    async def _lifetime(self, asked: timedelta) -> timedelta:
        credentials = self.storage.credentials
        # Refreshes credentials that are about to expire.
        await credentials.get_frozen_credentials()
        # Only temporary credentials have this attribute; the SDK has no public one.
        seconds_left = getattr(credentials, "_seconds_remaining", None)
        longest = MAX_LIFETIME if seconds_left is None else timedelta(seconds=seconds_left())
        shortened = min(asked, longest, MAX_LIFETIME)
        return max(timedelta(seconds=shortened // timedelta(seconds=1)), MIN_LIFETIME)


def _headers(request: TargetRequest) -> Iterator[tuple[str, str]]:
    """The headers that the uploader must send unchanged."""
    if request.size is not None:
        yield "Content-Length", str(request.size)
    yield "Content-Type", _one_line(request.content_type)
    if request.checksums.md5 is not None:
        yield "Content-MD5", to_base64(request.checksums.md5)
    yield from _checksum(request.checksums)
    if request.write_once:
        yield "If-None-Match", "*"


def _checksum(checksums: Checksums) -> list[tuple[str, str]]:
    """The strongest declared digest, and the header without which some servers ignore it."""
    for algorithm in _BY_STRENGTH:
        if (digest := checksums.get(algorithm)) is not None:
            return [
                (f"x-amz-checksum-{algorithm.value}", to_base64(digest)),
                ("x-amz-sdk-checksum-algorithm", algorithm.value.upper()),
            ]
    return []


def _one_line(content_type: str) -> str:
    # Signatures fold white space, and servers disagree about which characters it contains.
    return " ".join(content_type.split())


def _seconds(lifetime: timedelta) -> int:
    return int(lifetime.total_seconds())
