"""Principals as messages."""

from __future__ import annotations

from attachery.v1 import access_pb2 as pb
from attachery_service.domain.identity import Principal
from attachery_service.rpc.messages.times import from_datetime


def caller_message(principal: Principal) -> pb.GetCallerResponse:
    return pb.GetCallerResponse(
        name=principal.name,
        tenant_ids=sorted(principal.tenants or ()),
        all_tenants=principal.tenants is None,
        scopes=sorted(principal.scopes),
        expire_time=from_datetime(principal.expire_time),
        attachment_id="" if principal.session is None else str(principal.session),
        connection=_connection_message(principal),
    )


def _connection_message(principal: Principal) -> pb.Connection | None:
    if principal.connection is None:
        return None
    (tenant_id,) = principal.tenants or ("",)
    return pb.Connection(
        tenant_id=tenant_id,
        subject=principal.connection.subject,
        purposes=sorted(principal.connection.purposes),
    )
