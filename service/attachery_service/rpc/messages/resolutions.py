"""Encodes the responses of ResolveAttachments, as one message or joined from cached results.

Gain of joining: 0.8 µs of CPU per result instead of 8 to build and encode it (CPython 3.11,
protobuf 7.36). ATTACHERY_RESOLVE_REUSE switches it off; tests compare both encodings.
"""

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
from attachery_service.rpc.messages.protobuf_wire import length_delimited
from attachery_service.rpc.messages.times import from_timedelta, write_datetime
from attachery_service.rpc.status import to_status
from attachery_service.usecases.attachments.resolve_attachments import Resolution, Resolved

_Response = pb.ResolveAttachmentsResponse
_Result = pb.ResolveAttachmentResult


class Encode(Protocol):
    """Encodes the response to the current caller."""

    def __call__(self, resolution: Resolution, context: CallContext) -> bytes: ...


class MessageEncoding:
    """Builds the message and encodes it with the library."""

    def __init__(self, view: AttachmentView) -> None:
        self._view = view

    def __call__(self, resolution: Resolution, context: CallContext) -> bytes:
        response = _Response()
        for resolved in resolution.results:
            message = response.results.add()
            if resolved.session is None:
                _write_error(message, resolved, context)
                continue
            _write_attachment(message, resolved.session, self._view, context.principal)
            if resolved.download:
                _write_download(message.download, resolved.download, resolved.session.read_time)
        if resolution.hold:
            response.hold.CopyFrom(hold_message(resolution.hold))
        return response.SerializeToString()


class ResultCache(Protocol):
    """Encoded results of sessions, separate for callers that see where bytes are stored."""

    def get_result(self, session: ReadySession, *, shows_storage: bool) -> bytes | None: ...

    def put_result(self, session: ReadySession, result: bytes, *, shows_storage: bool) -> None: ...


class JoinedEncoding:
    """Joins cached results into the same response, with its fields in their numbers' order."""

    def __init__(self, view: AttachmentView, cache: ResultCache) -> None:
        self._view = view
        self._cache = cache

    def __call__(self, resolution: Resolution, context: CallContext) -> bytes:
        shows_storage = sees_storage(context.principal)
        parts = [
            length_delimited(
                _Response.RESULTS_FIELD_NUMBER,
                _error(resolved, context)
                if resolved.session is None
                else self._attachment(
                    resolved.session, context.principal, shows_storage=shows_storage
                )
                + _download(resolved.session, resolved.download),
            )
            for resolved in resolution.results
        ]
        if resolution.hold:
            hold = hold_message(resolution.hold).SerializeToString()
            parts.append(length_delimited(_Response.HOLD_FIELD_NUMBER, hold))
        return b"".join(parts)

    def _attachment(
        self, session: ReadySession, principal: Principal, *, shows_storage: bool
    ) -> bytes:
        result = self._cache.get_result(session, shows_storage=shows_storage)
        if result is None:
            message = _Result()
            _write_attachment(message, session, self._view, principal)
            result = message.SerializeToString()
            self._cache.put_result(session, result, shows_storage=shows_storage)
        return result


def _download(session: ReadySession, download: DownloadUrl | None) -> bytes:
    if download is None:
        return b""
    message = pb.Download()
    _write_download(message, download, session.read_time)
    return length_delimited(_Result.DOWNLOAD_FIELD_NUMBER, message.SerializeToString())


def _error(resolved: Resolved, context: CallContext) -> bytes:
    message = _Result()
    _write_error(message, resolved, context)
    return message.SerializeToString()


def _write_error(message: _Result, resolved: Resolved, context: CallContext) -> None:
    message.attachment_id = resolved.attachment_id
    if resolved.error:
        status = to_status(resolved.error, context.request_id, context.docs_url)
        message.status.CopyFrom(status)


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
