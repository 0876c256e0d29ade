"""Issuing and reading session tokens."""

from __future__ import annotations

from dataclasses import dataclass

from attachery_service.domain.errors import CredentialsInvalid
from attachery_service.domain.identity import Principal
from attachery_service.domain.session_tokens import SessionClaims, session_claims
from attachery_service.domain.sessions import UploadSession
from attachery_service.domain.signed_tokens import SignedToken
from attachery_service.ports.credentials import TokenKeys


@dataclass(frozen=True, slots=True)
class SessionTokens:
    """All replicas share the keys, so each reads the others' tokens."""

    keys: TokenKeys

    async def issue(self, session: UploadSession) -> str | None:
        """Issues a token for a PENDING session, in the name of its creator.

        Returns None if all keys are revoked, which switches tokens off. Raises DatabaseUnavailable.
        """
        key = await self.keys.newest()
        claims = SessionClaims(
            tenant_id=session.tenant_id,
            attachment_id=session.attachment_id,
            expire_time=session.expire_time,
            name=session.created_by,
        )
        return claims.signed(key) if key else None

    async def read(self, text: str) -> Principal:
        """Raises CredentialsInvalid, the same for every cause, and DatabaseUnavailable."""
        token = SignedToken.parse(text)
        found = await self.keys.find(token.key_id) if token else None
        if token is None or found is None:
            raise CredentialsInvalid
        claims = session_claims(token, found.key)
        # By the database's clock, which judges the session's own deadline too.
        if claims is None or claims.expire_time <= found.time:
            raise CredentialsInvalid
        return claims.principal()
