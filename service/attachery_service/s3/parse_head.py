"""Parses the response headers of an object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from attachery_service.domain.checks import StoredObject
from attachery_service.domain.checksums import NO_CHECKSUMS, Algorithm, Checksums
from attachery_service.s3.digests import to_hex
from attachery_service.s3.http.headers import CUSTOMER_KEY, STORAGE_CLASS

_MD5: Final = re.compile(r"[0-9a-f]{32}")
_OWN_KEY_ENCRYPTION: Final = frozenset({"aws:kms", "aws:kms:dsse"})
_COMPUTED_BY_SERVERS: Final = (Algorithm.SHA256, Algorithm.CRC32C, Algorithm.CRC64NVME)


# Storage classes whose objects must be restored before a read or copy (S3 User Guide,
# "Understanding archival storage"); `x-amz-restore` shows whether an object was restored.
_ARCHIVES: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_RESTORED: Final = 'ongoing-request="false"'
# Codings that leave the bytes unchanged (RFC 9110, section 8.4.1), and S3's framing of a request
# body, whose name some servers keep after they have removed the frames.
_NO_CODINGS: Final = frozenset({"", "identity", "aws-chunked"})


def parse_head(
    key: str, headers: Mapping[str, str], *, trust_checksums: bool = True
) -> StoredObject:
    """Parses the headers of a HEAD or GET; without `trust_checksums`, ignores its checksums.

    Raises KeyError or ValueError for headers that S3 would not send.
    """
    etag = headers["etag"].strip('"')
    if not etag.isascii():
        raise ValueError("not an ETag")
    return StoredObject(
        key=key,
        size=int(headers["content-length"]),
        etag=etag,
        etag_is_md5=trust_checksums and _is_md5(etag, headers),
        content_type=headers.get("content-type", ""),
        content_encoding=_codings(headers.get("content-encoding", "")),
        server_checksums=_server_checksums(etag, headers) if trust_checksums else NO_CHECKSUMS,
        unreadable=STORAGE_CLASS if _is_archived(headers) else "",
    )


def _codings(content_encoding: str) -> str:
    """The codings that a reader must decode."""
    codings = (coding.strip().lower() for coding in content_encoding.split(","))
    return ", ".join(coding for coding in codings if coding not in _NO_CODINGS)


def _is_archived(headers: Mapping[str, str]) -> bool:
    archived = headers.get(STORAGE_CLASS, "") in _ARCHIVES
    return archived and _RESTORED not in headers.get("x-amz-restore", "")


def _is_md5(etag: str, headers: Mapping[str, str]) -> bool:
    if headers.get("x-amz-server-side-encryption", "") in _OWN_KEY_ENCRYPTION:
        return False
    if CUSTOMER_KEY in headers:
        return False
    return _MD5.fullmatch(etag) is not None


def _server_checksums(etag: str, headers: Mapping[str, str]) -> Checksums:
    # Servers older than the header do not send it; their single-part objects have a whole digest.
    kind = headers.get("x-amz-checksum-type", "COMPOSITE" if "-" in etag else "FULL_OBJECT")
    if kind != "FULL_OBJECT":
        return NO_CHECKSUMS
    values = {each: headers.get(f"x-amz-checksum-{each.value}") for each in _COMPUTED_BY_SERVERS}
    digests = {a: digest for a, v in values.items() if v and (digest := to_hex(a, v))}
    return Checksums.of(digests)
