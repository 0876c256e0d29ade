"""GetUploadPolicy: the limits that hold for a tenant, and what it uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attachery_service.domain import inputs
from attachery_service.domain.policy import DEFAULT_PURPOSE, Policy, Route
from attachery_service.domain.quota import Limits, Quotas, Usage
from attachery_service.ports.usage import TenantUsage


@dataclass(frozen=True, slots=True)
class UploadPolicy:
    """What holds for the sessions of one purpose, and for all of the tenant's together.

    `route`: the way for a file of the size asked about, None if there is none.
    """

    purpose: str
    policy: Policy
    route: Route | None
    limits: Limits
    usage: Usage


@dataclass(frozen=True, slots=True)
class GetUploadPolicy:
    usage: TenantUsage
    policies: Mapping[str, Policy]
    quotas: Quotas

    async def __call__(self, tenant_id: str, purpose: str, size: int | None) -> UploadPolicy:
        """Raises InvalidRequest, DatabaseUnavailable."""
        reader = inputs.Reader()
        reader.take("tenant_id", "INVALID_TENANT_ID", inputs.tenant_id, tenant_id)
        rule = inputs.purpose(self.policies)
        name = reader.take("purpose", "INVALID_PURPOSE", rule, purpose)
        # An unknown purpose is refused in its turn; until then the default's limits hold.
        policy = self.policies.get(name) or self.policies[DEFAULT_PURPOSE]
        inputs.size(reader, size, inputs.MAX_SIZE, min_size=policy.min_size)
        reader.done()
        used = await self.usage.of(tenant_id)
        route = None if size is None else policy.route_of(size)
        return UploadPolicy(name, policy, route, self.quotas.of(tenant_id), used)
