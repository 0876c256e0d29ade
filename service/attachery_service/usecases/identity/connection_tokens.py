"""Creating, reading and revoking connection tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec import Struct

from attachery_service.domain.connection_tokens import (
    MAX_LENGTH,
    ConnectionClaims,
    connection_claims,
    token_too_long,
)
from attachery_service.domain.errors import CredentialsInvalid, SigningKeyMissing
from attachery_service.domain.identity import Principal
from attachery_service.domain.signed_tokens import SignedToken
from attachery_service.ports.credentials import Connections, Revocations, TokenKeys


class SubjectRef(Struct, frozen=True):
    """A validated subject within its tenant."""

    tenant_id: str
    subject: str


class CreateCommand(Struct, frozen=True, kw_only=True):
    """A validated CreateConnectionToken request. `scopes`: beyond those of every token."""

    ref: SubjectRef
    ttl: timedelta
    purposes: tuple[str, ...]
    scopes: tuple[str, ...]


class CreatedToken(Struct, frozen=True):
    """A token, and the time at which it expires."""

    text: str
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class CreateConnectionToken:
    connections: Connections

    async def __call__(self, principal: Principal, command: CreateCommand) -> CreatedToken:
        """Signs a token in the name of its creator.

        Raises InvalidRequest if it is too long, SigningKeyMissing, DatabaseUnavailable.
        """
        ref = command.ref
        # Never cached: the time of issue must be after each earlier revocation.
        issue = await self.connections.issue_time(ref.tenant_id, ref.subject)
        if issue is None:
            raise SigningKeyMissing
        claims = ConnectionClaims(
            name=principal.name,
            tenant_id=ref.tenant_id,
            subject=ref.subject,
            purposes=command.purposes,
            scopes=command.scopes,
            issue_time=issue.time,
            expire_time=issue.time + command.ttl,
        )
        text = claims.signed(issue.key)
        if len(text) > MAX_LENGTH:
            raise token_too_long()
        return CreatedToken(text, claims.expire_time)


@dataclass(frozen=True, slots=True)
class RevokeConnectionTokens:
    connections: Connections

    async def __call__(self, ref: SubjectRef) -> datetime:
        """Revokes all tokens of a subject. Returns the time until which they were issued.

        Raises DatabaseUnavailable.
        """
        return await self.connections.revoke(ref.tenant_id, ref.subject)


@dataclass(frozen=True, slots=True)
class ReadConnectionToken:
    """All replicas share the keys and the revocations, so each reads the others' tokens."""

    keys: TokenKeys
    revocations: Revocations

    async def __call__(self, text: str) -> Principal:
        """Raises CredentialsInvalid, the same for every cause, and DatabaseUnavailable."""
        token = SignedToken.parse(text)
        found = await self.keys.find(token.key_id) if token else None
        if token is None or found is None:
            raise CredentialsInvalid
        claims = connection_claims(token, found.key)
        if claims is None or claims.expire_time <= found.time:
            raise CredentialsInvalid
        revoke_time = await self.revocations.last(claims.tenant_id, claims.subject)
        if revoke_time is not None and claims.issue_time <= revoke_time:
            raise CredentialsInvalid
        return claims.principal()
