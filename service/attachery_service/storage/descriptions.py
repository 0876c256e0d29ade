"""What the headers of an object say of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from attachery_service.domain.checks import StoredObject
from attachery_service.domain.checksums import NO_CHECKSUMS, Algorithm, Checksums
from attachery_service.storage.digests import to_hex

_MD5: Final = re.compile(r"[0-9a-f]{32}")
_OWN_KEY_ENCRYPTION: Final = frozenset({"aws:kms", "aws:kms:dsse"})
_ATTESTED: Final = (Algorithm.SHA256, Algorithm.CRC32C, Algorithm.CRC64NVME)


def described(key: str, headers: Mapping[str, str]) -> StoredObject:
    """Raises KeyError or ValueError if S3 would not have answered so."""
    etag = headers["etag"].strip('"')
    return StoredObject(
        key=key,
        size=int(headers["content-length"]),
        etag=etag,
        etag_is_md5=_is_md5(etag, headers),
        content_type=headers.get("content-type", ""),
        content_encoding=headers.get("content-encoding", ""),
        attested=_attested(etag, headers),
    )


def _is_md5(etag: str, headers: Mapping[str, str]) -> bool:
    if headers.get("x-amz-server-side-encryption", "") in _OWN_KEY_ENCRYPTION:
        return False
    if "x-amz-server-side-encryption-customer-algorithm" in headers:
        return False
    return _MD5.fullmatch(etag) is not None


def _attested(etag: str, headers: Mapping[str, str]) -> Checksums:
    # Stores from before the type existed do not name it; there, one part is the whole object.
    kind = headers.get("x-amz-checksum-type", "COMPOSITE" if "-" in etag else "FULL_OBJECT")
    if kind != "FULL_OBJECT":
        return NO_CHECKSUMS
    values = {each: headers.get(f"x-amz-checksum-{each.value}") for each in _ATTESTED}
    digests = {a: digest for a, v in values.items() if v and (digest := to_hex(a, v))}
    return Checksums.of(digests)
