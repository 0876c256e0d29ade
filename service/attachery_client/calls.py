"""The RPCs of Attachery as methods: one for each, named like it."""
# ruff: noqa: ASYNC109 - a deadline per call is what gRPC callers expect

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from attachery.v1 import admin_pb2 as admin
from attachery.v1 import attachments_pb2 as attachments
from attachery.v1 import upload_sessions_pb2 as sessions
from attachery_client import fields
from attachery_client.connection import Connection
from attachery_client.fields import BatchItem, DispositionName, StateName, new_request_id


class Calls:
    """The plain RPCs. Every method

    - returns the response message of its RPC, documented in `attachery.v1` (typed stubs), so that
      fields of newer services are there as soon as the stubs are;
    - raises nothing of gRPC but an AttacheryError (attachery_client.errors) for every failure, and
      ValueError for arguments no message can hold;
    - takes a `timeout` in seconds, over all attempts; None is the client's default;
    - sends, if it changes something, a `request_id`: yours, or a new one. Repeating a call with the
      same id and arguments within 24 hours has the same outcome and happens once.
    """

    def __init__(self, connection: Connection, complete_timeout: float) -> None:
        self._connection = connection
        self._complete_timeout = complete_timeout

    async def start_upload_session(
        self,
        *,
        tenant_id: str,
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
        """Opens a session: `.session.attachment_id`, and in `.target` where its bytes go.

        With `size_bytes` the target is a PUT of exactly that size, without a POST form for 1 byte
        up to the maximum. `checksums` are hexadecimal by algorithm: `{"sha256": "9f86…"}`; also
        md5, crc32c, crc64nvme. `ttl` is 60 s to 24 h (default 1 h), or give `expire_time`.
        `disposition` None: inline with a `content_id`, else attachment; `is_inline` None: as the
        disposition says. `object_retention` is how long the bytes are kept and `metadata_retention`
        how long the row is, from now; within the policy's limits, the policy's if None. With
        `auto_complete` the service completes the session if nobody else does.

        Raises InvalidRequest, RequestIdReused, PermissionDenied, PendingSessionsLimit,
        StorageQuotaExceeded and what every call raises.
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
        tenant_id: str,
        checksums: Mapping[str, str] | None = None,
        size_bytes: int | None = None,
        validate_only: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> sessions.CompleteUploadSessionResponse:
        """Verifies and seals what arrived: `.attachment`, `.session`, `.checks`.

        `checksums` and `size_bytes` are required in addition to those declared at the start. The
        service may have to read all bytes, so the default deadline is `complete_timeout`.

        Raises ObjectNotUploaded, ObjectChanging (still PENDING, call again), VerificationFailed
        (the session is FAILED), UploadAlreadyCompleted, UploadFailed, UploadCancelled,
        UploadExpired, AttachmentNotFound and what every call raises.
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
        tenant_id: str,
        atomic: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> sessions.BatchCompleteUploadSessionsResponse:
        """Completes 1..100 sessions: `.results`, one per item in their order, each with what
        `complete_upload_session` would answer in `.response`.

        An item is an id, or a BatchItem with what its bytes must be. One that fails does not fail
        the call: `from_status(result.status)` is its error or None. `atomic`: if one fails, no
        other becomes READY. The default deadline is `complete_timeout`.

        Raises InvalidRequest, also for an id that stands twice, RequestIdReused and what every
        call raises.
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
        tenant_id: str,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> sessions.CancelUploadSessionResponse:
        """Gives a PENDING session up: `.session`; its `upload_url_expire_time` says until when the
        target can still write.

        Raises UploadAlreadyCompleted, UploadFailed, UploadExpired, AttachmentNotFound and what
        every call raises.
        """
        request = sessions.CancelUploadSessionRequest(
            tenant_id=tenant_id,
            attachment_id=attachment_id,
            request_id=request_id or new_request_id(),
        )
        call = self._connection.stubs.uploads.CancelUploadSession
        return await self._connection.call(call, request, timeout)

    async def get_upload_session(
        self, attachment_id: str, *, tenant_id: str, timeout: float | None = None
    ) -> sessions.GetUploadSessionResponse:
        """Shows a session in any state: `.session`. Raises AttachmentNotFound."""
        request = sessions.GetUploadSessionRequest(tenant_id=tenant_id, attachment_id=attachment_id)
        call = self._connection.stubs.uploads.GetUploadSession
        return await self._connection.call(call, request, timeout)

    async def list_upload_sessions(
        self,
        *,
        tenant_id: str,
        states: Collection[StateName] = (),
        purpose: str = "",
        create_time_from: datetime | None = None,
        create_time_before: datetime | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> sessions.ListUploadSessionsResponse:
        """A page of sessions, the newest first: `.sessions`, and in `.next_page_token` what asks
        for the page after it with the same arguments, empty at the end.

        `page_size` is at most 1,000, 50 if 0. What is not given does not restrict. Raises
        InvalidRequest, also for a token of another listing.
        """
        request = sessions.ListUploadSessionsRequest(
            tenant_id=tenant_id,
            page_size=page_size,
            page_token=page_token,
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
        tenant_id: str,
        purpose: str = "",
        size: int | None = None,
        timeout: float | None = None,
    ) -> sessions.GetUploadPolicyResponse:
        """The limits that hold for a tenant and purpose: `.policy`, and in `.usage` its quotas and
        what is used of them, all purposes together. For a file of `size` bytes, `.route` says which
        way it should go, and is absent if there is none.

        Raises InvalidRequest, also for a purpose there is not.
        """
        request = sessions.GetUploadPolicyRequest(
            tenant_id=tenant_id, purpose=purpose, size_bytes=size
        )
        call = self._connection.stubs.uploads.GetUploadPolicy
        return await self._connection.call(call, request, timeout)

    async def get_attachment(
        self, attachment_id: str, *, tenant_id: str, timeout: float | None = None
    ) -> attachments.GetAttachmentResponse:
        """Shows an attachment: `.attachment`. Raises UploadNotReady and its kin, and
        AttachmentNotFound."""
        request = attachments.GetAttachmentRequest(tenant_id=tenant_id, attachment_id=attachment_id)
        call = self._connection.stubs.attachments.GetAttachment
        return await self._connection.call(call, request, timeout)

    async def resolve_attachments(
        self,
        attachment_ids: Sequence[str],
        *,
        tenant_id: str,
        include_download_urls: bool = False,
        download_ttl: timedelta | None = None,
        all_or_nothing: bool = False,
        hold_ttl: timedelta | None = None,
        hold_owner: str | None = None,
        timeout: float | None = None,
    ) -> attachments.ResolveAttachmentsResponse:
        """Turns 1..1,000 ids into attachments: `.results`, one per id in their order.

        An id that fails does not fail the call: `from_status(result.status)` is its error or None.
        `download_ttl` is 1 s to 7 days, default 15 minutes.

        With `hold_ttl`, 1 s to 7 days, no attachment without an error is deleted by time before
        `.hold` ends. Who names the same `hold_owner` again adds to the same hold and never shortens
        it; None: a name that was never used.
        """
        request = attachments.ResolveAttachmentsRequest(
            tenant_id=tenant_id,
            attachment_ids=attachment_ids,
            include_download_urls=include_download_urls,
            download_ttl=fields.duration(download_ttl),
            all_or_nothing=all_or_nothing,
            hold_ttl=fields.duration(hold_ttl),
            hold_owner=fields.hold_owner(hold_owner, hold_ttl),
        )
        call = self._connection.stubs.attachments.ResolveAttachments
        return await self._connection.call(call, request, timeout)

    async def extend_hold(
        self, hold_id: str, *, tenant_id: str, ttl: timedelta, timeout: float | None = None
    ) -> attachments.ExtendHoldResponse:
        """Lets a hold last `ttl` from now at least, 1 s to 7 days: `.hold`.

        Raises HoldExpired, HoldReleased, HoldNotFound and what every call raises.
        """
        request = attachments.ExtendHoldRequest(
            tenant_id=tenant_id, hold_id=hold_id, ttl=fields.duration(ttl)
        )
        call = self._connection.stubs.attachments.ExtendHold
        return await self._connection.call(call, request, timeout)

    async def release_hold(
        self, hold_id: str, *, tenant_id: str, consumed: bool = False, timeout: float | None = None
    ) -> attachments.ReleaseHoldResponse:
        """Ends a hold: `.hold`. What it alone kept is deleted if its time has passed, and what was
        `consumed` where the policy says so. Releasing it again changes nothing.

        Raises HoldNotFound and what every call raises.
        """
        request = attachments.ReleaseHoldRequest(
            tenant_id=tenant_id, hold_id=hold_id, consumed=consumed
        )
        call = self._connection.stubs.attachments.ReleaseHold
        return await self._connection.call(call, request, timeout)

    async def create_download_url(
        self,
        attachment_id: str,
        *,
        tenant_id: str,
        ttl: timedelta | None = None,
        disposition: DispositionName | None = None,
        timeout: float | None = None,
    ) -> attachments.CreateDownloadUrlResponse:
        """Signs a GET of exactly the verified bytes: `.url`, a secret until `.expire_time`.

        `ttl` is 1 s to 7 days, default 15 minutes. `disposition="inline"` lets a browser show types
        that cannot run code; everything else is served for saving.

        Raises UploadNotReady, ObjectPurged, AttachmentNotFound and what every call raises.
        """
        request = attachments.CreateDownloadUrlRequest(
            tenant_id=tenant_id,
            attachment_id=attachment_id,
            ttl=fields.duration(ttl),
            disposition=fields.disposition(disposition),
        )
        call = self._connection.stubs.attachments.CreateDownloadUrl
        return await self._connection.call(call, request, timeout)

    async def delete_attachment(
        self,
        attachment_id: str,
        *,
        tenant_id: str,
        force: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> attachments.DeleteAttachmentResponse:
        """Deletes the bytes of an attachment now: `.attachment`, whose metadata stays. Deleting it
        again changes nothing. `force`: even while it is held.

        Raises AttachmentHeld, UploadNotReady and its kin, AttachmentNotFound and what every call
        raises.
        """
        request = attachments.DeleteAttachmentRequest(
            tenant_id=tenant_id,
            attachment_id=attachment_id,
            force=force,
            request_id=request_id or new_request_id(),
        )
        call = self._connection.stubs.attachments.DeleteAttachment
        return await self._connection.call(call, request, timeout)

    async def audit_attachments(
        self,
        *,
        tenant_id: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.AuditAttachmentsResponse:
        """Compares what the service knows of a tenant with what is in storage, a part at a time:
        `.findings`, and in `.next_page_token` what asks for the part after it, empty at the end.

        `page_size` sessions and objects at most, 1,000 if 0 and no more than 10,000; fewer where
        the deadline is near. Changes nothing. Raises InvalidRequest, also for a token of another
        tenant.
        """
        request = admin.AuditAttachmentsRequest(
            tenant_id=tenant_id, page_size=page_size, page_token=page_token
        )
        call = self._connection.stubs.admin.AuditAttachments
        return await self._connection.call(call, request, timeout)
