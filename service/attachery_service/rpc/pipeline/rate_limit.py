"""Step `rate limit`: counts a call towards the limit of its principal and tenant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attachery_service.domain.errors import AttacheryError, RateLimited
from attachery_service.domain.rates import Category
from attachery_service.ports.rates import RateLimiter
from attachery_service.rpc.pipeline.calls import Call


@dataclass(frozen=True, slots=True)
class RateLimitCheck:
    """Rejects calls beyond the limit of their category."""

    limiter: RateLimiter
    category: Category

    async def process(self, calls: Sequence[Call]) -> None:
        for call in calls:
            tenant_id = call.tenant_id or ""
            try:
                allowance = await self.limiter.hit(call.principal, tenant_id, self.category)
            except AttacheryError as error:
                call.error = error
                continue
            call.allowance = allowance
            if allowance is not None and not allowance.granted:
                call.error = RateLimited(limit=allowance.limit, category=self.category)
                call.error.retry_after = allowance.wait
