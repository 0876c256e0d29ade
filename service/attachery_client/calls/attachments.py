"""The RPCs of AttachmentService."""
# ruff: noqa: ASYNC109 - gRPC callers expect a deadline per call

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from attachery.v1 import attachments_pb2 as attachments
from attachery_client import fields
from attachery_client.calls.base import CallsBase
from attachery_client.fields import DispositionName, HoldModeName, new_request_id


class AttachmentCalls(CallsBase):
    """Reads, holds, download URLs, updates and deletion of attachments."""

    async def get_attachment(
        self, attachment_id: str, *, tenant_id: str = "", timeout: float | None = None
    ) -> attachments.GetAttachmentResponse:
        """Returns an attachment: `.attachment`.

        Raises UploadNotReady, UploadFailed, UploadCancelled, UploadExpired and AttachmentNotFound.
        """
        request = attachments.GetAttachmentRequest(tenant_id=tenant_id, attachment_id=attachment_id)
        call = self._connection.stubs.attachments.GetAttachment
        return await self._connection.call(call, request, timeout)

    async def resolve_attachments(
        self,
        attachment_ids: Sequence[str],
        *,
        tenant_id: str = "",
        include_download_urls: bool = False,
        download_ttl: timedelta | None = None,
        all_or_nothing: bool = False,
        hold_ttl: timedelta | None = None,
        hold_owner: str | None = None,
        hold_mode: HoldModeName = "add",
        timeout: float | None = None,
    ) -> attachments.ResolveAttachmentsResponse:
        """Turns 1..1,000 ids into attachments: `.results`, one per id in their order.

        A failed id does not fail the call: `from_status(result.status)` is its error or None.
        `download_ttl` is 1 s to 7 days, default 15 minutes.

        With `hold_ttl`, 1 s to 7 days, the resolved attachments get a hold, `.hold`: they do not
        expire before it ends. A call with the same `hold_owner` adds to the same hold and never
        shortens it; None: a new owner.

        `hold_mode="replace"` releases the owner's attachments that are not listed: all if none is,
        and none of them if one id fails. It needs `hold_owner`.
        """
        request = attachments.ResolveAttachmentsRequest(
            tenant_id=tenant_id,
            attachment_ids=attachment_ids,
            include_download_urls=include_download_urls,
            download_ttl=fields.duration(download_ttl),
            all_or_nothing=all_or_nothing,
            hold_ttl=fields.duration(hold_ttl),
            hold_owner=fields.hold_owner(hold_owner, hold_ttl, hold_mode),
            hold_mode=fields.hold_mode(hold_mode),
        )
        call = self._connection.stubs.attachments.ResolveAttachments
        return await self._connection.call(call, request, timeout)

    async def get_hold(
        self,
        hold_id: str = "",
        *,
        tenant_id: str = "",
        hold_owner: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> attachments.GetHoldResponse:
        """Returns a hold, `.hold`, and a page of the ids of its attachments, `.attachment_ids`.

        Give its id, or its owner while it is live. `.next_page_token` is for the next page.

        Raises HoldNotFound and the errors of every call.
        """
        request = attachments.GetHoldRequest(
            tenant_id=tenant_id,
            hold_id=hold_id,
            hold_owner=hold_owner,
            page_size=page_size,
            page_token=page_token,
        )
        call = self._connection.stubs.attachments.GetHold
        return await self._connection.call(call, request, timeout)

    async def list_holds(
        self,
        *,
        tenant_id: str = "",
        hold_owner: str = "",
        attachment_id: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> attachments.ListHoldsResponse:
        """Returns a page of live holds, `.holds`, of an owner, on an attachment, or both.

        They include those that other principals took. `.next_page_token` is for the next page.
        """
        request = attachments.ListHoldsRequest(
            tenant_id=tenant_id,
            hold_owner=hold_owner,
            attachment_id=attachment_id,
            page_size=page_size,
            page_token=page_token,
        )
        call = self._connection.stubs.attachments.ListHolds
        return await self._connection.call(call, request, timeout)

    async def extend_hold(
        self,
        hold_id: str = "",
        *,
        tenant_id: str = "",
        ttl: timedelta,
        hold_owner: str = "",
        timeout: float | None = None,
    ) -> attachments.ExtendHoldResponse:
        """Extends a hold to at least `ttl` from now, 1 s to 7 days: `.hold`.

        Give its id, or its owner while it is live.

        Raises HoldExpired, HoldReleased, HoldNotFound and the errors of every call.
        """
        request = attachments.ExtendHoldRequest(
            tenant_id=tenant_id, hold_id=hold_id, hold_owner=hold_owner, ttl=fields.duration(ttl)
        )
        call = self._connection.stubs.attachments.ExtendHold
        return await self._connection.call(call, request, timeout)

    async def release_hold(
        self,
        hold_id: str = "",
        *,
        tenant_id: str = "",
        hold_owner: str = "",
        consumed: bool = False,
        timeout: float | None = None,
    ) -> attachments.ReleaseHoldResponse:
        """Releases a hold: `.hold`. Give its id, or its owner while it is live.

        Expired attachments without another hold are deleted, and `consumed` ones where the policy
        has that rule. Releasing it again by its id changes nothing.

        Raises HoldNotFound and the errors of every call.
        """
        request = attachments.ReleaseHoldRequest(
            tenant_id=tenant_id, hold_id=hold_id, hold_owner=hold_owner, consumed=consumed
        )
        call = self._connection.stubs.attachments.ReleaseHold
        return await self._connection.call(call, request, timeout)

    async def create_download_url(
        self,
        attachment_id: str,
        *,
        tenant_id: str = "",
        ttl: timedelta | None = None,
        disposition: DispositionName | None = None,
        timeout: float | None = None,
    ) -> attachments.CreateDownloadUrlResponse:
        """Signs a GET of exactly the verified bytes: `.url`, a secret until `.expire_time`.

        `ttl` is 1 s to 7 days, default 15 minutes. `disposition="inline"` lets a browser show types
        that cannot run code; everything else is served for saving.

        Raises UploadNotReady, ObjectPurged, AttachmentNotFound and the errors of every call.
        """
        request = attachments.CreateDownloadUrlRequest(
            tenant_id=tenant_id,
            attachment_id=attachment_id,
            ttl=fields.duration(ttl),
            disposition=fields.disposition(disposition),
        )
        call = self._connection.stubs.attachments.CreateDownloadUrl
        return await self._connection.call(call, request, timeout)

    async def update_attachment(
        self,
        attachment_id: str,
        *,
        tenant_id: str = "",
        update_mask: Sequence[str] | None = None,
        filename: str | None = None,
        content_id: str | None = None,
        disposition: DispositionName | None = None,
        is_inline: bool | None = None,
        metadata: Mapping[str, str] | None = None,
        object_retention: timedelta | None = None,
        metadata_retention: timedelta | None = None,
        expected_revision: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> attachments.UpdateAttachmentResponse:
        """Corrects the description or the retention of an attachment: `.attachment`.

        - `update_mask`: the names of the fields to update. By default those that are given, so that
          it is needed only to reset one to its default: `update_mask=["disposition"]`.
        - `content_id=""` and `metadata={}` remove what there was; metadata is replaced as a whole.
        - `object_retention`, `metadata_retention`: from the creation of the session, as at Start.
        - `expected_revision`: only an attachment of this `revision` is updated.

        An update that changes nothing succeeds, and leaves `revision` as it is.

        Raises RevisionMismatch, ObjectPurged, UploadNotReady, UploadFailed, UploadCancelled,
        UploadExpired, AttachmentNotFound and the errors of every call.
        """
        given: dict[str, Any] = {
            "filename": filename,
            "content_id": content_id,
            "disposition": None if disposition is None else fields.disposition(disposition),
            "is_inline": is_inline,
            "metadata": metadata,
            "object_retention": fields.duration(object_retention),
            "metadata_retention": fields.duration(metadata_retention),
        }
        named = [name for name, value in given.items() if value is not None]
        request = attachments.UpdateAttachmentRequest(
            tenant_id=tenant_id,
            attachment_id=attachment_id,
            update_mask=FieldMask(paths=named if update_mask is None else update_mask),
            expected_revision=expected_revision,
            request_id=request_id or new_request_id(),
            **given,
        )
        call = self._connection.stubs.attachments.UpdateAttachment
        return await self._connection.call(call, request, timeout)

    async def delete_attachment(
        self,
        attachment_id: str,
        *,
        tenant_id: str = "",
        force: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> attachments.DeleteAttachmentResponse:
        """Deletes the bytes of an attachment now: `.attachment`; its metadata remains.

        Deleting it again changes nothing. `force`: even while it is held.

        Raises AttachmentHeld, UploadNotReady, UploadFailed, UploadCancelled, UploadExpired,
        AttachmentNotFound and the errors of every call.
        """
        request = attachments.DeleteAttachmentRequest(
            tenant_id=tenant_id,
            attachment_id=attachment_id,
            force=force,
            request_id=request_id or new_request_id(),
        )
        call = self._connection.stubs.attachments.DeleteAttachment
        return await self._connection.call(call, request, timeout)
