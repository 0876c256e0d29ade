"""ResolveAttachments: many ids to usable attachments, read and held in one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from attachery_service.domain.errors import AttacheryError, AttachmentNotFound, BatchAborted
from attachery_service.domain.holds import Hold, NewHold
from attachery_service.domain.identity import Principal
from attachery_service.domain.lookups import HoldResult
from attachery_service.domain.sessions import ReadySession, UploadSession, require_bytes
from attachery_service.domain.transfers import DownloadUrl
from attachery_service.ports.holds import HoldStore
from attachery_service.ports.sessions import SessionStore
from attachery_service.ports.signing import TargetSigner
from attachery_service.usecases.attachments.create_download_url import sign_download


class Resolved(Struct, frozen=True):
    """The result of one id: an attachment, with a URL if requested, or an error."""

    attachment_id: str
    session: ReadySession | None = None
    download: DownloadUrl | None = None
    error: AttacheryError | None = None


class ResolveCommand(Struct, frozen=True, kw_only=True):
    """A validated ResolveAttachments request.

    An id that is not valid is the error of its result. `download_ttl` and `hold_ttl` are None if no
    URLs, or no hold, are requested. `replaces`: attachments of the owner's hold that are not in
    `ids` are released; without ids, the hold is.
    """

    tenant_id: str
    ids: Mapping[str, UUID | AttacheryError]
    order: Sequence[str]
    download_ttl: timedelta | None
    all_or_nothing: bool
    hold_ttl: timedelta | None
    hold_owner: str
    replaces: bool


class Resolution(Struct, frozen=True):
    """One result per id, in order, and the hold on those without an error; None without a hold."""

    results: Sequence[Resolved]
    hold: Hold | None


@dataclass(frozen=True, slots=True)
class ResolveAttachments:
    sessions: SessionStore
    holds: HoldStore
    signer: TargetSigner
    new_id: Callable[[], UUID]

    async def __call__(self, principal: Principal, command: ResolveCommand) -> Resolution:
        """Returns one result per id, and the hold.

        Raises DatabaseUnavailable, StorageMisconfigured; an error that concerns one id is that
        result's error.
        """
        found = await self._find(principal, command)
        ids, ttl = command.ids, command.download_ttl
        by_id = {text: _resolve(text, parsed, found.sessions) for text, parsed in ids.items()}
        if command.all_or_nothing and any(r.error for r in by_id.values()):
            by_id = {text: _aborted(result) for text, result in by_id.items()}
        elif ttl is not None:
            by_id = {text: await self._with_download(r, ttl) for text, r in by_id.items()}
        return Resolution([by_id[text] for text in command.order], found.hold)

    async def _find(self, principal: Principal, command: ResolveCommand) -> HoldResult:
        if not command.ids:
            return HoldResult({}, await self._release(principal, command))
        wanted = [i for i in command.ids.values() if isinstance(i, UUID)]
        cannot_hold = command.all_or_nothing and len(wanted) < len(command.ids)
        if command.hold_ttl is None or cannot_hold:
            return HoldResult(await self.sessions.resolve(command.tenant_id, wanted), None)
        new = NewHold(
            tenant_id=command.tenant_id,
            hold_id=self.new_id(),
            owner=command.hold_owner,
            created_by=principal.name,
            ttl=command.hold_ttl,
            replaces=command.replaces,
        )
        return await self.holds.take(new, wanted, all_or_nothing=command.all_or_nothing)

    async def _release(self, principal: Principal, command: ResolveCommand) -> Hold | None:
        # One that has expired is released too: renewed, it would have its former attachments.
        hold = await self.holds.release_of_owner(
            command.tenant_id, command.hold_owner, principal.name
        )
        return hold if hold and hold.is_released_early else None

    async def _with_download(self, result: Resolved, ttl: timedelta) -> Resolved:
        if result.session is None:
            return result
        # Signing is pure computation: a thousand in a row would block every other call.
        await asyncio.sleep(0)
        return replace(result, download=await sign_download(self.signer, result.session, ttl))


def _resolve(
    text: str, parsed: UUID | AttacheryError, sessions: Mapping[UUID, UploadSession]
) -> Resolved:
    if isinstance(parsed, AttacheryError):
        return Resolved(text, error=parsed)
    session = sessions.get(parsed)
    if session is None:
        return Resolved(text, error=AttachmentNotFound(attachmentId=text))
    try:
        return Resolved(text, require_bytes(session))
    except AttacheryError as error:
        return Resolved(text, error=error)


def _aborted(result: Resolved) -> Resolved:
    return result if result.error else Resolved(result.attachment_id, error=BatchAborted())
