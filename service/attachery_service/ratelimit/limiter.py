"""Rate limits by principal, tenant and category."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter

from attachery_service.domain.identity import Principal
from attachery_service.domain.rates import Allowance, Category, RateLimit
from attachery_service.ports.rates import RateLimiter
from attachery_service.ratelimit.memory import MemoryCounts
from attachery_service.ratelimit.redis import shared_counts
from attachery_service.ratelimit.sliding_window import Counts

_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class CountingRateLimiter:
    """One counter per principal, tenant and category that has a limit."""

    limits: Mapping[Category, RateLimit]
    counts: Counts

    async def hit(
        self, principal: Principal, tenant_id: str, category: Category
    ) -> Allowance | None:
        limit = self.limits.get(category)
        if limit is None:
            return None
        return await self.counts.take(_key(principal, tenant_id, category), limit)


@asynccontextmanager
async def open_rate_limiter(
    limits: Mapping[Category, RateLimit], redis_url: str | None, registry: CollectorRegistry
) -> AsyncIterator[RateLimiter]:
    """Count in memory, or in the Redis at `redis_url`. Raises RateLimitStoreError."""
    own = MemoryCounts()
    if redis_url is None or not limits:
        yield CountingRateLimiter(limits, own)
        return
    unshared = Counter(
        "attachery_rate_limit_unshared_calls",
        "Calls counted by this process alone because the shared store did not answer.",
        registry=registry,
    )
    async with shared_counts(redis_url, own, unshared) as counts:
        yield CountingRateLimiter(limits, counts)


def _key(principal: Principal, tenant_id: str, category: Category) -> str:
    """Hash the caller and the tenant: tenant ids are unvalidated here and may be long.

    Each session token and each subject of connection tokens is counted separately, so its holder
    uses up no limit of another, nor of the principal that issued it.
    """
    caller = [principal.name, principal.session and str(principal.session), tenant_id]
    if principal.subject is not None:
        caller.append(principal.subject)
    # JSON keeps the parts apart: no two callers have the same text, whatever their names contain.
    digest = hashlib.blake2b(json.dumps(caller).encode(), digest_size=_KEY_BYTES)
    return f"{category}/{digest.hexdigest()}"
