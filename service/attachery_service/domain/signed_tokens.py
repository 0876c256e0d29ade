"""Signed tokens: `{kind}_{key id}_{claims}_{MAC}`.

Tokens are not stored: the claims are in the token, and an HMAC-SHA256 authenticates them. The MAC
covers the text, not the decoded claims, so each token has exactly one valid text, and a token of
one kind is never valid as another. The claims are readable.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import Self

_FORM = re.compile(r"([a-z]{4}_([0-9a-f]{12})_([A-Za-z0-9_-]{1,1000}))_([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, repr=False)
class TokenKey:
    """A signing key."""

    key_id: str
    secret: bytes

    def sign(self, kind: str, claims: bytes) -> str:
        """Returns a token. `kind`: its prefix, of four letters and `_`."""
        encoded = urlsafe_b64encode(claims).decode().rstrip("=")
        text = f"{kind}{self.key_id}_{encoded}"
        return f"{text}_{self.mac(text)}"

    def mac(self, text: str) -> str:
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class TimedKey:
    """A key, and the current time of the database."""

    key: TokenKey
    time: datetime


@dataclass(frozen=True, slots=True, repr=False)
class SignedToken:
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

    def claims(self, key: TokenKey) -> bytes | None:
        """Returns None if the token was not signed with this key."""
        if not hmac.compare_digest(self.mac, key.mac(self.signed_text)):
            return None
        # Signed, so the encoding is valid.
        return urlsafe_b64decode(self.claims_text + "=" * (-len(self.claims_text) % 4))
