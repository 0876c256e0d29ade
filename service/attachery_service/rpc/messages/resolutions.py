"""The answers of ResolveAttachments: a message encoded, or joined from parts encoded before."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from attachery.v1 import attachments_pb2 as pb
from attachery_service.domain.identity import Principal
from attachery_service.domain.sessions import ReadySession
from attachery_service.domain.transfers import DownloadUrl
from attachery_service.rpc.context import CallContext
from attachery_service.rpc.messages.attachment_view import AttachmentView, sees_storage
from attachery_service.rpc.messages.convert import hold_message
from attachery_service.rpc.messages.protobuf_wire import EncodedResults, field_of
from attachery_service.rpc.messages.times import from_timedelta, write_datetime
from attachery_service.rpc.status import to_status
from attachery_service.usecases.attachments.resolve_attachments import Resolution, Resolved

_Response = pb.ResolveAttachmentsResponse
_Result = pb.ResolveAttachmentResult


class Encode(Protocol):
    """The bytes of an answer to the caller at hand."""

    def __call__(self, resolution: Resolution, context: CallContext) -> bytes: ...


class MessageEncoding:
    """Builds the message, and has the library encode it."""

    def __init__(self, view: AttachmentView) -> None:
        self._view = view

    def __call__(self, resolution: Resolution, context: CallContext) -> bytes:
        response = _Response()
        for resolved in resolution.results:
            message = response.results.add()
            if resolved.session is None:
                _write_error(message, resolved, context.request_id)
                continue
            _write_attachment(message, resolved.session, self._view, context.principal)
            if resolved.download:
                _write_download(message.download, resolved.download, resolved.session.read_time)
        if resolution.hold:
            response.hold.CopyFrom(hold_message(resolution.hold))
        return response.SerializeToString()


class JoinedEncoding:
    """Gives the same bytes, the fields in the order of their numbers, and keeps what is common to
    many answers: apart for callers who see where bytes are, and for those who do not."""

    def __init__(self, view: AttachmentView) -> None:
        self._view = view
        self._plain, self._with_storage = EncodedResults(), EncodedResults()

    def __call__(self, resolution: Resolution, context: CallContext) -> bytes:
        known = self._with_storage if sees_storage(context.principal) else self._plain
        parts = [
            field_of(
                _Response.RESULTS_FIELD_NUMBER,
                _error(resolved, context.request_id)
                if resolved.session is None
                else self._result(resolved.session, resolved.download, known, context.principal),
            )
            for resolved in resolution.results
        ]
        if resolution.hold:
            hold = hold_message(resolution.hold).SerializeToString()
            parts.append(field_of(_Response.HOLD_FIELD_NUMBER, hold))
        return b"".join(parts)

    def _result(
        self,
        session: ReadySession,
        download: DownloadUrl | None,
        known: EncodedResults,
        principal: Principal,
    ) -> bytes:
        result = known.get(session)
        if result is None:
            message = _Result()
            _write_attachment(message, session, self._view, principal)
            result = message.SerializeToString()
            known.put(session, result)
        if download is None:
            return result
        shown = pb.Download()
        _write_download(shown, download, session.read_time)
        return result + field_of(_Result.DOWNLOAD_FIELD_NUMBER, shown.SerializeToString())


def _error(resolved: Resolved, request_id: str) -> bytes:
    message = _Result()
    _write_error(message, resolved, request_id)
    return message.SerializeToString()


def _write_error(message: _Result, resolved: Resolved, request_id: str) -> None:
    message.attachment_id = resolved.attachment_id
    if resolved.error:
        message.status.CopyFrom(to_status(resolved.error, request_id))


def _write_attachment(
    message: _Result, session: ReadySession, view: AttachmentView, principal: Principal
) -> None:
    message.attachment_id = str(session.attachment_id)
    message.status.SetInParent()
    view.write(message.attachment, session, principal)


def _write_download(message: pb.Download, download: DownloadUrl, now: datetime) -> None:
    message.url = download.url
    write_datetime(message.expire_time, now + download.lifetime)
    message.ttl.CopyFrom(from_timedelta(download.lifetime))
