"""AttachmentService: decode, use case, encode."""

from __future__ import annotations

from dataclasses import dataclass

from attachery.v1 import attachments_pb2 as pb
from attachery_service.domain.identity import Scope
from attachery_service.rpc.context import CallContext
from attachery_service.rpc.messages.attachment_commands import (
    delete_command,
    download_command,
    resolve_command,
)
from attachery_service.rpc.messages.attachment_view import AttachmentView
from attachery_service.rpc.messages.convert import hold_message
from attachery_service.rpc.messages.hold_commands import (
    extension,
    get_hold_command,
    hold_ref,
    list_holds_command,
)
from attachery_service.rpc.messages.request_fields import attachment_ref
from attachery_service.rpc.messages.resolutions import Encode
from attachery_service.rpc.messages.response_size import check_response_size
from attachery_service.rpc.messages.times import from_datetime, from_timedelta
from attachery_service.rpc.messages.update_command import update_command
from attachery_service.usecases.attachments.create_download_url import CreateDownloadUrl
from attachery_service.usecases.attachments.delete_attachment import DeleteAttachment
from attachery_service.usecases.attachments.get_attachment import GetAttachment
from attachery_service.usecases.attachments.resolve_attachments import ResolveAttachments
from attachery_service.usecases.attachments.update_attachment import UpdateAttachment
from attachery_service.usecases.holds.extend_hold import ExtendHold
from attachery_service.usecases.holds.get_hold import GetHold
from attachery_service.usecases.holds.list_holds import ListHolds
from attachery_service.usecases.holds.release_hold import ReleaseHold


@dataclass(frozen=True, slots=True)
class AttachmentUseCases:
    """The use cases of the service's methods."""

    get: GetAttachment
    resolve: ResolveAttachments
    create_download_url: CreateDownloadUrl
    update: UpdateAttachment
    delete: DeleteAttachment
    get_hold: GetHold
    list_holds: ListHolds
    extend_hold: ExtendHold
    release_hold: ReleaseHold


class AttachmentServicer:
    """Runs the use case of each method."""

    def __init__(self, usecases: AttachmentUseCases, view: AttachmentView, encode: Encode) -> None:
        self._usecases = usecases
        self._view = view
        self._encode = encode

    async def GetAttachment(
        self, request: pb.GetAttachmentRequest, context: CallContext
    ) -> pb.GetAttachmentResponse:
        session = await self._usecases.get(context.principal, attachment_ref(request))
        return pb.GetAttachmentResponse(attachment=self._view.message(session, context.principal))

    async def ResolveAttachments(
        self, request: pb.ResolveAttachmentsRequest, context: CallContext
    ) -> bytes:
        if request.include_download_urls:  # authorized before the request is validated
            context.principal.require_scope(Scope.ATTACHMENTS_READ)
        resolution = await self._usecases.resolve(context.principal, resolve_command(request))
        answer = self._encode(resolution, context)
        check_response_size(len(answer), "attachment_ids")
        return answer

    async def CreateDownloadUrl(
        self, request: pb.CreateDownloadUrlRequest, context: CallContext
    ) -> pb.CreateDownloadUrlResponse:
        session, download = await self._usecases.create_download_url(
            context.principal, download_command(request)
        )
        return pb.CreateDownloadUrlResponse(
            url=download.url,
            expire_time=from_datetime(session.read_time + download.lifetime),
            ttl=from_timedelta(download.lifetime),
        )

    async def GetHold(self, request: pb.GetHoldRequest, context: CallContext) -> pb.GetHoldResponse:
        page = await self._usecases.get_hold(get_hold_command(request, context.principal))
        return pb.GetHoldResponse(
            hold=hold_message(page.hold),
            attachment_ids=map(str, page.attachment_ids),
            next_page_token=page.next_page_token,
        )

    async def ListHolds(
        self, request: pb.ListHoldsRequest, context: CallContext
    ) -> pb.ListHoldsResponse:
        page = await self._usecases.list_holds(list_holds_command(request))
        return pb.ListHoldsResponse(
            holds=map(hold_message, page.holds), next_page_token=page.next_page_token
        )

    async def ExtendHold(
        self, request: pb.ExtendHoldRequest, context: CallContext
    ) -> pb.ExtendHoldResponse:
        hold = await self._usecases.extend_hold(*extension(request, context.principal))
        return pb.ExtendHoldResponse(hold=hold_message(hold))

    async def ReleaseHold(
        self, request: pb.ReleaseHoldRequest, context: CallContext
    ) -> pb.ReleaseHoldResponse:
        hold = await self._usecases.release_hold(
            context.principal, hold_ref(request, context.principal), consumed=request.consumed
        )
        return pb.ReleaseHoldResponse(hold=hold_message(hold))

    async def UpdateAttachment(
        self, request: pb.UpdateAttachmentRequest, context: CallContext
    ) -> pb.UpdateAttachmentResponse:
        session = await self._usecases.update(context.principal, update_command(request))
        return pb.UpdateAttachmentResponse(
            attachment=self._view.message(session, context.principal)
        )

    async def DeleteAttachment(
        self, request: pb.DeleteAttachmentRequest, context: CallContext
    ) -> pb.DeleteAttachmentResponse:
        session = await self._usecases.delete(context.principal, delete_command(request))
        return pb.DeleteAttachmentResponse(
            attachment=self._view.message(session, context.principal)
        )
