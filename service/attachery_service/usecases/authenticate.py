"""Authenticate: from an API key to the principal it stands for."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from attachery_service.domain.credentials import ApiKey
from attachery_service.domain.errors import CredentialsInvalid
from attachery_service.domain.identity import Principal
from attachery_service.ports import ApiKeys


@dataclass(frozen=True, slots=True)
class Authenticate:
    keys: ApiKeys

    async def __call__(self, credential: str) -> Principal:
        """Raises CredentialsInvalid, the same for every cause, and DatabaseUnavailable."""
        key = ApiKey.parse(credential)
        if key is None:
            raise CredentialsInvalid
        stored = await self.keys.find(key.key_id)
        if stored is None or not hmac.compare_digest(stored.secret_digest, key.secret_digest):
            raise CredentialsInvalid
        return stored.principal
