"""Step `tenant`."""

from __future__ import annotations

from attachery.v1.upload_sessions_pb2 import GetUploadSessionRequest
from attachery_service.domain.errors import TenantDenied
from attachery_service.rpc.pipeline.tenant import TenantCheck
from support.pipeline_calls import call, principal


async def test_a_call_is_restricted_to_a_tenant_of_its_principal() -> None:
    allowed, denied, anonymous = (
        call(request=request("acme"), principal=principal(tenants=frozenset({"acme"}))),
        call(request=request("acme"), principal=principal(tenants=frozenset({"other"}))),
        call(request=request("acme")),
    )
    await TenantCheck().process([denied, allowed, anonymous])
    assert (allowed.tenant_id, allowed.error) == ("acme", None)
    for each in (denied, anonymous):
        assert isinstance(each.error, TenantDenied)
        assert each.tenant_id is None


async def test_a_request_without_a_tenant_gets_the_only_one_of_its_principal() -> None:
    one, two, every, none = (
        call(request=request(""), principal=principal(tenants=tenants))
        for tenants in (frozenset({"acme"}), frozenset({"acme", "other"}), None, frozenset[str]())
    )
    await TenantCheck().process([one, two, every, none])
    assert (one.tenant_id, one.request.tenant_id) == ("acme", "acme")
    # The request's own validation refuses these two.
    for each in (two, every):
        assert (each.error, each.tenant_id, each.request.tenant_id) == (None, "", "")
    assert isinstance(none.error, TenantDenied)


def request(tenant_id: str) -> GetUploadSessionRequest:
    return GetUploadSessionRequest(tenant_id=tenant_id)
