"""Converts the claims of a verified token to a principal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from attachery_service.domain.code_points import is_printable
from attachery_service.domain.identifiers import parse_tenant_id
from attachery_service.domain.identity import Principal, Scope
from attachery_service.domain.validation import RuleViolation

EVERY_TENANT = "*"
_MAX_NAME_BYTES = 128
# The last second that a response can show: year 9999.
_LATEST = 253_402_300_799


class ClaimError(ValueError):
    """A claim is invalid; the text states the rule, never the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimNames:
    """The claims that have the name, the tenants (a list or `*`) and the scopes (a list or words).

    `renamed`: the scopes granted by the issuer's own scopes, such as `files:create`.
    """

    name: str
    tenants: str
    scopes: str
    renamed: Mapping[str, frozenset[Scope]] = field(default_factory=dict)

    def principal(self, claims: Mapping[str, Any]) -> Principal:
        """Builds the principal of verified claims; an absent claim grants nothing.

        Raises ClaimError.
        """
        return Principal(
            name=_name(claims.get(self.name)),
            tenants=_tenants(claims.get(self.tenants, [])),
            scopes=_scopes(claims.get(self.scopes, []), self.renamed),
            expire_time=datetime.fromtimestamp(min(float(claims["exp"]), _LATEST), UTC),
        )


def _name(value: object) -> str:
    if not isinstance(value, str) or not is_printable(value):
        raise ClaimError("the name is not printable text")
    if not 1 <= len(value.encode()) <= _MAX_NAME_BYTES:
        raise ClaimError("the name is empty or too long")
    return value


def _tenants(value: object) -> frozenset[str] | None:
    if value == EVERY_TENANT:
        return None
    if not isinstance(value, list) or not all(isinstance(tenant, str) for tenant in value):
        raise ClaimError("the tenants are not a list of ids")
    try:
        return frozenset(parse_tenant_id(tenant) for tenant in value)
    except RuleViolation as error:
        raise ClaimError("the tenants contain an invalid tenant id") from error


def _scopes(value: object, renamed: Mapping[str, frozenset[Scope]]) -> frozenset[Scope]:
    """Returns the known scopes: an issuer's tokens often have scopes of other services too."""
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list):
        raise ClaimError("the scopes are neither a list nor text")
    own = frozenset(scope for scope in Scope if scope.value in words)
    return own.union(*(granted for name, granted in renamed.items() if name in words))
