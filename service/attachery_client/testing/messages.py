"""Parts of the in-memory service's responses."""

from __future__ import annotations

from typing import Any

from google.rpc.error_details_pb2 import ErrorInfo, Help, RequestInfo
from google.rpc.status_pb2 import Status

from attachery.v1 import attachments_pb2 as attachments
from attachery.v1 import resources_pb2 as resources
from attachery.v1 import upload_sessions_pb2 as sessions
from attachery_client import errors
from attachery_client.fields import duration
from attachery_client.status import DOMAIN
from attachery_client.testing.failures import as_received
from attachery_client.testing.upload import TTL, Upload

# The scheme of the URLs that FakeAttachery signs.
SCHEME = "in-memory:"


def matches(upload: Upload, request: Any) -> bool:
    session, wanted = upload.session, request.filter
    created = session.create_time.ToDatetime()
    return bool(
        session.tenant_id == request.tenant_id
        and (not wanted.states or session.state in wanted.states)
        and wanted.purpose in ("", session.purpose)
        and (
            not wanted.HasField("create_time_from")
            or created >= wanted.create_time_from.ToDatetime()
        )
        and (
            not wanted.HasField("create_time_before")
            or created < wanted.create_time_before.ToDatetime()
        )
    )


def target_of(session: resources.UploadSession, undeclared_size: str) -> resources.UploadTarget:
    is_form = undeclared_size == "form" and not session.HasField("declared_size_bytes")
    return resources.UploadTarget(
        method="POST" if is_form else "PUT",
        url=SCHEME + session.attachment_id,
        expire_time=session.expire_time,
        ttl=duration(TTL),
    )


def download_of(attachment: resources.Attachment) -> attachments.Download:
    return attachments.Download(
        url=SCHEME + attachment.attachment_id,
        expire_time=attachment.object_purge_time,
        ttl=duration(TTL),
    )


def completed(upload: Upload) -> sessions.CompleteUploadSessionResponse:
    """The response of a Complete, or of a repeated one after the deletion."""
    attachment_id = upload.session.attachment_id
    step = (
        f"The bytes of {attachment_id} were deleted: call StartUploadSession to upload the file "
        "again."
        if upload.state == "DELETED"
        else f"The attachment is ready: pass attachment_id {attachment_id} to ResolveAttachments "
        "to use it, or to CreateDownloadUrl to download it."
    )
    return sessions.CompleteUploadSessionResponse(
        session=upload.session, attachment=upload.attachment(), next_step=step
    )


def step_after_dry_run(upload: Upload, request: Any) -> str:
    call = f"call CompleteUploadSession with attachment_id {upload.session.attachment_id}"
    if upload.data is None or upload.judge(request):
        return f"Upload bytes that pass every check, then {call}."
    return f"Every check passed: {call} and without validate_only."


def status_of(failed: errors.AttacheryError) -> Status:
    """The status of an item of a batch."""
    error = as_received(failed)
    known = {
        "httpStatus": str(error.http_status),
        "nextAction": error.next_action,
        "retryable": "true" if error.retryable else "false",
    }
    status = Status(code=error.code.value[0], message=error.message)
    for detail in (
        ErrorInfo(reason=error.reason, domain=DOMAIN, metadata={**error.facts, **known}),
        RequestInfo(request_id=error.request_id),
        Help(links=[Help.Link(url=error.help_url)]),
    ):
        status.details.add().Pack(detail)
    return status


def aborted_result(
    result: attachments.ResolveAttachmentResult,
) -> attachments.ResolveAttachmentResult:
    status = result.status if result.status.code else status_of(errors.BatchAborted())
    return attachments.ResolveAttachmentResult(attachment_id=result.attachment_id, status=status)
