"""Step `rate limit`."""

from __future__ import annotations

from datetime import timedelta

from attachery_service.domain.errors import RateLimited
from attachery_service.domain.identity import Principal
from attachery_service.domain.rates import Allowance, Category, RateLimit
from attachery_service.rpc.pipeline.rate_limit import RateLimitCheck
from support.pipeline_calls import call, principal

LIMIT = RateLimit(1, "second")


class OnePerTenant:
    """Grants the first call of each tenant; has no limit for the tenant `free`."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, str, Category]] = []

    async def hit(self, caller: Principal, tenant_id: str, category: Category) -> Allowance | None:
        counted = (caller.name, tenant_id, category)
        granted = counted not in self.counted
        self.counted.append(counted)
        if tenant_id == "free":
            return None
        return Allowance(limit=LIMIT, granted=granted, remaining=0, wait=timedelta(seconds=1))


async def test_each_call_counts_towards_the_limit_of_its_principal_tenant_and_category() -> None:
    limiter = OnePerTenant()
    calls = [
        call(tenant_id=tenant, principal=principal()) for tenant in ("a", "a", "b", "free", "free")
    ]
    await RateLimitCheck(limiter, Category.READ).process(calls)
    assert [isinstance(each.error, RateLimited) for each in calls] == [
        False,
        True,
        False,
        False,
        False,
    ]
    assert [each.allowance is None for each in calls] == [False, False, False, True, True]
    assert limiter.counted[0] == ("caller", "a", Category.READ)
