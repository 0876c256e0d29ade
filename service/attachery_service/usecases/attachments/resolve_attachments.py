"""ResolveAttachments: many ids to attachments that can be used, and held, in one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from attachery_service.domain import inputs
from attachery_service.domain.errors import (
    AttacheryError,
    AttachmentNotFound,
    BatchAborted,
    Violation,
)
from attachery_service.domain.holds import MAX_TTL, MIN_TTL, Hold, NewHold
from attachery_service.domain.identity import Principal, Scope
from attachery_service.domain.lookups import HoldResult
from attachery_service.domain.sessions import UploadSession
from attachery_service.domain.transfers import DownloadUrl
from attachery_service.ports.holds import HoldStore
from attachery_service.ports.sessions import SessionStore
from attachery_service.ports.signing import TargetSigner
from attachery_service.usecases.attachments.create_download_url import read_ttl, sign_download

MAX_IDS = 1000


@dataclass(frozen=True, slots=True)
class Resolved:
    """What became of one id: an attachment, with a URL if asked for, or an error."""

    attachment_id: str
    session: UploadSession | None = None
    download: DownloadUrl | None = None
    error: AttacheryError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveRequest:
    """The request as it came."""

    tenant_id: str
    attachment_ids: Sequence[str]
    include_download_urls: bool
    download_ttl: timedelta | None
    all_or_nothing: bool
    hold_ttl: timedelta | None
    hold_owner: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """One result per id, in order, and the hold on all that are no error; None if there is none."""

    results: Sequence[Resolved]
    hold: Hold | None


@dataclass(frozen=True, slots=True)
class ResolveAttachments:
    sessions: SessionStore
    holds: HoldStore
    signer: TargetSigner
    new_id: Callable[[], UUID]

    async def __call__(self, principal: Principal, request: ResolveRequest) -> Resolution:
        """Raises InvalidRequest, ScopeMissing, DatabaseUnavailable, StorageMisconfigured; what
        concerns one id is that result's error.
        """
        if request.include_download_urls:
            principal.require_scope(Scope.ATTACHMENTS_READ)
        ttl = _read(request)
        ids = {text: _parse(text) for text in request.attachment_ids}
        found = await self._find(principal, request, list(ids.values()))
        by_id = {text: _resolve(text, parsed, found.sessions) for text, parsed in ids.items()}
        if request.all_or_nothing and any(r.error for r in by_id.values()):
            by_id = {text: _aborted(result) for text, result in by_id.items()}
        elif request.include_download_urls:
            by_id = {text: await self._with_download(r, ttl) for text, r in by_id.items()}
        return Resolution([by_id[text] for text in request.attachment_ids], found.hold)

    async def _find(
        self, principal: Principal, request: ResolveRequest, ids: Sequence[UUID | AttacheryError]
    ) -> HoldResult:
        wanted = [i for i in ids if isinstance(i, UUID)]
        hopeless = request.all_or_nothing and len(wanted) < len(ids)
        if request.hold_ttl is None or hopeless:
            return HoldResult(await self.sessions.resolve(request.tenant_id, wanted), None)
        new = NewHold(
            tenant_id=request.tenant_id,
            hold_id=self.new_id(),
            owner=request.hold_owner,
            created_by=principal.name,
            ttl=request.hold_ttl,
        )
        return await self.holds.take(new, wanted, all_or_nothing=request.all_or_nothing)

    async def _with_download(self, result: Resolved, ttl: timedelta) -> Resolved:
        if result.session is None:
            return result
        # Signing is pure computing: a thousand in a row would keep every other call waiting.
        await asyncio.sleep(0)
        return replace(result, download=await sign_download(self.signer, result.session, ttl))


def _read(request: ResolveRequest) -> timedelta:
    reader = inputs.Reader()
    reader.take("tenant_id", "INVALID_TENANT_ID", inputs.tenant_id, request.tenant_id)
    count = len(request.attachment_ids)
    if not count:
        reader.refuse("attachment_ids", "INVALID_ATTACHMENT_IDS", "must hold at least one id")
    if count > MAX_IDS:
        rule = f"must hold at most {MAX_IDS} ids"
        reader.refuse(
            "attachment_ids", "BATCH_TOO_LARGE", rule, maxCount=MAX_IDS, actualCount=count
        )
    ttl = read_ttl(reader, "download_ttl", "INVALID_DOWNLOAD_TTL", request.download_ttl)
    hold_rule = inputs.duration_between(MIN_TTL, MAX_TTL)
    reader.take("hold_ttl", "INVALID_HOLD_TTL", hold_rule, request.hold_ttl)
    owner = reader.take("hold_owner", "INVALID_HOLD_OWNER", inputs.hold_owner, request.hold_owner)
    if owner and request.hold_ttl is None:
        reader.refuse("hold_owner", "INVALID_HOLD_OWNER", "must not stand without hold_ttl")
    reader.done()
    return ttl


def _parse(text: str) -> UUID | AttacheryError:
    try:
        return inputs.attachment_id(text)
    except inputs.Broken as error:
        return inputs.invalid([Violation("attachment_ids", "INVALID_ATTACHMENT_ID", str(error))])


def _resolve(
    text: str, parsed: UUID | AttacheryError, sessions: Mapping[UUID, UploadSession]
) -> Resolved:
    if isinstance(parsed, AttacheryError):
        return Resolved(text, error=parsed)
    session = sessions.get(parsed)
    if session is None:
        return Resolved(text, error=AttachmentNotFound(attachmentId=text))
    try:
        session.require_bytes()
    except AttacheryError as error:
        return Resolved(text, error=error)
    return Resolved(text, session)


def _aborted(result: Resolved) -> Resolved:
    return result if result.error else Resolved(result.attachment_id, error=BatchAborted())
