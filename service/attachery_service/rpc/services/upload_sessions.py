"""UploadSessionService: decode, use case, encode."""

from __future__ import annotations

from dataclasses import dataclass

from google.rpc import status_pb2

from attachery.v1 import upload_sessions_pb2 as pb
from attachery_service.domain.identity import Principal
from attachery_service.domain.sessions import DeletedSession, ReadySession
from attachery_service.rpc.call_log import log_fault
from attachery_service.rpc.context import CallContext
from attachery_service.rpc.messages.attachment_view import AttachmentView
from attachery_service.rpc.messages.convert import (
    check_messages,
    policy_message,
    route_message,
    target_message,
    usage_message,
)
from attachery_service.rpc.messages.next_steps import step_after_complete, step_after_dry_run
from attachery_service.rpc.messages.request_fields import attachment_ref
from attachery_service.rpc.messages.sessions import session_message, start_command
from attachery_service.rpc.messages.upload_commands import (
    batch_command,
    cancel_command,
    complete_command,
    list_command,
    policy_command,
)
from attachery_service.rpc.status import to_status
from attachery_service.usecases.uploads.batch_complete_upload_sessions import (
    BatchCompleteUploadSessions,
)
from attachery_service.usecases.uploads.batch_outcomes import Answer
from attachery_service.usecases.uploads.cancel_upload_session import CancelUploadSession
from attachery_service.usecases.uploads.complete_upload_session import CompleteUploadSession
from attachery_service.usecases.uploads.get_upload_policy import GetUploadPolicy
from attachery_service.usecases.uploads.get_upload_session import GetUploadSession
from attachery_service.usecases.uploads.list_upload_sessions import MAX_TOTAL, ListUploadSessions
from attachery_service.usecases.uploads.start_upload_session import StartUploadSession
from attachery_service.usecases.uploads.upload_verifier import Completed


@dataclass(frozen=True, slots=True)
class UploadSessionUseCases:
    """The use cases of the service's methods."""

    start: StartUploadSession
    complete: CompleteUploadSession
    batch_complete: BatchCompleteUploadSessions
    cancel: CancelUploadSession
    get: GetUploadSession
    list: ListUploadSessions
    get_policy: GetUploadPolicy


class UploadSessionServicer:
    """Runs the use case of each method."""

    def __init__(self, usecases: UploadSessionUseCases, view: AttachmentView) -> None:
        self._usecases = usecases
        self._policies = usecases.get_policy.policies
        self._view = view

    async def StartUploadSession(
        self, request: pb.StartUploadSessionRequest, context: CallContext
    ) -> pb.StartUploadSessionResponse:
        principal = context.principal
        # Before the request is validated by the rules of the purpose.
        principal.require_purpose(request.purpose)
        command = start_command(request, self._policies, principal.subject)
        started = await self._usecases.start(principal, command)
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
        principal = context.principal
        command = complete_command(request, principal.subject)
        completed = await self._usecases.complete(principal, command)
        response = _completed(completed, self._view, principal)
        if request.validate_only:
            response.next_step = step_after_dry_run(completed.session, completed.checks)
        return response

    async def BatchCompleteUploadSessions(
        self, request: pb.BatchCompleteUploadSessionsRequest, context: CallContext
    ) -> pb.BatchCompleteUploadSessionsResponse:
        principal = context.principal
        command = batch_command(request, principal.subject)
        answers = await self._usecases.batch_complete(principal, command)
        return pb.BatchCompleteUploadSessionsResponse(
            results=[_batch_result(str(i), answer, self._view, context) for i, answer in answers]
        )

    async def CancelUploadSession(
        self, request: pb.CancelUploadSessionRequest, context: CallContext
    ) -> pb.CancelUploadSessionResponse:
        principal = context.principal
        command = cancel_command(request, principal.subject)
        session = await self._usecases.cancel(principal, command)
        return pb.CancelUploadSessionResponse(session=session_message(session))

    async def GetUploadSession(
        self, request: pb.GetUploadSessionRequest, context: CallContext
    ) -> pb.GetUploadSessionResponse:
        session = await self._usecases.get(context.principal, attachment_ref(request))
        return pb.GetUploadSessionResponse(session=session_message(session))

    async def ListUploadSessions(
        self, request: pb.ListUploadSessionsRequest, context: CallContext
    ) -> pb.ListUploadSessionsResponse:
        page = await self._usecases.list(list_command(request))
        response = pb.ListUploadSessionsResponse(
            sessions=[session_message(session) for session in page.sessions],
            next_page_token=page.next_page_token,
        )
        if page.counted is not None:
            response.total_count = min(page.counted, MAX_TOTAL)
            response.total_count_is_exact = page.counted <= MAX_TOTAL
        return response

    async def GetUploadPolicy(
        self, request: pb.GetUploadPolicyRequest, context: CallContext
    ) -> pb.GetUploadPolicyResponse:
        found = await self._usecases.get_policy(policy_command(request, self._policies))
        return pb.GetUploadPolicyResponse(
            policy=policy_message(found.purpose, found.policy),
            usage=usage_message(found.usage, found.limits, found.purpose),
            route=route_message(found.policy, found.route) if found.route else None,
            total_size_bytes=found.total_size,
        )


def _completed(
    completed: Completed, view: AttachmentView, principal: Principal
) -> pb.CompleteUploadSessionResponse:
    session, attachment = completed.session, None
    if isinstance(session, ReadySession | DeletedSession):
        attachment = view.message(session, principal)
    return pb.CompleteUploadSessionResponse(
        session=session_message(session),
        attachment=attachment,
        checks=check_messages(completed.checks),
        next_step=step_after_complete(session),
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
    status = to_status(answer, context.request_id, context.docs_url)
    return pb.BatchCompleteUploadSessionsResult(attachment_id=attachment_id, status=status)
