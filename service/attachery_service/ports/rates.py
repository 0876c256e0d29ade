"""Rate limits."""

from __future__ import annotations

from typing import Protocol

from attachery_service.domain.identity import Principal
from attachery_service.domain.rates import Allowance, Category


class RateLimiter(Protocol):
    """Decides whether a caller may make one more call."""

    async def hit(
        self, principal: Principal, tenant_id: str, category: Category
    ) -> Allowance | None:
        """Counts a call unless it is refused. Returns None without a limit. Never fails."""
