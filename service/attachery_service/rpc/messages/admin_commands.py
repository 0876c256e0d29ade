"""Commands of AdminService from their messages. All functions raise InvalidRequest."""

from __future__ import annotations

from typing import Final

from attachery.v1 import admin_pb2
from attachery_service.domain import inputs
from attachery_service.domain.audit import START, AuditCursor
from attachery_service.domain.validation import Validator
from attachery_service.rpc.messages.request_fields import (
    invalid_page_token,
)
from attachery_service.usecases.audit.audit_attachments import AuditCommand

_AUDIT_PAGE: Final = (1000, 10_000)


def audit_command(request: admin_pb2.AuditAttachmentsRequest) -> AuditCommand:
    validator = Validator()
    tenant_id = inputs.tenant_id(validator, request.tenant_id)
    size = inputs.page_size(validator, request.page_size, *_AUDIT_PAGE)
    validator.raise_if_invalid()
    token = request.page_token
    cursor = AuditCursor.of(token, tenant_id) if token else START
    if cursor is None:
        raise invalid_page_token("must be the token of the part before, unchanged")
    return AuditCommand(tenant_id, size, cursor)
