"""Step `tenant`."""

from __future__ import annotations

from attachery.v1.upload_sessions_pb2 import GetUploadSessionRequest
from attachery_service.domain.errors import TenantDenied
from attachery_service.rpc.pipeline.tenant import TenantCheck
from support.pipeline_calls import call, principal


async def test_a_call_is_restricted_to_a_tenant_of_its_principal() -> None:
    request = GetUploadSessionRequest(tenant_id="acme")
    allowed, denied, anonymous = (
        call(request=request, principal=principal(tenants=frozenset({"acme"}))),
        call(request=request, principal=principal(tenants=frozenset({"other"}))),
        call(request=request),
    )
    await TenantCheck().process([denied, allowed, anonymous])
    assert (allowed.tenant_id, allowed.error) == ("acme", None)
    for each in (denied, anonymous):
        assert isinstance(each.error, TenantDenied)
        assert each.tenant_id is None
