"""The RPCs of UploadSessionService."""
# ruff: noqa: ASYNC109 - gRPC callers expect a deadline per call

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from attachery.v1 import upload_sessions_pb2 as sessions
from attachery_client import fields
from attachery_client.calls.base import CallsBase
from attachery_client.fields import BatchItem, DispositionName, StateName, new_request_id


class UploadSessionCalls(CallsBase):
    """Start, Complete, Cancel and reads of upload sessions."""

    async def start_upload_session(
        self,
        *,
        tenant_id: str = "",
        filename: str,
        content_type: str,
        size_bytes: int | None = None,
        checksums: Mapping[str, str] | None = None,
        content_id: str = "",
        disposition: DispositionName | None = None,
        is_inline: bool | None = None,
        purpose: str = "",
        metadata: Mapping[str, str] | None = None,
        ttl: timedelta | None = None,
        expire_time: datetime | None = None,
        object_retention: timedelta | None = None,
        metadata_retention: timedelta | None = None,
        auto_complete: bool = False,
        validate_only: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> sessions.StartUploadSessionResponse:
        """Starts a session: `.session.attachment_id`, and `.target` for the upload of its bytes.

        With `size_bytes` the target is a PUT of exactly that size; without it, a POST form for 1
        byte up to the maximum. `checksums` are hexadecimal by algorithm: `{"sha256": "9f86…"}`;
        also md5, crc32c, crc64nvme. `ttl` is 60 s to 24 h (default 1 h), or give `expire_time`.
        `disposition` None: inline with a `content_id`, else attachment; `is_inline` None: as the
        disposition says. `object_retention` and `metadata_retention` are the lifetimes of the bytes
        and of the row from now, within the policy's limits; None: the policy's. With
        `auto_complete` the service completes the session unless the caller does.

        Raises InvalidRequest, RequestIdReused, PermissionDenied, PendingSessionsLimit,
        StorageQuotaExceeded and the errors of every call.
        """
        request = sessions.StartUploadSessionRequest(
            tenant_id=tenant_id,
            filename=filename,
            content_type=content_type,
            size_bytes=size_bytes,
            checksums=fields.checksums(checksums),
            content_id=content_id,
            disposition=fields.disposition(disposition),
            is_inline=is_inline,
            purpose=purpose,
            metadata=metadata,
            ttl=fields.duration(ttl),
            expire_time=fields.timestamp(expire_time),
            object_retention=fields.duration(object_retention),
            metadata_retention=fields.duration(metadata_retention),
            auto_complete=auto_complete,
            validate_only=validate_only,
            request_id=request_id or new_request_id(),
        )
        call = self._connection.stubs.uploads.StartUploadSession
        return await self._connection.call(call, request, timeout)

    async def complete_upload_session(
        self,
        attachment_id: str,
        *,
        tenant_id: str = "",
        checksums: Mapping[str, str] | None = None,
        size_bytes: int | None = None,
        validate_only: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> sessions.CompleteUploadSessionResponse:
        """Verifies and seals the uploaded object: `.attachment`, `.session`, `.checks`.

        `.next_step` is a sentence for people that names the next call.

        `checksums` and `size_bytes` are required in addition to those declared at the start. The
        service may have to read all bytes, so the default deadline is `complete_timeout`.

        Raises ObjectNotUploaded, ObjectChanging (still PENDING, call again), VerificationFailed
        (the session is FAILED), UploadAlreadyCompleted, UploadFailed, UploadCancelled,
        UploadExpired, AttachmentNotFound and the errors of every call.
        """
        request = sessions.CompleteUploadSessionRequest(
            tenant_id=tenant_id,
            attachment_id=attachment_id,
            checksums=fields.checksums(checksums),
            size_bytes=size_bytes,
            validate_only=validate_only,
            request_id=request_id or new_request_id(),
        )
        call = self._connection.stubs.uploads.CompleteUploadSession
        limit = self._complete_timeout if timeout is None else timeout
        return await self._connection.call(call, request, limit)

    async def batch_complete_upload_sessions(
        self,
        items: Sequence[str | BatchItem],
        *,
        tenant_id: str = "",
        atomic: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> sessions.BatchCompleteUploadSessionsResponse:
        """Completes 1..100 sessions: `.results`, one per item in their order.

        Each `.response` is that of `complete_upload_session`. An item is an id, or a BatchItem with
        further requirements. A failed item does not fail the call: `from_status(result.status)` is
        its error or None. `atomic`: if one item fails, no other becomes READY. The default deadline
        is `complete_timeout`.

        Raises InvalidRequest, also for a duplicate id, RequestIdReused and the errors of every
        call.
        """
        request = sessions.BatchCompleteUploadSessionsRequest(
            tenant_id=tenant_id,
            items=[fields.batch_item(item) for item in items],
            atomic=atomic,
            request_id=request_id or new_request_id(),
        )
        call = self._connection.stubs.uploads.BatchCompleteUploadSessions
        limit = self._complete_timeout if timeout is None else timeout
        return await self._connection.call(call, request, limit)

    async def cancel_upload_session(
        self,
        attachment_id: str,
        *,
        tenant_id: str = "",
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> sessions.CancelUploadSessionResponse:
        """Cancels a PENDING session: `.session`.

        Its target can still write until the session's `upload_url_expire_time`.

        Raises UploadAlreadyCompleted, UploadFailed, UploadExpired, AttachmentNotFound and the
        errors of every call.
        """
        request = sessions.CancelUploadSessionRequest(
            tenant_id=tenant_id,
            attachment_id=attachment_id,
            request_id=request_id or new_request_id(),
        )
        call = self._connection.stubs.uploads.CancelUploadSession
        return await self._connection.call(call, request, timeout)

    async def get_upload_session(
        self, attachment_id: str, *, tenant_id: str = "", timeout: float | None = None
    ) -> sessions.GetUploadSessionResponse:
        """Returns a session in any state: `.session`. Raises AttachmentNotFound."""
        request = sessions.GetUploadSessionRequest(tenant_id=tenant_id, attachment_id=attachment_id)
        call = self._connection.stubs.uploads.GetUploadSession
        return await self._connection.call(call, request, timeout)

    async def list_upload_sessions(
        self,
        *,
        tenant_id: str = "",
        states: Collection[StateName] = (),
        purpose: str = "",
        create_time_from: datetime | None = None,
        create_time_before: datetime | None = None,
        page_size: int = 0,
        page_token: str = "",
        include_total: bool = False,
        timeout: float | None = None,
    ) -> sessions.ListUploadSessionsResponse:
        """Lists sessions, the newest first: `.sessions`.

        The cursor `.next_page_token` fetches the next page with the same arguments and is empty at
        the end. `page_size` is at most 1,000, 50 if 0. An omitted filter does not restrict. With
        `include_total`, `.total_count` is the number of sessions on all pages, at most 10,000:
        `.total_count_is_exact` is False if there are more.

        Raises InvalidRequest, also for a token of another listing.
        """
        request = sessions.ListUploadSessionsRequest(
            tenant_id=tenant_id,
            page_size=page_size,
            page_token=page_token,
            include_total=include_total,
            filter=sessions.ListUploadSessionsRequest.Filter(
                states=[fields.state(name) for name in states],
                purpose=purpose,
                create_time_from=fields.timestamp(create_time_from),
                create_time_before=fields.timestamp(create_time_before),
            ),
        )
        call = self._connection.stubs.uploads.ListUploadSessions
        return await self._connection.call(call, request, timeout)

    async def get_upload_policy(
        self,
        *,
        tenant_id: str = "",
        purpose: str = "",
        size: int | None = None,
        sizes_bytes: Sequence[int] = (),
        base64: bool = False,
        timeout: float | None = None,
    ) -> sessions.GetUploadPolicyResponse:
        """Returns the limits of a tenant and purpose: `.policy`, and the tenant's quotas: `.usage`.

        The usage is the sum over all purposes. For a message with a file of `size` bytes, or with
        files of `sizes_bytes`, `.route` is the recommended route, if the policy has one, and
        `.total_size_bytes` the size of all files. `base64`: the message contains them as Base64.

        Raises InvalidRequest, also for an unknown purpose.
        """
        request = sessions.GetUploadPolicyRequest(
            tenant_id=tenant_id,
            purpose=purpose,
            size_bytes=size,
            sizes_bytes=sizes_bytes,
            base64=base64,
        )
        call = self._connection.stubs.uploads.GetUploadPolicy
        return await self._connection.call(call, request, timeout)
