"""API keys: `attk_{id}_{secret}`. Only the id and a digest of the secret are stored.

The secret has 256 random bits, so its plain SHA-256 resists brute force and needs no salt.
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
    """A key in plain text, as its caller sends it."""

    key_id: str
    secret: str

    @classmethod
    def generate(cls) -> Self:
        return cls(secrets.token_hex(8), secrets.token_hex(32))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Returns None if `text` does not have the form of a key."""
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
    """A stored key: the SHA-256 of its secret, and its principal."""

    secret_digest: bytes
    principal: Principal
