"""The policies of all purposes, from one TOML file that is refused as a whole if anything is wrong.

[default]                      # what a Start without a purpose gets; built in if left out
max_size = 157286400           # bytes

[avatar]
max_size = 5242880
size_required = true
allowed_content_types = ["image/png", "image/jpeg"]
sniffing = "enforce"
default_ttl = 600              # seconds, or ISO 8601: "PT10M"
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from attachery_service.domain.content_types import is_media_type
from attachery_service.domain.policy import DEFAULT_PURPOSE, Policy, Sniffing
from attachery_service.toml_tables import open_tables

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_POSITIVE = Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(days=3650))]


class PurposeTable(BaseModel):
    """One table of the file. Sizes in bytes, times in seconds or ISO 8601."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_size: int = Field(gt=0, le=5 * 2**30)
    size_required: bool
    checksum_required: bool
    allowed_content_types: tuple[str, ...]
    sniffing: Sniffing
    default_ttl: _POSITIVE
    min_ttl: _POSITIVE
    max_ttl: _POSITIVE
    object_retention: _POSITIVE
    metadata_retention: _POSITIVE
    terminal_on_mismatch: bool

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.min_ttl <= self.default_ttl <= self.max_ttl:
            raise ValueError("min_ttl, default_ttl and max_ttl must not decrease in this order")
        if self.metadata_retention < self.object_retention:
            raise ValueError("metadata_retention must not be below object_retention")
        for allowed in self.allowed_content_types:
            if not is_media_type(allowed.replace("/*", "/any")) or ";" in allowed:
                raise ValueError(f"allowed_content_types: {allowed!r} is no media type")
        return self

    def policy(self) -> Policy:
        return Policy(**self.model_dump())


def read_policies(path: Path | None, built_in: Policy) -> Mapping[str, Policy]:
    """The policies by purpose; `default` is always among them. What a table does not say is as in
    the built-in policy.

    Raises SettingsFileError, OSError.
    """
    if path is None:
        return {DEFAULT_PURPOSE: built_in}
    file, base = open_tables(path), asdict(built_in)
    policies = {name: file.read(name, PurposeTable, _NAME, base).policy() for name in file.tables}
    return {DEFAULT_PURPOSE: built_in, **policies}
