"""The credential of the fake: it covers one tenant, or all."""

from __future__ import annotations

from typing import Any

from attachery.v1 import (
    access_pb2,
    admin_pb2,
    attachments_pb2,
    options_pb2,
    upload_sessions_pb2,
)
from attachery_client import errors

_CONTRACT = (upload_sessions_pb2, attachments_pb2, admin_pb2, access_pb2)
_SCOPES = {
    method.GetOptions().Extensions[options_pb2.access].scope
    for module in _CONTRACT
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
} - {""}


def choose_tenant(request: Any, covered: str) -> None:
    """Writes the tenant that the credential covers into a request without one.

    `covered`: empty for all tenants. Raises InvalidRequest, TenantDenied.
    """
    if "tenant_id" not in request.DESCRIPTOR.fields_by_name:
        return
    request.tenant_id = request.tenant_id or covered
    if not request.tenant_id:
        violation = errors.Violation("tenant_id", "INVALID_TENANT_ID", "must be the id of a tenant")
        raise errors.InvalidRequest(reason=violation.reason, violations=[violation])
    if covered not in ("", request.tenant_id):
        raise errors.TenantDenied


def caller_of(covered: str) -> access_pb2.GetCallerResponse:
    return access_pb2.GetCallerResponse(
        name="fake",
        tenant_ids=[covered] if covered else [],
        all_tenants=not covered,
        scopes=sorted(_SCOPES),
    )
