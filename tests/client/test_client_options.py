"""The client's options: credentials, metadata, interceptors, and reports of its calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from attachery.v1.upload_sessions_pb2 import GetUploadPolicyResponse
from attachery_client import AttacheryClient, CallInfo, errors
from support.proxy import proxy_of
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest
from support.store_fixtures import StoreUnderTest

OTHER = "globex"
UNKNOWN = "00000000-0000-7000-8000-000000000000"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OK = grpc.StatusCode.OK


class Recorder(grpc.aio.UnaryUnaryClientInterceptor):
    """Records the metadata of each call, with an entry that it adds."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str | bytes]] = []

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = grpc.aio.Metadata(*(details.metadata or ()), ("x-added", "1"))
        self.seen.append({str(key): value for key, value in metadata})
        return await continuation(details._replace(metadata=metadata), request)


@asynccontextmanager
async def opened(service: ServiceUnderTest, **own: Any) -> AsyncIterator[AttacheryClient]:
    async with AttacheryClient(service.target, **{"api_key": service.api_key, **own}) as client:
        yield client


async def policy(client: AttacheryClient, tenant: str = TENANT) -> GetUploadPolicyResponse:
    return await client.get_upload_policy(tenant_id=tenant)


@pytest.mark.requirement("P8", "P10")
async def test_a_call_is_reported_with_request_id_rate_limit_and_attempts(
    make_service: MakeService,
) -> None:
    service, calls = await make_service(rate_limit_read="2/minute"), list[CallInfo]()
    async with opened(service, on_call=calls.append) as client:
        await policy(client)
        with pytest.raises(errors.AttachmentNotFound) as missing:
            await client.get_upload_session(UNKNOWN, tenant_id=TENANT)
        with pytest.raises(errors.RateLimited) as refused:
            await policy(client)
    first, second, third = calls
    assert (first.method, first.code, first.reason) == ("GetUploadPolicy", OK, "")
    assert (first.attempts, second.attempts, third.attempts) == (1, 1, 1)
    limits = [call.rate_limit for call in calls if call.rate_limit is not None]
    assert [(limit.limit, limit.remaining) for limit in limits] == [(2, 1), (2, 0), (2, 0)]
    assert all(limit.reset > datetime.now(UTC) for limit in limits)
    assert (second.reason, third.reason) == ("ATTACHMENT_NOT_FOUND", "RATE_LIMITED")
    assert third.retry_after == refused.value.retry_after
    assert len({call.request_id for call in calls}) == 3
    for call, caught in ((second, missing.value), (third, refused.value)):
        assert call.request_id == caught.request_id
        assert call.rate_limit == caught.rate_limit
        assert call.attempts == caught.attempts


@pytest.mark.exhaustive
async def test_attempts_are_counted(
    make_service: MakeService, object_store: StoreUnderTest
) -> None:
    async with proxy_of(object_store.endpoint) as proxy:
        service = await make_service(s3_endpoint=proxy.in_front_of(object_store.endpoint))
        started = await service.start(size_bytes=6)
        proxy.cut()
        async with opened(service) as client:
            with pytest.raises(errors.StorageUnavailable) as caught:
                await client.complete_upload_session(
                    started.session.attachment_id, tenant_id=TENANT
                )
    assert caught.value.attempts == 4


async def test_a_call_that_no_service_answers_has_no_attempts() -> None:
    calls = list[CallInfo]()
    async with AttacheryClient("127.0.0.1:1", api_key="k", on_call=calls.append) as client:
        with pytest.raises(errors.Unavailable) as caught:
            await policy(client)
    assert (caught.value.attempts, caught.value.rate_limit) == (None, None)
    assert calls == [
        CallInfo(
            method="GetUploadPolicy",
            request_id=caught.value.request_id,
            code=grpc.StatusCode.UNAVAILABLE,
        )
    ]


async def test_concurrent_callers_see_their_own_calls_only(
    client: AttacheryClient,
) -> None:
    seen: dict[int, list[CallInfo]] = {number: [] for number in range(20)}
    callers = {
        number: client.bound(metadata={"x-request-id": f"job-{number}"}, on_call=calls.append)
        for number, calls in seen.items()
    }
    await asyncio.gather(*(policy(caller) for caller in callers.values()))
    for number, calls in seen.items():
        assert [call.request_id for call in calls] == [f"job-{number}"]


async def test_a_bound_client_reports_to_both_hooks(service: ServiceUnderTest) -> None:
    all_calls, own_calls = list[CallInfo](), list[CallInfo]()
    async with opened(service, on_call=all_calls.append) as client:
        await policy(client)
        uploaded = await client.bound(on_call=own_calls.append).upload(
            b"hello\n", tenant_id=TENANT, filename="a.txt"
        )
    assert [call.method for call in own_calls] == ["StartUploadSession", "CompleteUploadSession"]
    assert all_calls[1:] == own_calls
    assert uploaded.size_bytes == 6


async def test_each_bound_client_has_its_own_credential(service: ServiceUnderTest) -> None:
    other_key = await service.new_key(tenants=(OTHER,))
    async with opened(service) as client:
        other, stranger = client.bound(api_key=other_key), client.bound(api_key=None)
        wrong = client.bound(api_key="attk_wrong")
        assert (await policy(client)).policy == (await policy(other, OTHER)).policy
        with pytest.raises(errors.TenantDenied):
            await policy(other)
        with pytest.raises(errors.TenantDenied):
            await policy(client, OTHER)
        with pytest.raises(errors.CredentialsMissing):
            await policy(stranger)
        with pytest.raises(errors.CredentialsInvalid):
            await policy(wrong)
        await policy(wrong.bound(api_key=service.api_key))
        await policy(client.bound(metadata={"x-note": "same key"}))


async def test_a_bound_client_shares_the_connections(service: ServiceUnderTest) -> None:
    client = AttacheryClient(service.target, api_key=None)
    bound = client.bound(api_key=service.api_key)
    with pytest.raises(RuntimeError, match="async with"):
        await policy(bound)
    async with client:
        attachment = await bound.upload(b"hello\n", tenant_id=TENANT, filename="a.txt")
        assert await bound.download(attachment.attachment_id, tenant_id=TENANT) == b"hello\n"
    with pytest.raises(RuntimeError, match="async with"):
        await policy(bound)


async def test_a_key_may_be_called_for_each_call(service: ServiceUnderTest) -> None:
    keys = [service.api_key, "attk_wrong", None, service.api_key]

    async def fetched() -> str | None:
        return keys.pop(0)

    for source in (lambda: keys.pop(0), fetched):
        keys[:] = [service.api_key, "attk_wrong", None, service.api_key]
        async with opened(service, api_key=source) as client:
            assert len(keys) == 4
            await policy(client)
            with pytest.raises(errors.CredentialsInvalid):
                await policy(client)
            with pytest.raises(errors.CredentialsMissing):
                await policy(client)
            await policy(client)
        assert keys == []


class NoKeyError(Exception):
    """The caller's own error."""


async def test_an_error_of_the_key_reaches_the_caller() -> None:
    def failing() -> str:
        raise NoKeyError

    async def failing_later() -> str:
        raise NoKeyError

    calls = list[CallInfo]()
    for source in (failing, failing_later):
        async with AttacheryClient("127.0.0.1:1", api_key=source, on_call=calls.append) as client:
            with pytest.raises(NoKeyError):
                await policy(client)
    assert calls == []


@pytest.mark.parametrize("key", ["", "with space", "line\n", "schlüssel", b"bytes", 7])
async def test_an_invalid_key_is_refused_without_showing_it(key: Any) -> None:
    async def fetched() -> Any:
        return key

    async with AttacheryClient("127.0.0.1:1", api_key="k") as client:
        for source in (lambda: key, fetched):
            with pytest.raises(ValueError, match="printable ASCII") as caught:
                await policy(client.bound(api_key=source))
            assert not key or str(key) not in str(caught.value)
        with pytest.raises(ValueError, match="printable ASCII"):
            client.bound(api_key=key)


async def test_metadata_is_sent_with_every_call(service: ServiceUnderTest) -> None:
    recorder = Recorder()
    constant: dict[str, str | bytes] = {"x-team": "mail", "x-step": "1"}
    async with opened(service, metadata=constant, interceptors=[recorder]) as client:
        await policy(client)
        traced = client.bound(metadata={"traceparent": TRACE, "x-step": "2", "x-raw-bin": b"\xff"})
        await policy(traced)
        await policy(client)
    first, second, third = recorder.seen
    assert (first["x-team"], first["x-step"]) == ("mail", "1")
    assert (second["x-team"], second["x-step"], second["x-raw-bin"]) == ("mail", "2", b"\xff")
    assert second["traceparent"] == TRACE
    assert first["x-request-id"] != third["x-request-id"]
    assert "traceparent" not in third


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("authorization", "Bearer k"),
        ("grpc-timeout", "1S"),
        ("X-Team", "mail"),
        ("", "mail"),
        ("x team", "mail"),
        (":path", "/"),
        ("x-team", ""),
        ("x-team", "zwölf"),
        ("x-team", "a\nb"),
        ("x-team", b"bytes"),
        ("x-team-bin", "text"),
        ("x-team", 7),
    ],
)
def test_metadata_no_call_can_carry_is_refused(key: str, value: Any) -> None:
    client = AttacheryClient("127.0.0.1:1", api_key="k")
    with pytest.raises(ValueError, match="metadata"):
        client.bound(metadata={key: value})
    with pytest.raises(ValueError, match="metadata"):
        AttacheryClient("127.0.0.1:1", api_key="k", metadata={key: value})


async def test_an_interceptor_sees_every_call_and_its_response(service: ServiceUnderTest) -> None:
    recorder, calls = Recorder(), list[CallInfo]()
    async with opened(service, interceptors=[recorder], on_call=calls.append) as client:
        await policy(client)
        with pytest.raises(errors.AttachmentNotFound):
            await client.bound(api_key=service.api_key).get_attachment(UNKNOWN, tenant_id=TENANT)
    assert [seen["x-added"] for seen in recorder.seen] == ["1", "1"]
    assert [call.request_id for call in calls] == [s["x-request-id"] for s in recorder.seen]
    assert [call.attempts for call in calls] == [1, 1]


def interceptor(answer: Callable[[], Any]) -> grpc.aio.ClientInterceptor:
    """Answers each call itself."""

    class Answering(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, *_: object) -> Any:
            return answer()

    return Answering()


async def test_an_interceptor_may_answer_or_fail() -> None:
    def fail() -> None:
        raise NoKeyError

    calls = list[CallInfo]()
    for answer in (GetUploadPolicyResponse, fail):
        client = AttacheryClient(
            "127.0.0.1:1", api_key="k", interceptors=[interceptor(answer)], on_call=calls.append
        )
        async with client:
            if answer is fail:
                with pytest.raises(NoKeyError):
                    await policy(client)
            else:
                assert await policy(client) == GetUploadPolicyResponse()
    (made,) = calls
    assert (made.code, made.attempts, made.rate_limit) == (OK, None, None)
    assert made.request_id


async def test_a_slow_key_is_cancelled_with_its_call() -> None:
    async def never() -> str:
        await asyncio.Event().wait()
        return "k"

    async with AttacheryClient("127.0.0.1:1", api_key=never) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await policy(client)
