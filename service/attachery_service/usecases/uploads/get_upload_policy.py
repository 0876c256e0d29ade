"""GetUploadPolicy: the limits of a tenant, and its usage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from attachery_service.domain.policy import Policy, Route, message_size
from attachery_service.domain.quota import Limits, Quotas, Usage
from attachery_service.ports.usage import TenantUsage

# Of the files of one message.
MAX_SIZES: Final = 1000


class PolicyCommand(Struct, frozen=True):
    """A validated GetUploadPolicy request.

    `sizes`: of the files of one message, in bytes; empty if no route is requested.
    """

    tenant_id: str
    purpose: str
    sizes: tuple[int, ...]
    base64: bool


class UploadPolicy(Struct, frozen=True):
    """The policy of one purpose, and the limits and usage of the whole tenant.

    `route`: the route for the requested sizes, None if there is none. `total_size`: of the files in
    the message, in bytes; None without sizes.
    """

    purpose: str
    policy: Policy
    route: Route | None
    limits: Limits
    usage: Usage
    total_size: int | None


@dataclass(frozen=True, slots=True)
class GetUploadPolicy:
    usage: TenantUsage
    policies: Mapping[str, Policy]
    quotas: Quotas

    async def __call__(self, command: PolicyCommand) -> UploadPolicy:
        """Raises DatabaseUnavailable."""
        policy, sizes = self.policies[command.purpose], command.sizes
        used = await self.usage.of(command.tenant_id, command.purpose)
        limits = self.quotas.of(command.tenant_id)
        if not sizes:
            return UploadPolicy(command.purpose, policy, None, limits, used, None)
        route = policy.route_of(sizes, base64=command.base64)
        total = message_size(sizes, base64=command.base64)
        return UploadPolicy(command.purpose, policy, route, limits, used, total)
