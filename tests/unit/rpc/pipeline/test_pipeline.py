"""The pipeline of a method of the contract, with several calls at a time."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from prometheus_client import CollectorRegistry

from attachery.v1 import options_pb2
from attachery.v1.upload_sessions_pb2 import GetUploadSessionRequest, GetUploadSessionResponse
from attachery_service.domain.errors import CredentialsInvalid
from attachery_service.domain.identity import Principal, Scope
from attachery_service.domain.rates import Allowance, Category
from attachery_service.rpc.accept.admission import Admission
from attachery_service.rpc.context import CallContext
from attachery_service.rpc.methods import UPLOADS, Access, contract_methods
from attachery_service.rpc.metrics import RpcMetrics
from attachery_service.rpc.pipeline.calls import Call
from attachery_service.rpc.pipeline.compose import pipeline_of
from attachery_service.rpc.pipeline.parts import PipelineParts
from support.access_rules import RULES
from support.pipeline_calls import Rpc, call, principal

GET = next(method for method in contract_methods(UPLOADS) if method.name == "GetUploadSession")
KEYS = {
    "reader": principal(Scope.UPLOADS_READ, tenants=frozenset({"acme"})),
    "writer": principal(Scope.UPLOADS_CREATE, tenants=frozenset({"acme"})),
}


async def by_key(token: str) -> Principal:
    if token not in KEYS:
        raise CredentialsInvalid
    return KEYS[token]


class Unlimited:
    async def hit(self, _caller: Principal, _tenant: str, _category: Category) -> Allowance | None:
        return None


async def respond(request: GetUploadSessionRequest, _: CallContext) -> GetUploadSessionResponse:
    match request.attachment_id:
        case "bug":
            raise KeyError("secret")
        case "slow":
            await asyncio.Event().wait()
        case "leak":
            raise asyncio.CancelledError
    return GetUploadSessionResponse()


def parts() -> PipelineParts:
    registry = CollectorRegistry()
    admission = Admission(None, registry)
    return PipelineParts(by_key, {}, Unlimited(), RpcMetrics(registry), admission, 0.05)


def made(key: str, attachment_id: str = "x", tenant_id: str = "acme") -> Call:
    request = GetUploadSessionRequest(tenant_id=tenant_id, attachment_id=attachment_id)
    rpc = Rpc(("authorization", f"Bearer {key}"))
    return call(rpc=rpc, request=request.SerializeToString())


async def test_calls_that_fail_leave_the_others_of_their_list_alone() -> None:
    calls = [made("reader"), made("none"), made("writer"), made("reader", tenant_id="b")]
    calls.append(made("reader"))
    calls[-1].request = b"\xff"
    await pipeline_of(GET, respond, parts()).process([*calls, made("reader")])
    assert [each.reason for each in calls] == [
        "",
        "CREDENTIALS_INVALID",
        "SCOPE_MISSING",
        "TENANT_DENIED",
        "MALFORMED_REQUEST",
    ]
    assert calls[0].response == GetUploadSessionResponse().SerializeToString()


async def test_a_caller_without_the_scope_learns_nothing_of_its_requests_validity() -> None:
    for key, reason in (("none", "CREDENTIALS_INVALID"), ("writer", "SCOPE_MISSING")):
        malformed = made(key)
        malformed.request = b"\xff"
        await pipeline_of(GET, respond, parts()).process([malformed])
        assert malformed.reason == reason


@pytest.mark.parametrize(
    ("attachment_id", "reason"),
    [("bug", "INTERNAL"), ("leak", "INTERNAL"), ("slow", "DEADLINE_EXCEEDED")],
)
async def test_an_unforeseen_failure_becomes_an_error_of_the_contract(
    attachment_id: str, reason: str
) -> None:
    failing, used = made("reader", attachment_id), parts()
    await pipeline_of(GET, respond, used).process([failing])
    assert failing.reason == reason
    assert used.admission.at_work == 0


async def test_a_cancelled_call_is_counted_and_releases_its_slot() -> None:
    cancelled, used = made("reader", "slow"), parts()
    running = asyncio.ensure_future(pipeline_of(GET, respond, used).process([cancelled]))
    await asyncio.sleep(0)
    assert used.admission.at_work == 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (cancelled.code.name, used.admission.at_work) == ("CANCELLED", 0)


def service_with(options: options_pb2.MethodAccess | None) -> Access:
    """The access rules of a method with this option."""
    file = descriptor_pb2.FileDescriptorProto(name="s.proto", package="s")
    file.message_type.add(name="Message")
    method = file.service.add(name="S").method.add(
        name="M", input_type=".s.Message", output_type=".s.Message"
    )
    if options is not None:
        method.options.Extensions[options_pb2.access].CopyFrom(options)
    pool = DescriptorPool()
    pool.Add(file)
    (found,) = contract_methods(pool.FindServiceByName("s.S"))
    assert found.access is not None
    return found.access


def test_the_access_rules_of_a_method_are_its_option() -> None:
    option = options_pb2.MethodAccess(
        scope="admin", rate_category=options_pb2.RATE_CATEGORY_RESOLVE, accepts_session_token=True
    )
    assert service_with(option) == Access(Scope.ADMIN, Category.RESOLVE, True)
    assert RULES[GET.path] == Access(Scope.UPLOADS_READ, Category.READ, True, True)


def test_only_a_method_without_a_tenant_may_need_no_scope() -> None:
    option = options_pb2.MethodAccess(
        rate_category=options_pb2.RATE_CATEGORY_READ, has_no_tenant=True
    )
    assert service_with(option) == Access(None, Category.READ, False, has_no_tenant=True)


@pytest.mark.parametrize(
    "option",
    [
        None,
        options_pb2.MethodAccess(scope="admin"),
        options_pb2.MethodAccess(scope="no.such", rate_category=options_pb2.RATE_CATEGORY_READ),
        options_pb2.MethodAccess(rate_category=options_pb2.RATE_CATEGORY_READ),
    ],
)
def test_a_method_without_valid_access_rules_is_refused_at_start_up(
    option: options_pb2.MethodAccess | None,
) -> None:
    with pytest.raises(ValueError, match=r"s\.S\.M"):
        service_with(option)
