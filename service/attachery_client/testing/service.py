"""The services on a dictionary."""
# ruff: noqa: N802 - the contract names the methods

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO, TypeVar
from uuid import uuid4

from attachery.v1 import access_pb2 as access
from attachery.v1 import admin_pb2 as admin
from attachery.v1 import attachments_pb2 as attachments
from attachery.v1 import resources_pb2 as resources
from attachery.v1 import upload_sessions_pb2 as sessions
from attachery_client import errors
from attachery_client.testing.batches import check_items
from attachery_client.testing.callers import caller_of
from attachery_client.testing.connections import create_token, revoke_tokens
from attachery_client.testing.hold_rules import check_wish, replaces
from attachery_client.testing.holds import Holds
from attachery_client.testing.messages import (
    SCHEME,
    aborted_result,
    completed,
    download_of,
    matches,
    status_of,
    step_after_dry_run,
    target_of,
)
from attachery_client.testing.updates import check_update, updated
from attachery_client.testing.upload import (
    Upload,
    check_size,
    check_sizes,
    default_policy,
    message_size,
    new_session,
    reserved_bytes,
    route_of,
    with_normal_filename,
)
from attachery_client.transfer import Body

T = TypeVar("T")

_PAGE_SIZE = 50
_ID_PAGE_SIZE = 1000
_MAX_TOTAL = 10_000
_SETTLED = ("READY", "DELETED", "EXPIRED")


class InMemoryService:
    """Answers request messages as the service would, and keeps bytes as storage would.

    `tenant_id`: the tenant that the credential of all calls covers; empty for all tenants.
    """

    def __init__(
        self, *, allow_empty: bool = False, undeclared_size: str = "form", tenant_id: str = ""
    ) -> None:
        self.uploads: dict[str, Upload] = {}
        self.tenant_id = tenant_id
        self._allow_empty = allow_empty
        self._undeclared_size = undeclared_size
        self._holds = Holds()
        self._outcomes: dict[tuple[str, str, str, str], tuple[bytes, Any]] = {}

    def StartUploadSession(self, request: Any) -> sessions.StartUploadSessionResponse:
        request = with_normal_filename(request)
        check_size(request, allow_empty=self._allow_empty)
        if request.validate_only:
            return sessions.StartUploadSessionResponse(session=new_session(request, ""))
        upload = self._once(request, lambda: self._start(request))
        target = None
        if upload.state == "PENDING":
            target = target_of(upload.session, self._undeclared_size)
        token = f"atts_fake_{upload.session.attachment_id}" if target else ""
        return sessions.StartUploadSessionResponse(
            session=upload.session, target=target, session_token=token
        )

    def CompleteUploadSession(self, request: Any) -> sessions.CompleteUploadSessionResponse:
        upload = self._find(request)
        if request.validate_only:
            upload.require("PENDING")
            return sessions.CompleteUploadSessionResponse(
                session=upload.session, next_step=step_after_dry_run(upload, request)
            )
        self._once(request, lambda: upload.complete(request))
        return completed(upload)

    def BatchCompleteUploadSessions(
        self, request: Any
    ) -> sessions.BatchCompleteUploadSessionsResponse:
        check_items(request.items)
        self._require_same_batch(request)
        aborted = request.atomic and any(self._fails(request, item) for item in request.items)
        return sessions.BatchCompleteUploadSessionsResponse(
            results=[self._complete_item(request, item, aborted) for item in request.items]
        )

    def CancelUploadSession(self, request: Any) -> sessions.CancelUploadSessionResponse:
        upload = self._find(request)
        self._once(request, upload.cancel)
        return sessions.CancelUploadSessionResponse(session=upload.session)

    def GetUploadSession(self, request: Any) -> sessions.GetUploadSessionResponse:
        return sessions.GetUploadSessionResponse(session=self._find(request).session)

    def ListUploadSessions(self, request: Any) -> sessions.ListUploadSessionsResponse:
        wanted = [u.session for u in reversed(self.uploads.values()) if matches(u, request)]
        found, more = _page(request, wanted)
        return sessions.ListUploadSessionsResponse(
            sessions=found,
            next_page_token=more,
            total_count=min(len(wanted), _MAX_TOTAL) if request.include_total else None,
            total_count_is_exact=request.include_total and len(wanted) <= _MAX_TOTAL,
        )

    def GetUploadPolicy(self, request: Any) -> sessions.GetUploadPolicyResponse:
        if request.purpose not in ("", "default"):
            raise errors.InvalidRequest(reason="INVALID_PURPOSE")
        check_sizes(request, allow_empty=self._allow_empty)
        uploads = [u for u in self.uploads.values() if u.session.tenant_id == request.tenant_id]
        # The fake does not track the expiry of the target of a cancelled session.
        pending = [u.session for u in uploads if u.state not in _SETTLED]
        stored = [u.session for u in uploads if u.state == "READY"]
        usage = sessions.UploadUsage(
            pending_sessions=len(pending),
            pending_bytes=sum(reserved_bytes(session) for session in pending),
            stored_bytes=sum(session.size_bytes for session in stored),
            attachments=len(pending + stored),
            purpose_attachments=sum(s.purpose == "default" for s in pending + stored),
        )
        return sessions.GetUploadPolicyResponse(
            policy=default_policy(self._undeclared_size, allow_empty=self._allow_empty),
            usage=usage,
            route=route_of(request),
            total_size_bytes=message_size(request, base64=request.base64),
        )

    def GetAttachment(self, request: Any) -> attachments.GetAttachmentResponse:
        return attachments.GetAttachmentResponse(attachment=self._find(request).attachment())

    def ResolveAttachments(self, request: Any) -> attachments.ResolveAttachmentsResponse:
        if not request.attachment_ids and not replaces(request):
            raise errors.InvalidRequest(reason="INVALID_ATTACHMENT_IDS")
        check_wish(request)
        if not request.attachment_ids:
            released = self._holds.release_of_owner(request)
            return attachments.ResolveAttachmentsResponse(hold=released)
        is_atomic = request.all_or_nothing or replaces(request)
        fine = [self.uploads[i] for i in request.attachment_ids if self._is_usable(request, i)]
        agreed = len(fine) == len(request.attachment_ids) or not is_atomic
        wants_hold = bool(fine) and agreed and request.HasField("hold_ttl")
        hold = self._holds.take(request, fine) if wants_hold else None
        results = [self._resolve(request, wanted) for wanted in request.attachment_ids]
        if not agreed:
            results = [aborted_result(result) for result in results]
        return attachments.ResolveAttachmentsResponse(results=results, hold=hold)

    def GetHold(self, request: Any) -> attachments.GetHoldResponse:
        held = self._holds.find(request)
        ids, more = _page(request, held.attachment_ids, _ID_PAGE_SIZE)
        return attachments.GetHoldResponse(
            hold=held.message(), attachment_ids=ids, next_page_token=more
        )

    def ListHolds(self, request: Any) -> attachments.ListHoldsResponse:
        holds, more = _page(request, self._holds.page(request))
        return attachments.ListHoldsResponse(holds=holds, next_page_token=more)

    def ExtendHold(self, request: Any) -> attachments.ExtendHoldResponse:
        return attachments.ExtendHoldResponse(hold=self._holds.extend(request))

    def ReleaseHold(self, request: Any) -> attachments.ReleaseHoldResponse:
        return attachments.ReleaseHoldResponse(hold=self._holds.release(request))

    def end_hold(self, hold_id: str) -> None:
        self._holds.end(hold_id)

    def CreateDownloadUrl(self, request: Any) -> attachments.CreateDownloadUrlResponse:
        download = download_of(self._find(request).with_bytes())
        return attachments.CreateDownloadUrlResponse(
            url=download.url, expire_time=download.expire_time, ttl=download.ttl
        )

    def UpdateAttachment(self, request: Any) -> attachments.UpdateAttachmentResponse:
        check_update(request)
        upload = self._find(request)
        self._once(request, lambda: self._update(upload, request))
        return attachments.UpdateAttachmentResponse(attachment=upload.attachment())

    def DeleteAttachment(self, request: Any) -> attachments.DeleteAttachmentResponse:
        upload = self._find(request)
        self._once(request, lambda: self._delete(upload, force=request.force))
        return attachments.DeleteAttachmentResponse(attachment=upload.attachment())

    def AuditAttachments(self, request: Any) -> admin.AuditAttachmentsResponse:
        uploads = [u for u in self.uploads.values() if u.session.tenant_id == request.tenant_id]
        return admin.AuditAttachmentsResponse(
            sessions_seen=len(uploads),
            objects_seen=sum(upload.data is not None for upload in uploads),
        )

    def GetCaller(self, request: Any) -> access.GetCallerResponse:  # noqa: ARG002
        return caller_of(self.tenant_id)

    def CreateConnectionToken(self, request: Any) -> access.CreateConnectionTokenResponse:
        return create_token(request)

    def RevokeConnectionTokens(self, request: Any) -> access.RevokeConnectionTokensResponse:
        return revoke_tokens(request)

    def receive(self, target: resources.UploadTarget, body: Body) -> None:
        """Stores the bytes, as storage does when a target is followed."""
        with body.open() as file:
            self.uploads[target.url.removeprefix(SCHEME)].data = file.read()

    def write_to(self, sink: BinaryIO, url: str) -> None:
        """Writes the bytes behind a download URL."""
        sink.write(self.uploads[url.removeprefix(SCHEME)].data or b"")

    def _delete(self, upload: Upload, *, force: bool) -> None:
        if not force:
            self._holds.require_none(upload)
        upload.delete()

    def _update(self, upload: Upload, request: Any) -> None:
        upload.with_bytes()
        upload.require_revision(request)
        own = self._holds.without(upload)
        new = updated(own, request)
        if new != own:
            self._holds.set_session(upload, new)
            upload.become("READY")

    def _start(self, request: Any) -> Upload:
        session = new_session(request, str(uuid4()))
        self.uploads[session.attachment_id] = Upload(session, allow_empty=self._allow_empty)
        return self.uploads[session.attachment_id]

    def _find(self, request: Any) -> Upload:
        upload = self.uploads.get(request.attachment_id)
        if upload is None or upload.session.tenant_id != request.tenant_id:
            raise errors.AttachmentNotFound(facts={"attachmentId": request.attachment_id})
        return upload

    def _find_item(self, request: Any, item: Any) -> Upload:
        wanted = {"tenant_id": request.tenant_id, "attachment_id": item.attachment_id}
        return self._find(sessions.GetUploadSessionRequest(**wanted))

    def _fails(self, request: Any, item: Any) -> bool:
        """Whether an item will fail, or has under the same request id."""
        before = self._outcomes.get(_key(request, item.attachment_id))
        if before is not None:
            return isinstance(before[1], errors.AttacheryError)
        try:
            return self._find_item(request, item).judge(item) is not None
        except errors.AttacheryError:
            return True

    def _complete_item(
        self, request: Any, item: Any, aborted: bool
    ) -> sessions.BatchCompleteUploadSessionsResult:
        result = sessions.BatchCompleteUploadSessionsResult(attachment_id=item.attachment_id)
        try:
            upload = self._find_item(request, item)
            complete = partial(upload.complete, item, aborted=aborted)
            self._once(request, complete, item.attachment_id)
        except errors.AttacheryError as error:
            result.status.CopyFrom(status_of(error))
            return result
        result.status.SetInParent()
        result.response.CopyFrom(completed(upload))
        return result

    def _require_same_batch(self, request: Any) -> None:
        payload = request.SerializeToString(deterministic=True)
        for (*batch, _), (before, _) in self._outcomes.items():
            if batch == list(_key(request)[:-1]) and before != payload:
                raise errors.RequestIdReused(facts={"field": "request_id"})

    def _is_usable(self, request: Any, attachment_id: str) -> bool:
        return not self._resolve(request, attachment_id).status.code

    def _resolve(self, request: Any, attachment_id: str) -> attachments.ResolveAttachmentResult:
        wanted = {"tenant_id": request.tenant_id, "attachment_id": attachment_id}
        result = attachments.ResolveAttachmentResult(attachment_id=attachment_id)
        try:
            found = self._find(attachments.GetAttachmentRequest(**wanted)).with_bytes()
        except errors.AttacheryError as error:
            result.status.CopyFrom(status_of(error))
            return result
        result.attachment.CopyFrom(found)
        if request.include_download_urls:
            result.download.CopyFrom(download_of(found))
        return result

    def _once(self, request: Any, act: Callable[[], Any], part: str = "") -> Any:
        """Replays the outcome of an earlier request with the same id.

        An outcome is a success or a failed verification. Each `part` of a batch has its own.
        """
        key = _key(request, part)
        payload = request.SerializeToString(deterministic=True)
        if key not in self._outcomes:
            try:
                self._outcomes[key] = payload, act()
            except errors.VerificationFailed as error:
                self._outcomes[key] = payload, error
        before, outcome = self._outcomes[key]
        if before != payload:
            raise errors.RequestIdReused(facts={"field": "request_id"})
        if isinstance(outcome, errors.AttacheryError):
            raise outcome
        return outcome


def _page(request: Any, found: list[T], default: int = _PAGE_SIZE) -> tuple[list[T], str]:
    """Returns the requested page, and the token of the next one."""
    start = int(request.page_token or 0)
    end = start + (request.page_size or default)
    return found[start:end], str(end) if len(found) > end else ""


def _key(request: Any, part: str = "") -> tuple[str, str, str, str]:
    return type(request).__name__, request.tenant_id, request.request_id, part
