"""UploadSessionService: decode, use case, encode."""

from __future__ import annotations

from dataclasses import dataclass

from attachery.v1 import upload_sessions_pb2 as pb
from attachery.v1 import upload_sessions_pb2_grpc
from attachery_service.usecases.cancel_upload_session import CancelUploadSession
from attachery_service.usecases.complete_upload_session import (
    CompleteRequest,
    CompleteUploadSession,
)
from attachery_service.usecases.get_upload_session import GetUploadSession
from attachery_service.usecases.start_upload_session import StartRequest, StartUploadSession
from attachery_service.wire.call import Context, current_principal
from attachery_service.wire.convert import (
    attachment_message,
    check_messages,
    disposition_name,
    given_checksums,
    session_message,
    target_message,
)
from attachery_service.wire.times import to_datetime, to_timedelta


@dataclass(frozen=True, slots=True)
class UploadSessionUseCases:
    """What the service's methods run."""

    start: StartUploadSession
    complete: CompleteUploadSession
    cancel: CancelUploadSession
    get: GetUploadSession


class UploadSessionServicer(upload_sessions_pb2_grpc.UploadSessionServiceServicer):
    """Each method runs the use case of its name."""

    def __init__(self, usecases: UploadSessionUseCases) -> None:
        self._usecases = usecases

    async def StartUploadSession(
        self, request: pb.StartUploadSessionRequest, context: Context
    ) -> pb.StartUploadSessionResponse:
        started = await self._usecases.start(current_principal(), _start_request(request))
        session, target = session_message(started.session), started.target
        if request.validate_only:
            session.ClearField("attachment_id")
        return pb.StartUploadSessionResponse(
            session=session,
            target=target_message(started.session, target) if target else None,
        )

    async def CompleteUploadSession(
        self, request: pb.CompleteUploadSessionRequest, context: Context
    ) -> pb.CompleteUploadSessionResponse:
        completed = await self._usecases.complete(current_principal(), _complete_request(request))
        ready = completed.session.sealed is not None
        return pb.CompleteUploadSessionResponse(
            session=session_message(completed.session),
            attachment=attachment_message(completed.session) if ready else None,
            checks=check_messages(completed.checks),
        )

    async def CancelUploadSession(
        self, request: pb.CancelUploadSessionRequest, context: Context
    ) -> pb.CancelUploadSessionResponse:
        session = await self._usecases.cancel(
            current_principal(), request.tenant_id, request.attachment_id, request.request_id
        )
        return pb.CancelUploadSessionResponse(session=session_message(session))

    async def GetUploadSession(
        self, request: pb.GetUploadSessionRequest, context: Context
    ) -> pb.GetUploadSessionResponse:
        session = await self._usecases.get(request.tenant_id, request.attachment_id)
        return pb.GetUploadSessionResponse(session=session_message(session))


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
        purpose=request.purpose,
        metadata=dict(request.metadata),
        ttl=to_timedelta(request.ttl) if request.HasField("ttl") else None,
        expire_time=to_datetime(request.expire_time) if request.HasField("expire_time") else None,
        validate_only=request.validate_only,
    )


def _complete_request(request: pb.CompleteUploadSessionRequest) -> CompleteRequest:
    return CompleteRequest(
        tenant_id=request.tenant_id,
        attachment_id=request.attachment_id,
        request_id=request.request_id,
        checksums=given_checksums(request.checksums),
        size=request.size_bytes if request.HasField("size_bytes") else None,
        validate_only=request.validate_only,
    )
