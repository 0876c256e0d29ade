"""Response headers of an object: which ones the service reads, and how it decodes them.

An uploader may add headers that its URL does not sign, and the object store repeats them in each
response: a filename in UTF-8 or Latin-1, metadata of any length, an invalid date. HTTP calls
such bytes opaque (RFC 9110, section 5.5); only the headers below are interpreted. All values
are decoded as Latin-1, which maps every byte and never fails.
"""

from __future__ import annotations

from typing import Final

ENCODING: Final = "latin-1"

# With these headers, an uploader can store an object that the service cannot read.
STORAGE_CLASS: Final = "x-amz-storage-class"
CUSTOMER_KEY: Final = "x-amz-server-side-encryption-customer-algorithm"

READ_HEADERS: Final = frozenset({
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "etag",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha256",
    "x-amz-checksum-type",
    "x-amz-restore",
    "x-amz-server-side-encryption",
    CUSTOMER_KEY,
    STORAGE_CLASS,
})  # fmt: skip

# Headers that uploaders write and the service does not read. The SDK would parse some of them.
_UPLOADERS: Final = frozenset({
    "cache-control",
    "content-disposition",
    "content-language",
    "expires",
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-tagging-count",
    "x-amz-website-redirect-location",
})  # fmt: skip
_METADATA: Final = "x-amz-meta-"


def is_read_by_sdk(name: str) -> bool:
    """Whether the SDK gets to see this response header; `name` is in lower case."""
    return name not in _UPLOADERS and not name.startswith(_METADATA)
