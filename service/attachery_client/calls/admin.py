"""The RPCs of AdminService."""
# ruff: noqa: ASYNC109 - gRPC callers expect a deadline per call

from __future__ import annotations

from attachery.v1 import admin_pb2 as admin
from attachery_client.calls.base import CallsBase


class AdminCalls(CallsBase):
    """Audits."""

    async def audit_attachments(
        self,
        *,
        tenant_id: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.AuditAttachmentsResponse:
        """Compares a tenant's rows with its objects in storage, page by page: `.findings`.

        The cursor `.next_page_token` fetches the next page and is empty at the end.

        `page_size` sessions and objects at most, 1,000 if 0 and no more than 10,000; fewer when
        the deadline is near. Changes nothing. Raises InvalidRequest, also for a token of another
        tenant.
        """
        request = admin.AuditAttachmentsRequest(
            tenant_id=tenant_id, page_size=page_size, page_token=page_token
        )
        call = self._connection.stubs.admin.AuditAttachments
        return await self._connection.call(call, request, timeout)
