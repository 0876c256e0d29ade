"""The RPCs of AccessService."""
# ruff: noqa: ASYNC109 - gRPC callers expect a deadline per call

from __future__ import annotations

from attachery.v1 import access_pb2 as access
from attachery_client.calls.base import CallsBase


class AccessCalls(CallsBase):
    """Credentials and their rights."""

    async def get_caller(self, *, timeout: float | None = None) -> access.GetCallerResponse:
        """Returns the identity and the rights of this client's own credential.

        `.name`, `.tenant_ids` or `.all_tenants`, `.scopes`, `.expire_time` unless it is valid
        forever, and `.attachment_id` for a session token.
        """
        call = self._connection.stubs.access.GetCaller
        return await self._connection.call(call, access.GetCallerRequest(), timeout)
