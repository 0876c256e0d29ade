"""Step `tenant`: determines the one tenant of a call."""

from __future__ import annotations

from collections.abc import Sequence

from attachery_service.domain.errors import TenantDenied
from attachery_service.rpc.pipeline.calls import Call


class TenantCheck:
    """Rejects principals that may not act for the tenant of the request.

    Writes the tenant into a request without one, so that all that follows sees it: the command,
    page tokens, the payload of a request id, shared statements.
    """

    async def process(self, calls: Sequence[Call]) -> None:
        for call in calls:
            try:
                call.tenant_id = call.principal.tenant_of(call.request.tenant_id)
            except TenantDenied as error:
                call.error = error
            else:
                call.request.tenant_id = call.tenant_id
