"""Session tokens: `atts_{key id}_{claims}_{MAC}`, good for one session until its deadline.

Tokens are not stored: the claims (tenant, attachment id, expiry, principal) are in the token, and
an HMAC-SHA256 authenticates them. The MAC covers the text, not the decoded claims, so each token
has exactly one valid text. The claims are readable: every response about the session contains them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self
from uuid import UUID

from attachery_service.domain.identity import Principal, Scope

PREFIX = "atts_"
# Tenant and name have at most 128 bytes each.
_FORM = re.compile(r"(atts_([0-9a-f]{12})_([A-Za-z0-9_-]{36,400}))_([0-9a-f]{64})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ID, _TIME = 16, 8

# Together with Principal.session, which restricts them to methods about one session.
_SCOPES = frozenset({Scope.UPLOADS_COMPLETE, Scope.UPLOADS_CREATE, Scope.UPLOADS_READ})


@dataclass(frozen=True, slots=True, repr=False)
class TokenKey:
    """A signing key of session tokens."""

    key_id: str
    secret: bytes

    def mac(self, text: str) -> str:
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClaims:
    """The claims of a token. `name` is the principal that started the session."""

    tenant_id: str
    attachment_id: UUID
    expire_time: datetime
    name: str

    def signed(self, key: TokenKey) -> str:
        """The token."""
        text = f"{PREFIX}{key.key_id}_{_encoded(self)}"
        return f"{text}_{key.mac(text)}"

    def principal(self) -> Principal:
        return Principal(
            name=self.name,
            tenants=frozenset({self.tenant_id}),
            scopes=_SCOPES,
            session=self.attachment_id,
            expire_time=self.expire_time,
        )


@dataclass(frozen=True, slots=True, repr=False)
class SessionToken:
    """A token as received; nothing in it is trusted before verification."""

    key_id: str
    signed_text: str
    claims_text: str
    mac: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Returns None if `text` does not have the form of a token."""
        match = _FORM.fullmatch(text)
        return None if match is None else cls(match[2], match[1], match[3], match[4])

    def verified(self, key: TokenKey) -> SessionClaims | None:
        """Returns None if the token was not signed with this key."""
        if not hmac.compare_digest(self.mac, key.mac(self.signed_text)):
            return None
        return _decoded(self.claims_text)


def _encoded(claims: SessionClaims) -> str:
    tenant = claims.tenant_id.encode()
    expire = (claims.expire_time - _EPOCH) // _MICROSECOND
    raw = claims.attachment_id.bytes + expire.to_bytes(_TIME) + bytes([len(tenant)]) + tenant
    return urlsafe_b64encode(raw + claims.name.encode()).decode().rstrip("=")


def _decoded(text: str) -> SessionClaims:
    """Decodes claims whose MAC is verified, so that their encoding is valid."""
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    head, rest = _ID + _TIME, raw[_ID + _TIME + 1 :]
    return SessionClaims(
        tenant_id=rest[: raw[head]].decode(),
        attachment_id=UUID(bytes=raw[:_ID]),
        expire_time=_EPOCH + int.from_bytes(raw[_ID:head]) * _MICROSECOND,
        name=rest[raw[head] :].decode(),
    )


@dataclass(frozen=True, slots=True)
class TimedKey:
    """A key, and the current time of the database."""

    key: TokenKey
    time: datetime
