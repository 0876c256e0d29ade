"""Connection tokens: `attc_{key id}_{claims}_{MAC}`, for one participant of a tenant.

See `signed_tokens`. A token permits uploads of its purposes, and access to the sessions that its
subject has started. A subject's tokens can be revoked together, so each names its time of issue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from attachery_service.domain.errors import InvalidRequest, Violation
from attachery_service.domain.identity import UPLOAD_SCOPES, Connection, Principal, Scope
from attachery_service.domain.policy import Policy
from attachery_service.domain.signed_tokens import SignedToken, TokenKey
from attachery_service.domain.validation import Validator, invalid

PREFIX: Final = "attc_"
MAX_LENGTH: Final = 1000
MAX_PURPOSES: Final = 20
MIN_TTL: Final = timedelta(seconds=60)
MAX_TTL: Final = timedelta(hours=24)
DEFAULT_TTL: Final = timedelta(hours=1)

# Scopes that a token may have beyond those of every token.
_MORE_SCOPES: Final = frozenset({Scope.ATTACHMENTS_READ})


class ConnectionClaims(Struct, frozen=True, array_like=True, kw_only=True):
    """The claims of a token. `name` is the principal that created it, `scopes` those it chose."""

    name: str
    tenant_id: str
    subject: str
    purposes: tuple[str, ...]
    scopes: tuple[str, ...]
    issue_time: datetime
    expire_time: datetime

    def signed(self, key: TokenKey) -> str:
        """The token."""
        return key.sign(PREFIX, msgspec.msgpack.encode(self))

    def principal(self) -> Principal:
        more = frozenset(scope for scope in _MORE_SCOPES if scope.value in self.scopes)
        return Principal(
            name=self.name,
            tenants=frozenset({self.tenant_id}),
            scopes=UPLOAD_SCOPES | more,
            connection=Connection(self.subject, frozenset(self.purposes)),
            expire_time=self.expire_time,
        )


def connection_claims(token: SignedToken, key: TokenKey) -> ConnectionClaims | None:
    """Returns the claims of a token, or None if it was not signed with this key."""
    claims = token.claims(key)
    return None if claims is None else msgspec.msgpack.decode(claims, type=ConnectionClaims)


def purposes(
    validator: Validator, values: Sequence[str], policies: Mapping[str, Policy]
) -> tuple[str, ...]:
    if not 1 <= len(values) <= MAX_PURPOSES or not policies.keys() >= set(values):
        rule = f"must be 1 to {MAX_PURPOSES} names of policies of this service"
        validator.reject("purposes", "INVALID_PURPOSES", rule)
    return tuple(sorted(set(values)))


def scopes(validator: Validator, values: Sequence[str]) -> tuple[str, ...]:
    """Returns the scopes beyond those of every token."""
    allowed = sorted(UPLOAD_SCOPES | _MORE_SCOPES)
    if not set(values) <= set(allowed):
        validator.reject("scopes", "INVALID_SCOPES", f"must be some of: {', '.join(allowed)}")
    return tuple(sorted(set(values) & _MORE_SCOPES))


def token_too_long() -> InvalidRequest:
    rule = f"must fit into a token of {MAX_LENGTH} characters, with the tenant and the subject"
    return invalid([Violation("purposes", "INVALID_PURPOSES", rule)])
