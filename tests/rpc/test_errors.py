"""Every failure reaches the caller as one clear status, without internals."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from attachery.v1 import errors_pb2, options_pb2
from attachery.v1.attachments_pb2 import ResolveAttachmentsRequest
from attachery.v1.upload_sessions_pb2 import (
    BatchCompleteUploadSessionsRequest,
    GetUploadSessionRequest,
)
from attachery_service.domain import errors
from attachery_service.postgres.database import Database
from attachery_service.rpc.status import MAX_STATUS_BYTES, to_status
from support.environments import ROOT
from support.failures import Failure, failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

Detail = TypeVar("Detail", bound=Message)

SECRET = "dsn=postgres://root:hunter2@db"
GET = "/attachery.v1.UploadSessionService/GetUploadSession"
UNKNOWN = "01890000-0000-7000-8000-000000000000"


async def raw_call(service: ServiceUnderTest, method: str, body: bytes, **options: Any) -> bytes:
    call = service.channel.unary_unary(
        method, request_serializer=lambda raw: raw, response_deserializer=lambda raw: raw
    )
    answer: bytes = await call(body, metadata=service.metadata, **options)
    return answer


def leaks_nothing(failed: Failure) -> bool:
    text = f"{failed.message}{failed.status}{failed.trailers}"
    return not any(word in text for word in ("hunter2", "Traceback", "class '", "asyncpg", "File "))


@pytest.mark.sample(2)
@pytest.mark.bad_input
@pytest.mark.parametrize(
    "body", [b"\xff" * 40, b"\x0a\x05ab", b"\x0a\x02\xc3\x28", b"\x0a", b"\x12\x80"]
)
async def test_bytes_that_are_no_request_are_the_callers_fault(
    service: ServiceUnderTest, body: bytes
) -> None:
    refused = await failure(raw_call(service, GET, body))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.reason == "MALFORMED_REQUEST"
    assert leaks_nothing(refused)


async def test_unknown_fields_are_ignored(service: ServiceUnderTest) -> None:
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id
    request = GetUploadSessionRequest(tenant_id=TENANT, attachment_id=attachment_id)
    assert await raw_call(service, GET, request.SerializeToString() + b"\xfa\x3f\x01x")


@pytest.mark.bad_input
async def test_an_unknown_method_has_a_reason(service: ServiceUnderTest) -> None:
    for method in ("/attachery.v1.UploadSessionService/Nope", "/nope.Service/Nope"):
        refused = await failure(raw_call(service, method, b""))
        assert refused.code is grpc.StatusCode.UNIMPLEMENTED
        assert refused.reason == "UNKNOWN_METHOD"


@pytest.mark.parametrize("bug", [ValueError(SECRET), KeyError(SECRET), RuntimeError(SECRET)])
async def test_a_bug_answers_internal_and_keeps_its_text(
    service: ServiceUnderTest, monkeypatch: pytest.MonkeyPatch, bug: Exception
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise bug

    monkeypatch.setattr(Database, "rows", broken)
    refused = await failure(service.get(UNKNOWN))
    assert refused.code is grpc.StatusCode.INTERNAL
    assert refused.reason == "INTERNAL"
    assert refused.facts == {"httpStatus": "500"}
    assert refused.next_action == "CONTACT_OPERATOR"
    assert leaks_nothing(refused)


async def test_a_cancellation_that_leaks_from_within_is_answered_at_once(
    service: ServiceUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(Database, "rows", broken)
    refused = await failure(service.get(UNKNOWN))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")


@pytest.mark.requirement("P8")
async def test_request_id_is_returned_in_trailers_and_details(
    service: ServiceUnderTest,
) -> None:
    service.metadata = (*service.metadata, ("x-request-id", "my-request.1"))
    assert (await failure(service.get(UNKNOWN))).request_id == "my-request.1"
    request = GetUploadSessionRequest(tenant_id=TENANT, attachment_id=UNKNOWN)
    started = service.uploads.GetUploadSession(request, metadata=service.metadata)
    with pytest.raises(grpc.aio.AioRpcError):
        await started
    assert dict(await started.trailing_metadata())["x-request-id"] == "my-request.1"


@pytest.mark.sample(2)
@pytest.mark.bad_input
@pytest.mark.parametrize("odd", ["a b", "x" * 65, 'a"b', "'; drop table", ""])
async def test_an_odd_request_id_is_replaced(service: ServiceUnderTest, odd: str) -> None:
    service.metadata = (*service.metadata, ("x-request-id", odd))
    refused = await failure(service.get(UNKNOWN))
    assert refused.request_id != odd
    assert len(refused.request_id) == 36


@pytest.mark.bad_input
async def test_a_deadline_that_is_too_short_has_its_own_reason(
    service: ServiceUnderTest,
) -> None:
    request = GetUploadSessionRequest(tenant_id=TENANT, attachment_id=UNKNOWN)
    async with service.database.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE upload_sessions IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.uploads.GetUploadSession(
                request, metadata=service.metadata, timeout=0.001
            )
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def every_error(kind: type[errors.AttacheryError]) -> list[type[errors.AttacheryError]]:
    return [kind, *(d for child in kind.__subclasses__() for d in every_error(child))]


DEFINITIONS: dict[str, options_pb2.ErrorDefinition] = {
    value.name.removeprefix("ERROR_REASON_"): value.GetOptions().Extensions[options_pb2.error]
    for value in errors_pb2.ErrorReason.DESCRIPTOR.values[1:]
}


def detail(status: status_pb2.Status, kind: type[Detail]) -> Detail:
    """The detail of this kind; an empty message if there is none."""
    message = kind()
    for packed in status.details:
        if packed.TypeName() == kind.DESCRIPTOR.full_name:
            packed.Unpack(message)
    return message


def as_sent(error: errors.AttacheryError) -> tuple[int, str, dict[str, str], bool]:
    status = to_status(error, "r")
    known = dict(detail(status, error_details_pb2.ErrorInfo).metadata)
    facts = {name: known[name] for name in ("httpStatus", "nextAction", "retryable")}
    has_delay = detail(status, error_details_pb2.RetryInfo).HasField("retry_delay")
    return status.code, status.message, facts, has_delay


def next_action(defined: options_pb2.ErrorDefinition) -> str:
    return options_pb2.NextAction.Name(defined.next_action).removeprefix("NEXT_ACTION_")


def error_of(reason: str) -> errors.AttacheryError:
    if DEFINITIONS[reason].field_violation:
        return errors.InvalidRequest([errors.Violation("f", reason, "must be valid")])
    _, *kinds = every_error(errors.AttacheryError)
    return next(kind() for kind in kinds if vars(kind).get("reason") == reason)


@pytest.mark.requirement("P7", "P9")
@pytest.mark.parametrize("reason", DEFINITIONS)
def test_every_reason_is_sent_as_the_contract_defines_it(reason: str) -> None:
    defined = DEFINITIONS[reason]
    facts = {
        "httpStatus": str(defined.http_status),
        "nextAction": next_action(defined),
        "retryable": "true" if defined.retryable else "false",
    }
    expected = (defined.code, defined.message, facts, defined.retryable)
    error = error_of(reason)
    assert error.reason == reason
    assert as_sent(error) == expected


@pytest.mark.bad_input
async def test_the_message_is_constant_and_the_rule_a_fact(service: ServiceUnderTest) -> None:
    refused = await failure(service.start(filename="", size_bytes=0))
    assert refused.message == DEFINITIONS["INVALID_FILENAME"].message
    assert refused.facts["field"] == "filename"
    assert refused.facts["rule"]
    assert [field for field, _ in refused.violations] == ["filename", "size_bytes"]


def test_a_status_stays_below_its_limit_however_much_is_wrong() -> None:
    violations = [errors.Violation("f" * 200, "R" * 60, "d" * 200) for _ in range(20)]
    status = to_status(errors.InvalidRequest(violations), "r")
    assert status.ByteSize() <= MAX_STATUS_BYTES
    assert len(status.details) == 3


def test_the_help_is_left_out_before_any_violation() -> None:
    def sent(count: int) -> tuple[int, int]:
        """The numbers of violations and of links in the status of `count` violations."""
        violations = [errors.Violation(f"f{n}", "R" * 60, "d" * 130) for n in range(count)]
        status = to_status(errors.InvalidRequest(violations), "r")
        assert detail(status, error_details_pb2.RequestInfo).request_id == "r"
        bad = detail(status, error_details_pb2.BadRequest).field_violations
        return len(bad), len(detail(status, error_details_pb2.Help).links)

    outcomes = [sent(count) for count in range(1, 30)]
    assert outcomes[0] == (1, 1)
    most = max(count for count, _ in outcomes)
    assert (most, 0) in outcomes
    assert all(shown == count for count, (shown, _) in enumerate(outcomes[:most], start=1))
    assert [links for _, links in outcomes] == sorted(
        (links for _, links in outcomes), reverse=True
    )


@pytest.mark.parametrize("reason", DEFINITIONS)
@pytest.mark.sample(2)
def test_the_help_is_the_next_action_and_a_place_in_the_reference(reason: str) -> None:
    status = to_status(error_of(reason), "r", "https://docs.example/errors/")
    (link,) = detail(status, error_details_pb2.Help).links
    page = (ROOT / "docs/errors.md").read_text()
    assert f"| `{next_action(DEFINITIONS[reason])}` | {link.description} |" in page
    address, _, place = link.url.partition("#")
    assert address == "https://docs.example/errors/"
    assert f'<a id="{place}"></a>`{reason}`' in page


async def test_the_links_of_all_errors_lead_to_the_published_page(
    make_service: MakeService,
) -> None:
    page = "https://docs.example/errors/"
    service = await make_service(docs_url=page)
    assert (await failure(service.get(UNKNOWN))).help.links[0].url.startswith(page)
    unknown = await failure(raw_call(service, "/nope.Service/Nope", b""))
    assert unknown.help.links[0].url == f"{page}#UNKNOWN_METHOD"
    item = BatchCompleteUploadSessionsRequest.Item(attachment_id=UNKNOWN)
    batch = await service.uploads.BatchCompleteUploadSessions(
        BatchCompleteUploadSessionsRequest(tenant_id=TENANT, items=[item]),
        metadata=service.metadata,
    )
    resolved = await service.attachments.ResolveAttachments(
        ResolveAttachmentsRequest(tenant_id=TENANT, attachment_ids=[UNKNOWN]),
        metadata=service.metadata,
    )
    for status in (batch.results[0].status, resolved.results[0].status):
        (link,) = detail(status, error_details_pb2.Help).links
        assert link.url == f"{page}#ATTACHMENT_NOT_FOUND"
