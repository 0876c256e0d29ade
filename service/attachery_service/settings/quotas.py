"""The limits of tenants that have their own, from one TOML file.

["acme"]                            # the tenant's id; the quotes are needed if it has a dot
max_pending_sessions = 1000
max_attachments = 100000
max_pending_bytes = "100GiB"         # or bytes
max_stored_bytes = "unlimited"      # an omitted limit is that of the settings
"""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from attachery_service.domain.quota import MAX_LIMIT, Limits, Quotas
from attachery_service.settings.quantities import size
from attachery_service.settings.toml import open_tables

_TENANT_ID = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,127}")

_Count = Annotated[int, Field(ge=0, le=MAX_LIMIT, strict=True)]


def _size_or_unlimited(value: object) -> object:
    return value if value == "unlimited" else size(value)


_Limit = _Count | Literal["unlimited"] | None
_SizeLimit = Annotated[_Limit, BeforeValidator(_size_or_unlimited)]


class QuotaTable(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_pending_sessions: _Limit
    max_pending_bytes: _SizeLimit
    max_stored_bytes: _SizeLimit
    max_attachments: _Limit

    def limits(self) -> Limits:
        given = self.model_dump()
        return Limits(**{k: None if v == "unlimited" else v for k, v in given.items()})


def read_quotas(path: Path | None, common: Limits) -> Quotas:
    """Reads the limits of every tenant. Raises SettingsFileError, OSError."""
    if path is None:
        return Quotas(common)
    file, base = open_tables(path), asdict(common)
    own = {
        tenant_id: file.read(tenant_id, QuotaTable, _TENANT_ID, base).limits()
        for tenant_id in file.tables
    }
    return Quotas(common, own)
