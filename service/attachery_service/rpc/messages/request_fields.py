"""Fields that several requests share."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from attachery.v1 import attachments_pb2, upload_sessions_pb2
from attachery_service.domain import inputs
from attachery_service.domain.errors import AttacheryError, Violation
from attachery_service.domain.pages import id_of_token
from attachery_service.domain.validation import Validator, invalid
from attachery_service.usecases.uploads.lookup import AttachmentRef

_AttachmentRequest = (
    upload_sessions_pb2.CompleteUploadSessionRequest
    | upload_sessions_pb2.CancelUploadSessionRequest
    | upload_sessions_pb2.GetUploadSessionRequest
    | attachments_pb2.GetAttachmentRequest
    | attachments_pb2.CreateDownloadUrlRequest
    | attachments_pb2.UpdateAttachmentRequest
    | attachments_pb2.DeleteAttachmentRequest
)


def attachment_ref(
    request: upload_sessions_pb2.GetUploadSessionRequest | attachments_pb2.GetAttachmentRequest,
) -> AttachmentRef:
    validator = Validator()
    ref = read_attachment_ref(validator, request)
    validator.raise_if_invalid()
    return ref


def read_attachment_ref(validator: Validator, request: _AttachmentRequest) -> AttachmentRef:
    tenant_id = inputs.tenant_id(validator, request.tenant_id)
    return AttachmentRef(tenant_id, inputs.attachment_id(validator, request.attachment_id))


def page_start(token: str, listing: Mapping[str, object]) -> UUID:
    """Returns the last id of the page before; the lowest one for the first page."""
    if not token:
        return UUID(int=0)
    after = id_of_token(token, listing)
    if after is None:
        raise invalid_page_token("must be the token of the page before, unchanged")
    return after


def invalid_page_token(rule: str) -> AttacheryError:
    return invalid([Violation("page_token", "INVALID_PAGE_TOKEN", rule)])
