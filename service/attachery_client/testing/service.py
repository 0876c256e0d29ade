"""Both services on a dictionary."""
# ruff: noqa: N802 - the contract names the methods

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO
from uuid import uuid4

from google.protobuf.any_pb2 import Any as Packed
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from attachery.v1 import attachments_pb2 as attachments
from attachery.v1 import resources_pb2 as resources
from attachery.v1 import upload_sessions_pb2 as sessions
from attachery_client import errors
from attachery_client.fields import duration
from attachery_client.status import DOMAIN
from attachery_client.testing.upload import TTL, Upload, check_size, new_session
from attachery_client.transfer import Body

_SCHEME = "in-memory:"


class InMemoryService:
    """Answers request messages as the service would, and carries bytes as storage would."""

    def __init__(self) -> None:
        self.uploads: dict[str, Upload] = {}
        self._outcomes: dict[tuple[str, str, str], tuple[bytes, Any]] = {}

    def StartUploadSession(self, request: Any) -> sessions.StartUploadSessionResponse:
        check_size(request)
        if request.validate_only:
            return sessions.StartUploadSessionResponse(session=new_session(request, ""))
        upload = self._once(request, lambda: self._start(request))
        target = _target(upload.session) if upload.state == "PENDING" else None
        return sessions.StartUploadSessionResponse(session=upload.session, target=target)

    def CompleteUploadSession(self, request: Any) -> sessions.CompleteUploadSessionResponse:
        upload = self._find(request)
        if request.validate_only:
            upload.require("PENDING")
            return sessions.CompleteUploadSessionResponse(session=upload.session)
        self._once(request, lambda: upload.complete(request))
        attachment = upload.attachment()
        return sessions.CompleteUploadSessionResponse(session=upload.session, attachment=attachment)

    def CancelUploadSession(self, request: Any) -> sessions.CancelUploadSessionResponse:
        upload = self._find(request)
        self._once(request, upload.cancel)
        return sessions.CancelUploadSessionResponse(session=upload.session)

    def GetUploadSession(self, request: Any) -> sessions.GetUploadSessionResponse:
        return sessions.GetUploadSessionResponse(session=self._find(request).session)

    def GetAttachment(self, request: Any) -> attachments.GetAttachmentResponse:
        return attachments.GetAttachmentResponse(attachment=self._find(request).attachment())

    def ResolveAttachments(self, request: Any) -> attachments.ResolveAttachmentsResponse:
        if not request.attachment_ids:
            raise errors.InvalidRequest(reason="INVALID_ATTACHMENT_IDS")
        results = [self._resolve(request, wanted) for wanted in request.attachment_ids]
        if request.all_or_nothing and any(result.status.code for result in results):
            results = [_aborted(result) for result in results]
        return attachments.ResolveAttachmentsResponse(results=results)

    def CreateDownloadUrl(self, request: Any) -> attachments.CreateDownloadUrlResponse:
        download = _download(self._find(request).attachment())
        return attachments.CreateDownloadUrlResponse(
            url=download.url, expire_time=download.expire_time, ttl=download.ttl
        )

    async def send(self, target: resources.UploadTarget, body: Body) -> None:
        with body.open() as file:
            self.uploads[target.url.removeprefix(_SCHEME)].data = file.read()

    async def fetch(self, url: str, sink: BinaryIO) -> None:
        sink.write(self.uploads[url.removeprefix(_SCHEME)].data or b"")

    async def close(self) -> None:
        pass

    def _start(self, request: Any) -> Upload:
        session = new_session(request, str(uuid4()))
        self.uploads[session.attachment_id] = Upload(session)
        return self.uploads[session.attachment_id]

    def _find(self, request: Any) -> Upload:
        upload = self.uploads.get(request.attachment_id)
        if upload is None or upload.session.tenant_id != request.tenant_id:
            raise errors.AttachmentNotFound(facts={"attachmentId": request.attachment_id})
        return upload

    def _resolve(self, request: Any, attachment_id: str) -> attachments.ResolveAttachmentResult:
        wanted = {"tenant_id": request.tenant_id, "attachment_id": attachment_id}
        result = attachments.ResolveAttachmentResult(attachment_id=attachment_id)
        try:
            found = self._find(attachments.GetAttachmentRequest(**wanted)).attachment()
        except errors.AttacheryError as error:
            result.status.CopyFrom(_status(error))
            return result
        result.attachment.CopyFrom(found)
        if request.include_download_urls:
            result.download.CopyFrom(_download(found))
        return result

    def _once(self, request: Any, act: Callable[[], Any]) -> Any:
        """What the same request came to before; successes and failed verifications are kept."""
        key = (type(request).__name__, request.tenant_id, request.request_id)
        payload = request.SerializeToString(deterministic=True)
        if key not in self._outcomes:
            try:
                self._outcomes[key] = payload, act()
            except errors.VerificationFailed as error:
                self._outcomes[key] = payload, error
        before, outcome = self._outcomes[key]
        if before != payload:
            raise errors.RequestIdReused
        if isinstance(outcome, errors.AttacheryError):
            raise outcome
        return outcome


def _target(session: resources.UploadSession) -> resources.UploadTarget:
    return resources.UploadTarget(
        method="PUT" if session.HasField("declared_size_bytes") else "POST",
        url=_SCHEME + session.attachment_id,
        expire_time=session.expire_time,
        ttl=duration(TTL),
    )


def _download(attachment: resources.Attachment) -> attachments.Download:
    return attachments.Download(
        url=_SCHEME + attachment.attachment_id,
        expire_time=attachment.object_purge_time,
        ttl=duration(TTL),
    )


def _status(error: errors.AttacheryError) -> Status:
    packed = Packed()
    packed.Pack(ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.facts))
    return Status(code=error.code.value[0], message=error.message, details=[packed])


def _aborted(result: attachments.ResolveAttachmentResult) -> attachments.ResolveAttachmentResult:
    status = result.status if result.status.code else _status(errors.BatchAborted())
    return attachments.ResolveAttachmentResult(attachment_id=result.attachment_id, status=status)
