"""UploadSessionService: decode, use case, encode."""

from __future__ import annotations

from dataclasses import dataclass

from google.rpc import status_pb2

from attachery.v1 import upload_sessions_pb2 as pb
from attachery_service.domain.identity import Principal
from attachery_service.rpc.call_log import log_fault
from attachery_service.rpc.context import CallContext
from attachery_service.rpc.messages.attachment_view import AttachmentView
from attachery_service.rpc.messages.convert import (
    check_messages,
    disposition_name,
    given_checksums,
    policy_message,
    route_message,
    state_name,
    target_message,
    usage_message,
)
from attachery_service.rpc.messages.response_size import completed_size, require_receivable
from attachery_service.rpc.messages.sessions import session_message
from attachery_service.rpc.messages.times import given_timedelta, to_datetime
from attachery_service.rpc.status import to_status
from attachery_service.usecases.uploads.batch_complete_upload_sessions import (
    BatchCompleteUploadSessions,
)
from attachery_service.usecases.uploads.batch_outcomes import Answer
from attachery_service.usecases.uploads.batch_request import BatchCompleteRequest, BatchItem
from attachery_service.usecases.uploads.cancel_upload_session import CancelUploadSession
from attachery_service.usecases.uploads.complete_upload_session import (
    CompleteRequest,
    CompleteUploadSession,
)
from attachery_service.usecases.uploads.get_upload_policy import GetUploadPolicy
from attachery_service.usecases.uploads.get_upload_session import GetUploadSession
from attachery_service.usecases.uploads.list_upload_sessions import ListRequest, ListUploadSessions
from attachery_service.usecases.uploads.start_upload_session import StartRequest, StartUploadSession
from attachery_service.usecases.uploads.upload_verifier import Completed


@dataclass(frozen=True, slots=True)
class UploadSessionUseCases:
    """What the service's methods run."""

    start: StartUploadSession
    complete: CompleteUploadSession
    batch_complete: BatchCompleteUploadSessions
    cancel: CancelUploadSession
    get: GetUploadSession
    list: ListUploadSessions
    get_policy: GetUploadPolicy


class UploadSessionServicer:
    """Each method runs the use case of its name."""

    def __init__(self, usecases: UploadSessionUseCases, view: AttachmentView) -> None:
        self._usecases = usecases
        self._view = view

    async def StartUploadSession(
        self, request: pb.StartUploadSessionRequest, context: CallContext
    ) -> pb.StartUploadSessionResponse:
        started = await self._usecases.start(context.principal, _start_request(request))
        session, target = session_message(started.session), started.target
        if request.validate_only:
            session.ClearField("attachment_id")
        return pb.StartUploadSessionResponse(
            session=session,
            target=target_message(started.session, target) if target else None,
            session_token=started.session_token or "",
        )

    async def CompleteUploadSession(
        self, request: pb.CompleteUploadSessionRequest, context: CallContext
    ) -> pb.CompleteUploadSessionResponse:
        completed = await self._usecases.complete(context.principal, _complete_request(request))
        return _completed(completed, self._view, context.principal)

    async def BatchCompleteUploadSessions(
        self, request: pb.BatchCompleteUploadSessionsRequest, context: CallContext
    ) -> pb.BatchCompleteUploadSessionsResponse:
        answers = await self._usecases.batch_complete(
            context.principal,
            _batch_complete_request(request),
            lambda sessions: require_receivable(completed_size(sessions), "items"),
        )
        return pb.BatchCompleteUploadSessionsResponse(
            results=[_batch_result(str(i), answer, self._view, context) for i, answer in answers]
        )

    async def CancelUploadSession(
        self, request: pb.CancelUploadSessionRequest, context: CallContext
    ) -> pb.CancelUploadSessionResponse:
        session = await self._usecases.cancel(
            context.principal, request.tenant_id, request.attachment_id, request.request_id
        )
        return pb.CancelUploadSessionResponse(session=session_message(session))

    async def GetUploadSession(
        self, request: pb.GetUploadSessionRequest, context: CallContext
    ) -> pb.GetUploadSessionResponse:
        session = await self._usecases.get(
            context.principal, request.tenant_id, request.attachment_id
        )
        return pb.GetUploadSessionResponse(session=session_message(session))

    async def ListUploadSessions(
        self, request: pb.ListUploadSessionsRequest, context: CallContext
    ) -> pb.ListUploadSessionsResponse:
        page = await self._usecases.list(_list_request(request))
        return pb.ListUploadSessionsResponse(
            sessions=[session_message(session) for session in page.sessions],
            next_page_token=page.next_page_token,
        )

    async def GetUploadPolicy(
        self, request: pb.GetUploadPolicyRequest, context: CallContext
    ) -> pb.GetUploadPolicyResponse:
        size = request.size_bytes if request.HasField("size_bytes") else None
        found = await self._usecases.get_policy(request.tenant_id, request.purpose, size)
        return pb.GetUploadPolicyResponse(
            policy=policy_message(found.purpose, found.policy),
            usage=usage_message(found.usage, found.limits),
            route=route_message(found.policy, found.route) if found.route else None,
        )


def _list_request(request: pb.ListUploadSessionsRequest) -> ListRequest:
    wanted = request.filter
    since, before = wanted.create_time_from, wanted.create_time_before
    return ListRequest(
        tenant_id=request.tenant_id,
        page_size=request.page_size,
        page_token=request.page_token,
        states=[state_name(number) for number in wanted.states],
        purpose=wanted.purpose,
        create_time_from=to_datetime(since) if wanted.HasField("create_time_from") else None,
        create_time_before=to_datetime(before) if wanted.HasField("create_time_before") else None,
    )


def _start_request(request: pb.StartUploadSessionRequest) -> StartRequest:
    return StartRequest(
        tenant_id=request.tenant_id,
        request_id=request.request_id,
        filename=request.filename,
        content_type=request.content_type,
        size=request.size_bytes if request.HasField("size_bytes") else None,
        checksums=given_checksums(request.checksums),
        content_id=request.content_id,
        disposition=disposition_name(request.disposition),
        is_inline=request.is_inline if request.HasField("is_inline") else None,
        purpose=request.purpose,
        metadata=dict(request.metadata),
        ttl=given_timedelta(request, "ttl"),
        expire_time=to_datetime(request.expire_time) if request.HasField("expire_time") else None,
        object_retention=given_timedelta(request, "object_retention"),
        metadata_retention=given_timedelta(request, "metadata_retention"),
        auto_complete=request.auto_complete,
        validate_only=request.validate_only,
    )


def _completed(
    completed: Completed, view: AttachmentView, principal: Principal
) -> pb.CompleteUploadSessionResponse:
    ready = completed.session.sealed is not None
    return pb.CompleteUploadSessionResponse(
        session=session_message(completed.session),
        attachment=view(completed.session, principal) if ready else None,
        checks=check_messages(completed.checks),
    )


def _batch_result(
    attachment_id: str, answer: Answer, view: AttachmentView, context: CallContext
) -> pb.BatchCompleteUploadSessionsResult:
    if isinstance(answer, Completed):
        return pb.BatchCompleteUploadSessionsResult(
            attachment_id=attachment_id,
            status=status_pb2.Status(),
            response=_completed(answer, view, context.principal),
        )
    log_fault(context, answer, attachment_id=attachment_id)
    status = to_status(answer, context.request_id)
    return pb.BatchCompleteUploadSessionsResult(attachment_id=attachment_id, status=status)


def _complete_request(request: pb.CompleteUploadSessionRequest) -> CompleteRequest:
    return CompleteRequest(
        tenant_id=request.tenant_id,
        attachment_id=request.attachment_id,
        request_id=request.request_id,
        checksums=given_checksums(request.checksums),
        size=request.size_bytes if request.HasField("size_bytes") else None,
        validate_only=request.validate_only,
    )


def _batch_complete_request(
    request: pb.BatchCompleteUploadSessionsRequest,
) -> BatchCompleteRequest:
    return BatchCompleteRequest(
        tenant_id=request.tenant_id,
        request_id=request.request_id,
        items=[_batch_item(item) for item in request.items],
        atomic=request.atomic,
    )


def _batch_item(item: pb.BatchCompleteUploadSessionsRequest.Item) -> BatchItem:
    size = item.size_bytes if item.HasField("size_bytes") else None
    return BatchItem(item.attachment_id, given_checksums(item.checksums), size)
