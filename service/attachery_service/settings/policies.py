"""The policies of all purposes, from one TOML file that is refused as a whole if anything is wrong.

[default]                      # for a Start without a purpose; built in if omitted
max_size = "150MiB"             # or bytes

[avatar]
max_size = 5242880
max_attachments = 1000         # of each tenant; no limit if omitted
size_required = true
undeclared_size = "form"       # or "put"
allow_empty = false            # whether an upload of 0 bytes is good
allowed_content_types = ["image/png", "image/jpeg"]
sniffing = "enforce"
default_ttl = "10m"             # or seconds, or ISO 8601: "PT10M"
routes = [                     # how to upload a file, by size, smallest first
    { name = "json", max_size = 2800000, base64 = true },  # of all files of a message
    { name = "upload_session" },  # the last needs no max_size: the purpose limits it
]
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from attachery_service.domain.content_types import is_media_type
from attachery_service.domain.idempotency import REQUEST_ID_LIFETIME
from attachery_service.domain.policy import DEFAULT_PURPOSE, Policy, Route, Sniffing, UndeclaredSize
from attachery_service.domain.quota import MAX_LIMIT
from attachery_service.settings.quantities import AnyCase, Bytes, duration
from attachery_service.settings.toml import open_tables

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_POSITIVE = Annotated[
    timedelta, Field(gt=timedelta(0), le=timedelta(days=3650)), BeforeValidator(duration)
]


class RouteTable(BaseModel):
    """A route for messages of at most `max_size` bytes of files, or for single files without it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=_NAME.pattern + "$")
    max_size: Annotated[int, Field(gt=0), Bytes] | None = None
    base64: bool = False


class PurposeTable(BaseModel):
    """One table of the file. Sizes and times as in the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_size: Annotated[int, Field(gt=0, le=5 * 2**30), Bytes]
    max_attachments: Annotated[int, Field(ge=0, le=MAX_LIMIT, strict=True)] | None
    allow_empty: bool
    size_required: bool
    undeclared_size: Annotated[UndeclaredSize, AnyCase]
    checksum_required: bool
    allowed_content_types: tuple[str, ...]
    sniffing: Annotated[Sniffing, AnyCase]
    default_ttl: _POSITIVE
    min_ttl: _POSITIVE
    max_ttl: _POSITIVE
    object_retention: _POSITIVE
    metadata_retention: _POSITIVE
    max_object_retention: _POSITIVE
    max_metadata_retention: _POSITIVE
    terminal_on_mismatch: bool
    delete_when_consumed: bool
    routes: tuple[RouteTable, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.min_ttl <= self.default_ttl <= self.max_ttl:
            raise ValueError("min_ttl, default_ttl and max_ttl must not decrease in this order")
        if self.metadata_retention < max(self.object_retention, REQUEST_ID_LIFETIME):
            raise ValueError("metadata_retention must not be below object_retention, nor 24 h")
        if self.max_object_retention < self.object_retention:
            raise ValueError("max_object_retention must not be below object_retention")
        if self.max_metadata_retention < self.metadata_retention:
            raise ValueError("max_metadata_retention must not be below metadata_retention")
        sizes = [route.max_size or math.inf for route in self.routes]
        if sizes != sorted(set(sizes)):
            raise ValueError("routes must increase in max_size, and only the last may omit it")
        if len({route.name for route in self.routes}) < len(self.routes):
            raise ValueError("routes must have distinct names")
        for allowed in self.allowed_content_types:
            if not is_media_type(allowed.replace("/*", "/any")) or ";" in allowed:
                raise ValueError(f"allowed_content_types: {allowed!r} is no media type")
        return self

    def policy(self) -> Policy:
        routes = tuple(Route(**route.model_dump()) for route in self.routes)
        return Policy(**{**self.model_dump(), "routes": routes})


def read_policies(path: Path | None, built_in: Policy) -> Mapping[str, Policy]:
    """Reads the policies by purpose; `default` is always among them.

    Omitted keys have the values of the built-in policy. Raises SettingsFileError, OSError.
    """
    if path is None:
        return {DEFAULT_PURPOSE: built_in}
    file, base = open_tables(path), asdict(built_in)
    policies = {name: file.read(name, PurposeTable, _NAME, base).policy() for name in file.tables}
    return {DEFAULT_PURPOSE: built_in, **policies}
