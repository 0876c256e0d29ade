"""Authenticate: a credential to its principal."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from attachery_service.domain.connection_tokens import PREFIX as CONNECTION_TOKEN
from attachery_service.domain.credentials import ApiKey
from attachery_service.domain.errors import CredentialsInvalid
from attachery_service.domain.identity import Principal
from attachery_service.domain.session_tokens import PREFIX as SESSION_TOKEN
from attachery_service.ports.credentials import ApiKeys, TokenVerifier
from attachery_service.usecases.identity.connection_tokens import ReadConnectionToken
from attachery_service.usecases.identity.session_tokens import SessionTokens


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Distinguishes the kinds of credentials by their prefix.

    `verifier` verifies tokens of an external issuer, if there is one.
    """

    keys: ApiKeys
    tokens: SessionTokens
    read_connection_token: ReadConnectionToken
    verifier: TokenVerifier | None = None

    async def __call__(self, credential: str) -> Principal:
        """Raises CredentialsInvalid, the same for every cause, and DatabaseUnavailable."""
        if credential.startswith(SESSION_TOKEN):
            return await self.tokens.read(credential)
        if credential.startswith(CONNECTION_TOKEN):
            return await self.read_connection_token(credential)
        if (key := ApiKey.parse(credential)) is not None:
            return await self._owner(key)
        if self.verifier is None:
            raise CredentialsInvalid
        return await self.verifier.verify(credential)

    async def _owner(self, key: ApiKey) -> Principal:
        stored = await self.keys.find(key.key_id)
        if stored is None or not hmac.compare_digest(stored.secret_digest, key.secret_digest):
            raise CredentialsInvalid
        return stored.principal
