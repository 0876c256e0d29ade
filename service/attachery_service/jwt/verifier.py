"""Verifies JSON Web Tokens (RFC 7519, RFC 8725)."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import jwt
import structlog

from attachery_service.domain.errors import CredentialsInvalid
from attachery_service.domain.identity import Principal
from attachery_service.jwt.claims import ClaimError, ClaimNames
from attachery_service.jwt.key_set import KeySet, KeySetError

_log = structlog.get_logger("attachery.issuer")

# The permitted difference between the issuer's clock and this one, in seconds.
_LEEWAY = 30
_LONGEST_KNOWN = 60.0
_MOST_KNOWN = 10_000

_OPTIONS: jwt.types.Options = {
    "require": ["exp", "aud", "iss", "sub"],
    "enforce_minimum_key_length": True,
}

# The library's own errors, and those that malformed tokens cause within it.
_REFUSALS = (jwt.PyJWTError, ClaimError, ValueError, TypeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerOptions:
    """The accepted issuer, audience and algorithms. `keys` is a path or an HTTPS URL."""

    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    keys: str
    names: ClaimNames


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    until: float


class JwtVerifier:
    """Implements the port `TokenVerifier`. Caches a verified token for a minute, by its digest."""

    def __init__(self, options: IssuerOptions, keys: KeySet) -> None:
        self._options = options
        self._keys = keys
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def verify(self, token: str) -> Principal:
        digest, now = hashlib.sha256(token.encode()).digest(), time.time()
        known = self._known.get(digest)
        if known is not None and now < known.until:
            return known.principal
        try:
            claims = await self._verified(token)
            principal = self._options.names.principal(claims)
            self._keep(digest, _Known(principal, min(float(claims["exp"]), now + _LONGEST_KNOWN)))
        except _REFUSALS as error:
            # The log line of the call has the type of the cause; the cause's text may quote the
            # token.
            raise CredentialsInvalid from error
        return principal

    async def _verified(self, token: str) -> dict[str, Any]:
        """Returns the verified claims. Raises any of _REFUSALS."""
        key_id = jwt.get_unverified_header(token).get("kid")
        key = await self._keys.find(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise jwt.InvalidKeyError("no key of this id")
        return jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],  # the key's, not the one that the token claims
            audience=self._options.audience,
            issuer=self._options.issuer,
            leeway=_LEEWAY,
            options=_OPTIONS,
        )

    def _keep(self, digest: bytes, known: _Known) -> None:
        self._known[digest] = known
        self._known.move_to_end(digest)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)


@asynccontextmanager
async def open_issuer(options: IssuerOptions) -> AsyncIterator[JwtVerifier]:
    """Loads the keys, and reloads them regularly during the block.

    Raises KeySetError for an unusable file. If an issuer does not answer, loading is retried later:
    callers with other credentials must not wait for it.
    """
    keys = KeySet(options.keys, options.algorithms)
    try:
        await keys.load()
    except KeySetError as error:
        if "://" not in options.keys:
            raise
        _log.warning("keys not read", error=str(error))
    fresh = asyncio.create_task(keys.keep_fresh())
    try:
        yield JwtVerifier(options, keys)
    finally:
        fresh.cancel()
        keys.close()
