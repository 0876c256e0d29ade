"""UpdateAttachment: correct the declaration and the retention; the bytes never change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import Struct

from attachery_service.domain.errors import DatabaseUnavailable
from attachery_service.domain.idempotency import RequestKey
from attachery_service.domain.identity import Principal
from attachery_service.domain.lookups import SessionLookup
from attachery_service.domain.policy import DEFAULT_PURPOSE, Policy
from attachery_service.domain.sessions import (
    DeletedSession,
    ReadySession,
    UploadSession,
    require_attachment,
    require_bytes,
)
from attachery_service.domain.updates import PurgeTimes, Update, new_purge_times
from attachery_service.ports.sessions import SessionStore
from attachery_service.usecases.background_tasks import BackgroundTasks
from attachery_service.usecases.uploads.lookup import AttachmentRef, find

METHOD = "UpdateAttachment"


class UpdateCommand(Struct, frozen=True):
    """A validated UpdateAttachment request."""

    ref: AttachmentRef
    update: Update
    request: RequestKey | None


@dataclass(frozen=True, slots=True)
class UpdateAttachment:
    """An update that changes nothing succeeds, and leaves the revision as it is.

    The limits of a retention depend on the session's purpose, which never changes: it is read
    before the one statement that updates the row.
    """

    sessions: SessionStore
    policies: Mapping[str, Policy]
    background: BackgroundTasks

    async def __call__(
        self, principal: Principal, command: UpdateCommand
    ) -> ReadySession | DeletedSession:
        """Updates a READY attachment. A repeated request returns it as it is now.

        Raises InvalidRequest, AttachmentNotFound, RequestIdReused, UploadNotReady and the errors of
        closed sessions, ObjectPurged, RevisionMismatch, DatabaseUnavailable.
        """
        found = await self._find(command)
        if found.replayed_outcome is not None:
            return require_attachment(found.session)
        return await self.background.run_to_completion(
            self._update(command, self._judge(command.update, found.session), principal.name)
        )

    async def _update(
        self, command: UpdateCommand, purge_times: PurgeTimes, actor: str
    ) -> ReadySession | DeletedSession:
        ref = command.ref
        updated = await self.sessions.update(
            ref.tenant_id,
            ref.attachment_id,
            command.request,
            actor,
            update=command.update,
            purge_times=purge_times,
        )
        if updated is None:
            return await self._resolve_lost_race(command)
        return require_attachment(updated)

    async def _resolve_lost_race(self, command: UpdateCommand) -> ReadySession | DeletedSession:
        """Answers from the stored session, which another call has changed first."""
        found = await self._find(command)
        if found.replayed_outcome is not None:
            return require_attachment(found.session)
        self._judge(command.update, found.session)
        raise DatabaseUnavailable  # the obstacle is gone already, so a retry succeeds

    async def _find(self, command: UpdateCommand) -> SessionLookup:
        return await find(self.sessions, command.ref, command.request)

    def _judge(self, update: Update, session: UploadSession) -> PurgeTimes:
        """Returns the new purge times of a session that can be updated."""
        ready = require_bytes(session)
        ready.require_revision(update.expected_revision)
        # A purpose can be removed from the settings while its sessions live.
        policy = self.policies.get(ready.purpose) or self.policies[DEFAULT_PURPOSE]
        return new_purge_times(update, ready, policy)
