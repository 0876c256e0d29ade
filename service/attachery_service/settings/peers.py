"""Callers identified by their client certificate, from one TOML file.

["spiffe://example.org/mailer"]     # the SPIFFE id or a DNS name of the certificate
tenants = ["acme"]                  # or "*" for every tenant
scopes = ["uploads.create", "uploads.complete"]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from attachery_service.domain.identity import Principal, Scope
from attachery_service.settings.toml import open_tables

_LABEL = r"[a-z0-9_-]+(\.[a-z0-9_-]+)*"
# At most 128 bytes, the limit of a principal's name. A wildcard identifies no single caller.
_NAME = re.compile(rf"(?=.{{1,128}}\Z)(spiffe://{_LABEL}(/[A-Za-z0-9._-]+)*|{_LABEL})")

_Tenant = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,127}$")]


class PeerTable(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenants: Literal["*"] | tuple[_Tenant, ...]
    scopes: tuple[Scope, ...]

    def principal(self, name: str) -> Principal:
        tenants = None if self.tenants == "*" else frozenset(self.tenants)
        return Principal(name=name, tenants=tenants, scopes=frozenset(self.scopes))


def read_peers(path: Path | None) -> Mapping[str, Principal]:
    """Reads the principals by the names in certificates. Raises SettingsFileError, OSError."""
    if path is None:
        return {}
    file = open_tables(path)
    return {name: file.read(name, PeerTable, _NAME, {}).principal(name) for name in file.tables}
