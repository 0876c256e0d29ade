"""AdminService: decode, use case, encode."""

from __future__ import annotations

from dataclasses import dataclass

from attachery.v1 import admin_pb2 as pb
from attachery_service.domain.audit import Finding, Kind
from attachery_service.rpc.context import CallContext
from attachery_service.rpc.messages.admin_commands import audit_command
from attachery_service.rpc.messages.times import from_datetime
from attachery_service.usecases.audit.audit_attachments import AuditAttachments

FINDING_KINDS = {
    Kind.OBJECT_MISSING: pb.AuditFinding.KIND_OBJECT_MISSING,
    Kind.OBJECT_CHANGED: pb.AuditFinding.KIND_OBJECT_CHANGED,
    Kind.OBJECT_ORPHANED: pb.AuditFinding.KIND_OBJECT_ORPHANED,
    Kind.SESSION_OVERDUE: pb.AuditFinding.KIND_SESSION_OVERDUE,
    Kind.USAGE_DIFFERS: pb.AuditFinding.KIND_USAGE_DIFFERS,
    Kind.HOLD_DIFFERS: pb.AuditFinding.KIND_HOLD_DIFFERS,
}


@dataclass(frozen=True, slots=True)
class AdminUseCases:
    """The use cases of the service's methods."""

    audit_attachments: AuditAttachments


class AdminServicer:
    """Runs the use case of each method."""

    def __init__(self, usecases: AdminUseCases) -> None:
        self._usecases = usecases

    async def AuditAttachments(
        self, request: pb.AuditAttachmentsRequest, context: CallContext
    ) -> pb.AuditAttachmentsResponse:
        page = await self._usecases.audit_attachments(audit_command(request))
        return pb.AuditAttachmentsResponse(
            findings=[_finding_message(finding) for finding in page.findings],
            sessions_seen=page.sessions,
            objects_seen=page.objects,
            next_page_token=page.next_page_token,
        )


def _finding_message(finding: Finding) -> pb.AuditFinding:
    return pb.AuditFinding(
        kind=FINDING_KINDS[finding.kind],
        attachment_id="" if finding.attachment_id is None else str(finding.attachment_id),
        key=finding.key,
        expected=finding.expected,
        actual=finding.actual,
        since_time=from_datetime(finding.since_time),
    )
