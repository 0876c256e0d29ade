"""Step `tenant`: restricts a call to one tenant."""

from __future__ import annotations

from collections.abc import Sequence

from attachery_service.domain.errors import TenantDenied
from attachery_service.rpc.pipeline.calls import Call


class TenantCheck:
    """Rejects principals that may not act for the tenant of the request.

    Every request message of the contract has a `tenant_id`.
    """

    async def process(self, calls: Sequence[Call]) -> None:
        for call in calls:
            tenant_id: str = call.request.tenant_id
            try:
                call.principal.require_tenant(tenant_id)
            except TenantDenied as error:
                call.error = error
            else:
                call.tenant_id = tenant_id
