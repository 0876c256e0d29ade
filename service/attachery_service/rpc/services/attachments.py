"""AttachmentService: decode, use case, encode."""

from __future__ import annotations

from dataclasses import dataclass

from attachery.v1 import attachments_pb2 as pb
from attachery_service.rpc.context import CallContext
from attachery_service.rpc.messages.attachment_view import AttachmentView
from attachery_service.rpc.messages.convert import disposition_name, hold_message
from attachery_service.rpc.messages.resolutions import Encode
from attachery_service.rpc.messages.response_size import require_receivable
from attachery_service.rpc.messages.times import from_datetime, from_timedelta, given_timedelta
from attachery_service.usecases.attachments.create_download_url import CreateDownloadUrl
from attachery_service.usecases.attachments.delete_attachment import DeleteAttachment, DeleteRequest
from attachery_service.usecases.attachments.get_attachment import GetAttachment
from attachery_service.usecases.attachments.resolve_attachments import (
    ResolveAttachments,
    ResolveRequest,
)
from attachery_service.usecases.holds.extend_hold import ExtendHold
from attachery_service.usecases.holds.release_hold import ReleaseHold


@dataclass(frozen=True, slots=True)
class AttachmentUseCases:
    """What the service's methods run."""

    get: GetAttachment
    resolve: ResolveAttachments
    create_download_url: CreateDownloadUrl
    delete: DeleteAttachment
    extend_hold: ExtendHold
    release_hold: ReleaseHold


class AttachmentServicer:
    """Each method runs the use case of its name."""

    def __init__(self, usecases: AttachmentUseCases, view: AttachmentView, encode: Encode) -> None:
        self._usecases = usecases
        self._view = view
        self._encode = encode

    async def GetAttachment(
        self, request: pb.GetAttachmentRequest, context: CallContext
    ) -> pb.GetAttachmentResponse:
        session = await self._usecases.get(request.tenant_id, request.attachment_id)
        return pb.GetAttachmentResponse(attachment=self._view(session, context.principal))

    async def ResolveAttachments(
        self, request: pb.ResolveAttachmentsRequest, context: CallContext
    ) -> bytes:
        resolution = await self._usecases.resolve(
            context.principal,
            ResolveRequest(
                tenant_id=request.tenant_id,
                attachment_ids=list(request.attachment_ids),
                include_download_urls=request.include_download_urls,
                download_ttl=given_timedelta(request, "download_ttl"),
                all_or_nothing=request.all_or_nothing,
                hold_ttl=given_timedelta(request, "hold_ttl"),
                hold_owner=request.hold_owner,
            ),
        )
        answer = self._encode(resolution, context)
        require_receivable(len(answer), "attachment_ids")
        return answer

    async def CreateDownloadUrl(
        self, request: pb.CreateDownloadUrlRequest, context: CallContext
    ) -> pb.CreateDownloadUrlResponse:
        session, download = await self._usecases.create_download_url(
            request.tenant_id,
            request.attachment_id,
            given_timedelta(request, "ttl"),
            disposition_name(request.disposition),
        )
        return pb.CreateDownloadUrlResponse(
            url=download.url,
            expire_time=from_datetime(session.read_time + download.lifetime),
            ttl=from_timedelta(download.lifetime),
        )

    async def ExtendHold(
        self, request: pb.ExtendHoldRequest, context: CallContext
    ) -> pb.ExtendHoldResponse:
        hold = await self._usecases.extend_hold(
            request.tenant_id, request.hold_id, given_timedelta(request, "ttl")
        )
        return pb.ExtendHoldResponse(hold=hold_message(hold))

    async def ReleaseHold(
        self, request: pb.ReleaseHoldRequest, context: CallContext
    ) -> pb.ReleaseHoldResponse:
        hold = await self._usecases.release_hold(
            context.principal, request.tenant_id, request.hold_id, consumed=request.consumed
        )
        return pb.ReleaseHoldResponse(hold=hold_message(hold))

    async def DeleteAttachment(
        self, request: pb.DeleteAttachmentRequest, context: CallContext
    ) -> pb.DeleteAttachmentResponse:
        session = await self._usecases.delete(
            context.principal,
            DeleteRequest(
                tenant_id=request.tenant_id,
                attachment_id=request.attachment_id,
                request_id=request.request_id,
                force=request.force,
            ),
        )
        return pb.DeleteAttachmentResponse(attachment=self._view(session, context.principal))
