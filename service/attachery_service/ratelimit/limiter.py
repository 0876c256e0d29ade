"""Limits by principal, tenant and category."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter

from attachery_service.domain.identity import Principal
from attachery_service.domain.rates import Allowance, Category, RateLimit
from attachery_service.ports.rates import RateLimiter
from attachery_service.ratelimit.memory import memory_counts
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
    """Counts in memory, or in Redis if there is a URL of one. Raises RateLimitStoreError."""
    async with AsyncExitStack() as stack:
        counts = await stack.enter_async_context(memory_counts())
        if redis_url is not None and limits:
            unshared = Counter(
                "attachery_rate_limit_unshared_calls",
                "Calls this process counted alone, the shared store not answering.",
                registry=registry,
            )
            counts = await stack.enter_async_context(shared_counts(redis_url, counts, unshared))
        yield CountingRateLimiter(limits, counts)


def _key(principal: Principal, tenant_id: str, category: Category) -> str:
    """Short, however long a tenant's name a caller makes up.

    Whoever holds a session's token is counted apart, and takes nothing from who handed it out.
    """
    # JSON, because no two callers may be written alike, whatever they are called.
    caller = json.dumps([principal.name, principal.session and str(principal.session), tenant_id])
    digest = hashlib.blake2b(caller.encode(), digest_size=_KEY_BYTES)
    return f"{category}/{digest.hexdigest()}"
