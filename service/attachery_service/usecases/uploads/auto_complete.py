"""Auto-complete: what the client of a session would do, had it not gone after its upload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from attachery_service.domain.errors import (
    AttacheryError,
    Internal,
    Unavailable,
    VerificationFailed,
)
from attachery_service.domain.identity import SERVICE
from attachery_service.domain.sessions import SessionState
from attachery_service.ports.sessions import SessionStore
from attachery_service.usecases.uploads.complete_upload_session import (
    CompleteRequest,
    CompleteUploadSession,
)


@dataclass(frozen=True, slots=True)
class AutoComplete:
    """Completes sessions that were started with `auto_complete`, in the service's own name.

    It may be asked at any time and any number of times: what has not arrived, has ended, or never
    wanted it, is left alone. `on_outcome` is told of each session whose upload was verified: READY,
    or the reason it is bad.
    """

    sessions: SessionStore
    complete: CompleteUploadSession
    on_outcome: Callable[[UUID, str], None]

    async def __call__(self, tenant_id: str, attachment_id: UUID) -> bool:
        """Whether this made it READY. Takes as long as the deadline of its context leaves.

        Raises Unavailable, Internal: to be tried again.
        """
        if not await self._is_wanted(tenant_id, attachment_id):
            return False
        try:
            await self.complete(SERVICE, _request(tenant_id, attachment_id))
        except VerificationFailed as error:
            self.on_outcome(attachment_id, error.reason)
            return False
        except (Unavailable, Internal):
            raise
        except AttacheryError:  # nothing has arrived, or somebody else was faster
            return False
        self.on_outcome(attachment_id, "READY")
        return True

    async def _is_wanted(self, tenant_id: str, attachment_id: UUID) -> bool:
        found = await self.sessions.find(tenant_id, attachment_id)
        if found is None:
            return False
        session = found.session
        return session.auto_complete and session.state is SessionState.PENDING


def _request(tenant_id: str, attachment_id: UUID) -> CompleteRequest:
    return CompleteRequest(
        tenant_id=tenant_id,
        attachment_id=str(attachment_id),
        request_id="",
        checksums={},
        size=None,
        validate_only=False,
    )
