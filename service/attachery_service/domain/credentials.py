"""API keys: `attk_{id}_{secret}`, of which only the id and a digest of the secret are kept.

The secret has 256 random bits, so that its plain SHA-256 cannot be searched and needs no salt.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Self

from attachery_service.domain.identity import Principal

_FORM = re.compile(r"attk_([0-9a-f]{16})_([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, repr=False)
class ApiKey:
    """A key in the clear: only in the hands of its caller, and for a moment here."""

    key_id: str
    secret: str

    @classmethod
    def generate(cls) -> Self:
        return cls(secrets.token_hex(8), secrets.token_hex(32))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None if `text` has not the form of a key."""
        match = _FORM.fullmatch(text)
        return None if match is None else cls(match[1], match[2])

    @property
    def text(self) -> str:
        return f"attk_{self.key_id}_{self.secret}"

    @property
    def secret_digest(self) -> bytes:
        return hashlib.sha256(self.secret.encode()).digest()


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key at rest: the SHA-256 of its secret and who it stands for."""

    secret_digest: bytes
    principal: Principal
