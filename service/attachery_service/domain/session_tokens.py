"""Session tokens: `atts_{key id}_{claims}_{MAC}`, good for one session until its deadline.

See `signed_tokens`. Every response about the session contains the claims.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from attachery_service.domain.identity import UPLOAD_SCOPES, Principal
from attachery_service.domain.signed_tokens import SignedToken, TokenKey

PREFIX = "atts_"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ID, _TIME = 16, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClaims:
    """The claims of a token. `name` is the principal that started the session."""

    tenant_id: str
    attachment_id: UUID
    expire_time: datetime
    name: str

    def signed(self, key: TokenKey) -> str:
        """The token."""
        return key.sign(PREFIX, _encoded(self))

    def principal(self) -> Principal:
        return Principal(
            name=self.name,
            tenants=frozenset({self.tenant_id}),
            # Together with `session`, which restricts them to methods about one session.
            scopes=UPLOAD_SCOPES,
            session=self.attachment_id,
            expire_time=self.expire_time,
        )


def session_claims(token: SignedToken, key: TokenKey) -> SessionClaims | None:
    """Returns the claims of a token, or None if it was not signed with this key."""
    claims = token.claims(key)
    return None if claims is None else _decoded(claims)


def _encoded(claims: SessionClaims) -> bytes:
    tenant = claims.tenant_id.encode()
    expire = (claims.expire_time - _EPOCH) // _MICROSECOND
    head = claims.attachment_id.bytes + expire.to_bytes(_TIME)
    return head + bytes([len(tenant)]) + tenant + claims.name.encode()


def _decoded(raw: bytes) -> SessionClaims:
    head, rest = _ID + _TIME, raw[_ID + _TIME + 1 :]
    return SessionClaims(
        tenant_id=rest[: raw[head]].decode(),
        attachment_id=UUID(bytes=raw[:_ID]),
        expire_time=_EPOCH + int.from_bytes(raw[_ID:head]) * _MICROSECOND,
        name=rest[raw[head] :].decode(),
    )
