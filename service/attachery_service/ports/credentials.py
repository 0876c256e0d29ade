"""Verification of credentials."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from attachery_service.domain.credentials import StoredKey
from attachery_service.domain.identity import Principal
from attachery_service.domain.signed_tokens import TimedKey, TokenKey


class ApiKeys(Protocol):
    """API keys in the database. Raises DatabaseUnavailable."""

    async def find(self, key_id: str) -> StoredKey | None:
        """Returns a key that is neither revoked nor expired, or None for an unknown id."""


class TokenVerifier(Protocol):
    """Verifies tokens of an external issuer."""

    async def verify(self, token: str) -> Principal:
        """Returns the principal of a token. Raises CredentialsInvalid, the same for every cause."""


class TokenKeys(Protocol):
    """Signing keys of tokens. All methods raise DatabaseUnavailable."""

    async def newest(self) -> TokenKey | None:
        """Returns the key to sign with, or None if all keys are revoked."""

    async def find(self, key_id: str) -> TimedKey | None:
        """Returns a key that is not revoked, or None for an unknown id."""


class Connections(Protocol):
    """Issue and revocation of connection tokens. All methods raise DatabaseUnavailable."""

    async def issue_time(self, tenant_id: str, subject: str) -> TimedKey | None:
        """Returns the key to sign with, or None if all keys are revoked.

        Its time is after every earlier revocation of the subject's tokens.
        """

    async def revoke(self, tenant_id: str, subject: str) -> datetime:
        """Revokes the tokens of a subject that were issued until now. Returns that time."""


class Revocations(Protocol):
    """Revocations of connection tokens. Raises DatabaseUnavailable."""

    async def last(self, tenant_id: str, subject: str) -> datetime | None:
        """Returns the time until which issued tokens of the subject are revoked, or None."""
