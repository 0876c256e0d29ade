"""GetUploadPolicy: the limits of a tenant, and its usage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import Struct

from attachery_service.domain.policy import Policy, Route
from attachery_service.domain.quota import Limits, Quotas, Usage
from attachery_service.ports.usage import TenantUsage


class PolicyCommand(Struct, frozen=True):
    """A validated GetUploadPolicy request; `size` in bytes, None if no route is requested."""

    tenant_id: str
    purpose: str
    size: int | None


class UploadPolicy(Struct, frozen=True):
    """The policy of one purpose, and the limits and usage of the whole tenant.

    `route`: the route for a file of the requested size, None if there is none.
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

    async def __call__(self, command: PolicyCommand) -> UploadPolicy:
        """Raises DatabaseUnavailable."""
        policy, size = self.policies[command.purpose], command.size
        used = await self.usage.of(command.tenant_id)
        route = None if size is None else policy.route_of(size)
        limits = self.quotas.of(command.tenant_id)
        return UploadPolicy(command.purpose, policy, route, limits, used)
