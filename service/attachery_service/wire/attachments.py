"""AttachmentService: decode, use case, encode."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from google.protobuf import duration_pb2
from google.rpc import status_pb2

from attachery.v1 import attachments_pb2 as pb
from attachery.v1 import attachments_pb2_grpc
from attachery_service.ports import DownloadUrl
from attachery_service.usecases.create_download_url import CreateDownloadUrl
from attachery_service.usecases.get_attachment import GetAttachment
from attachery_service.usecases.resolve_attachments import (
    ResolveAttachments,
    Resolved,
    ResolveRequest,
)
from attachery_service.wire.call import Context, current_call, current_principal
from attachery_service.wire.convert import attachment_message, disposition_name
from attachery_service.wire.receivable import require_receivable
from attachery_service.wire.status import to_status
from attachery_service.wire.times import from_datetime, from_timedelta, to_timedelta


@dataclass(frozen=True, slots=True)
class AttachmentUseCases:
    """What the service's methods run."""

    get: GetAttachment
    resolve: ResolveAttachments
    create_download_url: CreateDownloadUrl


class AttachmentServicer(attachments_pb2_grpc.AttachmentServiceServicer):
    """Each method runs the use case of its name."""

    def __init__(self, usecases: AttachmentUseCases) -> None:
        self._usecases = usecases

    async def GetAttachment(
        self, request: pb.GetAttachmentRequest, context: Context
    ) -> pb.GetAttachmentResponse:
        session = await self._usecases.get(request.tenant_id, request.attachment_id)
        return pb.GetAttachmentResponse(attachment=attachment_message(session))

    async def ResolveAttachments(
        self, request: pb.ResolveAttachmentsRequest, context: Context
    ) -> pb.ResolveAttachmentsResponse:
        results = await self._usecases.resolve(
            current_principal(),
            ResolveRequest(
                tenant_id=request.tenant_id,
                attachment_ids=list(request.attachment_ids),
                include_download_urls=request.include_download_urls,
                download_ttl=_ttl(request.download_ttl, given=request.HasField("download_ttl")),
                all_or_nothing=request.all_or_nothing,
            ),
        )
        request_id = current_call().request_id
        response = pb.ResolveAttachmentsResponse(
            results=[_result(result, request_id) for result in results]
        )
        require_receivable(response.ByteSize(), "attachment_ids")
        return response

    async def CreateDownloadUrl(
        self, request: pb.CreateDownloadUrlRequest, context: Context
    ) -> pb.CreateDownloadUrlResponse:
        session, download = await self._usecases.create_download_url(
            request.tenant_id,
            request.attachment_id,
            _ttl(request.ttl, given=request.HasField("ttl")),
            disposition_name(request.disposition),
        )
        return pb.CreateDownloadUrlResponse(
            url=download.url,
            expire_time=from_datetime(session.read_time + download.lifetime),
            ttl=from_timedelta(download.lifetime),
        )


def _ttl(message: duration_pb2.Duration, *, given: bool) -> timedelta | None:
    return to_timedelta(message) if given else None


def _result(resolved: Resolved, request_id: str) -> pb.ResolveAttachmentResult:
    session, error = resolved.session, resolved.error
    if session is None:
        status = to_status(error, request_id) if error else None
        return pb.ResolveAttachmentResult(attachment_id=resolved.attachment_id, status=status)
    download = resolved.download
    return pb.ResolveAttachmentResult(
        attachment_id=resolved.attachment_id,
        status=status_pb2.Status(),
        attachment=attachment_message(session),
        download=_download(download, session.read_time) if download else None,
    )


def _download(download: DownloadUrl, now: datetime) -> pb.Download:
    return pb.Download(
        url=download.url,
        expire_time=from_datetime(now + download.lifetime),
        ttl=from_timedelta(download.lifetime),
    )
