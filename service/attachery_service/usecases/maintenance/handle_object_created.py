"""HandleObjectCreated: complete a session with `auto_complete` as soon as its object exists."""

from __future__ import annotations

from dataclasses import dataclass

from attachery_service.domain.errors import Internal, Unavailable
from attachery_service.domain.object_created import NotificationOutcome, ObjectCreated
from attachery_service.domain.sessions import SessionState, UploadSession
from attachery_service.ports.sessions import SessionStore
from attachery_service.usecases.uploads.auto_complete import AutoComplete


@dataclass(frozen=True, slots=True)
class HandleObjectCreated:
    """Treats a notification as a hint: the session is verified as the sweep would do it later."""

    sessions: SessionStore
    auto_complete: AutoComplete

    async def __call__(self, notification: ObjectCreated) -> NotificationOutcome:
        """Returns COMPLETED, UNFINISHED, IGNORED or POSTPONED. Raises no temporary error."""
        try:
            found = await self.sessions.find(notification.tenant_id, notification.attachment_id)
            if found is None or not _waits_for(found.session, notification.key):
                return NotificationOutcome.IGNORED
            completed = await self.auto_complete(notification.tenant_id, notification.attachment_id)
        except (Unavailable, Internal):
            return NotificationOutcome.POSTPONED
        return NotificationOutcome.COMPLETED if completed else NotificationOutcome.UNFINISHED


def _waits_for(session: UploadSession, key: str) -> bool:
    """Excludes the service's own sealed copies, and keys that were never handed out."""
    pending = session.auto_complete and session.state is SessionState.PENDING
    return pending and session.upload_key == key
