"""GetUploadPolicy: the limits that hold for a tenant, and what it uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attachery_service.domain import inputs
from attachery_service.domain.policy import Policy
from attachery_service.domain.quota import Limits, Quotas, Usage
from attachery_service.ports import TenantUsage


@dataclass(frozen=True, slots=True)
class UploadPolicy:
    """What holds for the sessions of one purpose, and for all of the tenant's together."""

    purpose: str
    policy: Policy
    limits: Limits
    usage: Usage


@dataclass(frozen=True, slots=True)
class GetUploadPolicy:
    usage: TenantUsage
    policies: Mapping[str, Policy]
    quotas: Quotas

    async def __call__(self, tenant_id: str, purpose: str) -> UploadPolicy:
        """Raises InvalidRequest, DatabaseUnavailable."""
        reader = inputs.Reader()
        reader.take("tenant_id", "INVALID_TENANT_ID", inputs.tenant_id, tenant_id)
        rule = inputs.purpose(self.policies)
        name = reader.take("purpose", "INVALID_PURPOSE", rule, purpose)
        reader.done()
        used = await self.usage.of(tenant_id)
        return UploadPolicy(name, self.policies[name], self.quotas.of(tenant_id), used)
