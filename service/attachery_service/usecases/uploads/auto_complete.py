"""Auto-complete: completes a session for a client that does not call Complete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from attachery_service.domain.checksums import NO_CHECKSUMS
from attachery_service.domain.errors import (
    AttacheryError,
    Internal,
    Unavailable,
    VerificationFailed,
)
from attachery_service.domain.identity import SERVICE
from attachery_service.domain.sessions import PendingSession
from attachery_service.ports.sessions import SessionStore
from attachery_service.usecases.uploads.complete_upload_session import (
    CompleteCommand,
    CompleteUploadSession,
)
from attachery_service.usecases.uploads.lookup import AttachmentRef
from attachery_service.usecases.uploads.upload_verifier import ExtraConstraints

_NO_EXTRAS: Final = ExtraConstraints(NO_CHECKSUMS, None)


@dataclass(frozen=True, slots=True)
class AutoComplete:
    """Completes sessions that were started with `auto_complete`, in the service's own name.

    Idempotent: ignores sessions without an upload, closed ones, and those started without it.
    Calls `on_outcome` for each verified session, with READY or the reason of its failure.
    """

    sessions: SessionStore
    complete: CompleteUploadSession
    on_outcome: Callable[[UUID, str], None]

    async def __call__(self, tenant_id: str, attachment_id: UUID) -> bool:
        """Returns whether this call made the session READY, within its context's deadline.

        Raises Unavailable and Internal, after which a retry may succeed.
        """
        ref = AttachmentRef(tenant_id, attachment_id)
        if not await self._is_wanted(ref):
            return False
        try:
            await self.complete(SERVICE, CompleteCommand(ref, _NO_EXTRAS, None))
        except VerificationFailed as error:
            self.on_outcome(attachment_id, error.reason)
            return False
        except (Unavailable, Internal):
            raise
        except AttacheryError:  # no upload yet, or another call was faster
            return False
        self.on_outcome(attachment_id, "READY")
        return True

    async def _is_wanted(self, ref: AttachmentRef) -> bool:
        found = await self.sessions.find(ref.tenant_id, ref.attachment_id)
        if found is None:
            return False
        return found.session.auto_complete and isinstance(found.session, PendingSession)
