"""Tenant ids and attachment ids as text."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from attachery_service.domain.validation import RuleViolation

_TENANT_ID: Final = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,127}")
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def parse_tenant_id(text: str) -> str:
    """Returns a valid tenant id. Raises RuleViolation."""
    if not _TENANT_ID.fullmatch(text):
        rule = "must be 1 to 128 of letters, digits, '.', '_', '~', '-', not begin with '.'"
        raise RuleViolation(rule)
    return text


def parse_uuid(text: str) -> UUID:
    """Parses a UUID in its canonical form, so that each id has one text. Raises RuleViolation."""
    if not _UUID.fullmatch(text):
        raise RuleViolation("must be a lower-case, hyphenated UUID")
    return UUID(text)
