"""URLs that carry their own permission, each for one object and nothing but what was signed."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from attachery_service.domain.checksums import Algorithm, Checksums
from attachery_service.domain.errors import StorageMisconfigured
from attachery_service.domain.sessions import SealedObject
from attachery_service.ports import DownloadUrl, TargetRequest, UploadTarget
from attachery_service.storage.client import Storage
from attachery_service.storage.digests import to_base64
from attachery_service.storage.faults import bounded

# Longer is refused by the store, not by the SDK.
MAX_LIFETIME: Final = timedelta(days=7)
MIN_LIFETIME: Final = timedelta(seconds=1)
_NONCE_BYTES: Final = 16
# What was verified may still be deleted, or belong to one reader only.
_CACHE_CONTROL: Final = "private, no-store"
# Stores take one of them in a request, so the strongest one that was declared.
_BY_STRENGTH: Final = (Algorithm.SHA256, Algorithm.CRC32C, Algorithm.CRC64NVME)


class _Constraint(NamedTuple):
    """A header the uploader must send as it is; `parameter` is the SDK's name for it."""

    parameter: str
    header: str
    value: str | int


@dataclass(frozen=True, slots=True)
class S3TargetSigner:
    """Signs for the endpoint that uploaders reach. Raises StorageMisconfigured.

    Lifetimes are in whole seconds, 1 s at least and at most MAX_LIFETIME or what the credentials
    have left; temporary credentials given by hand do not tell, and may end before.
    """

    storage: Storage

    def new_key(self, tenant_id: str, attachment_id: UUID) -> str:
        """A key that was never used before: 128 bits of it are random."""
        nonce = secrets.token_urlsafe(_NONCE_BYTES)
        return self.storage.options.key(tenant_id, str(attachment_id), nonce)

    async def sign_upload(self, request: TargetRequest) -> UploadTarget:
        """A PUT of exactly this size, or a form for 1 to `max_size` bytes.

        Raises ValueError for a form that should write once.
        """
        if request.size is None and request.write_once:
            raise ValueError("a form cannot demand to be the first to write")
        async with bounded(self.storage.options.operation_timeout):
            lifetime = await self._lifetime(request.lifetime)
            if request.size is None:
                return await self._form(request, lifetime)
            return await self._put(request, lifetime)

    async def sign_download(
        self, sealed: SealedObject, lifetime: timedelta, content_type: str, disposition: str
    ) -> DownloadUrl:
        """A GET of the sealed key that answers with these headers, whatever the object has."""
        async with bounded(self.storage.options.operation_timeout):
            seconds = await self._lifetime(lifetime)
            answer_with = {
                "ResponseContentType": content_type,
                "ResponseContentDisposition": disposition,
                "ResponseCacheControl": _CACHE_CONTROL,
            }
            url = await self._url("get_object", sealed.key, answer_with, seconds)
            _require_signed(url, [])
            return DownloadUrl(url=url, lifetime=seconds)

    async def _put(self, request: TargetRequest, lifetime: timedelta) -> UploadTarget:
        constraints = list(_constraints(request))
        parameters = {each.parameter: each.value for each in constraints}
        url = await self._url("put_object", request.key, parameters, lifetime)
        headers = {each.header: str(each.value) for each in constraints}
        _require_signed(url, headers)
        return UploadTarget(
            method="PUT", url=url, headers=headers, form_fields={}, lifetime=lifetime
        )

    async def _form(self, request: TargetRequest, lifetime: timedelta) -> UploadTarget:
        fields = {"Content-Type": _one_line(request.content_type)}
        fields |= {each.header: str(each.value) for each in _checksum(request.checksums)[:1]}
        size_range = ["content-length-range", 1, request.max_size]
        form = await self.storage.signing.generate_presigned_post(
            Bucket=self.storage.options.bucket,
            Key=request.key,
            Fields=fields,
            Conditions=[*({name: value} for name, value in fields.items()), size_range],
            ExpiresIn=int(lifetime.total_seconds()),
        )
        return UploadTarget(
            method="POST",
            url=form["url"],
            headers={},
            form_fields=form["fields"],
            lifetime=lifetime,
        )

    async def _url(
        self, operation: str, key: str, parameters: dict[str, Any], lifetime: timedelta
    ) -> str:
        return await self.storage.signing.generate_presigned_url(
            operation,
            Params={"Bucket": self.storage.options.bucket, "Key": key, **parameters},
            ExpiresIn=int(lifetime.total_seconds()),
        )

    async def _lifetime(self, asked: timedelta) -> timedelta:
        credentials = self.storage.credentials
        # Refreshes those that are about to end.
        await credentials.get_frozen_credentials()
        # Only credentials that end have this; the SDK offers no public way to ask.
        seconds_left = getattr(credentials, "_seconds_remaining", None)
        longest = MAX_LIFETIME if seconds_left is None else timedelta(seconds=seconds_left())
        shortened = min(asked, longest, MAX_LIFETIME)
        return max(timedelta(seconds=shortened // timedelta(seconds=1)), MIN_LIFETIME)


def _constraints(request: TargetRequest) -> Iterator[_Constraint]:
    if request.size is not None:
        yield _Constraint("ContentLength", "Content-Length", request.size)
    yield _Constraint("ContentType", "Content-Type", _one_line(request.content_type))
    if request.checksums.md5 is not None:
        yield _Constraint("ContentMD5", "Content-MD5", to_base64(request.checksums.md5))
    yield from _checksum(request.checksums)
    if request.write_once:
        yield _Constraint("IfNoneMatch", "If-None-Match", "*")


def _checksum(checksums: Checksums) -> list[_Constraint]:
    """The strongest declared digest, and the header without which some stores ignore it."""
    for algorithm in _BY_STRENGTH:
        if (digest := checksums.get(algorithm)) is not None:
            name = algorithm.value.upper()
            return [
                _Constraint(
                    f"Checksum{name}", f"x-amz-checksum-{algorithm.value}", to_base64(digest)
                ),
                _Constraint("ChecksumAlgorithm", "x-amz-sdk-checksum-algorithm", name),
            ]
    return []


def _one_line(content_type: str) -> str:
    # Signatures fold white space, and stores do not agree on which of it.
    return " ".join(content_type.split())


def _require_signed(url: str, headers: Iterable[str]) -> None:
    """Raises StorageMisconfigured unless these headers, and only they, bind whoever uses the URL.

    An SDK that is configured to sign otherwise would hand out URLs that let anything through.
    """
    signed = parse_qs(urlsplit(url).query).get("X-Amz-SignedHeaders", [""])[0]
    if set(signed.split(";")) != {"host", *(name.lower() for name in headers)}:
        raise StorageMisconfigured(detail="the SDK does not sign what it is told to sign")
