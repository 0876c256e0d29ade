"""Signed requests for the bytes of an upload or a download."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from msgspec import Struct

from attachery_service.domain.checksums import Checksums


class TargetRequest(Struct, frozen=True, kw_only=True):
    """The constraints that a signed upload must enforce. Sizes in bytes.

    `size`: None if it was not declared. A form accepts `min_size` to `max_size` bytes; a PUT
    accepts `size` bytes, or any number if that is None.
    """

    key: str
    content_type: str
    size: int | None
    max_size: int
    min_size: int = 1
    is_form: bool = False
    checksums: Checksums
    write_once: bool
    lifetime: timedelta


class UploadTarget(Struct, frozen=True, kw_only=True):
    """The HTTP request that uploads the bytes.

    `lifetime` is shorter than requested if the signing credentials expire earlier.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    form_fields: Mapping[str, str]
    lifetime: timedelta


class DownloadUrl(Struct, frozen=True, kw_only=True):
    """A signed GET. `lifetime` is shorter than requested if the credentials expire earlier."""

    url: str
    lifetime: timedelta
