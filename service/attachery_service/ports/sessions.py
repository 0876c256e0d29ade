"""Upload sessions in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from attachery_service.domain.idempotency import RequestKey
from attachery_service.domain.lookups import BatchLookup, SessionLookup
from attachery_service.domain.new_session import NewSession
from attachery_service.domain.pages import PageCursor
from attachery_service.domain.quota import Limits
from attachery_service.domain.sessions import Session, SessionFilter, UploadSession
from attachery_service.domain.transitions import Claim, CompleteOutcome, Completion, Rejection
from attachery_service.domain.updates import PurgeTimes, Update


class SessionStore(Protocol):
    """Reads and changes sessions, with one statement per call.

    Start needs more statements for a replay, for a tenant's first session, and where quotas are
    nearly exhausted. All methods raise DatabaseUnavailable. `actor` is the name that the
    history records.
    """

    async def start(
        self, new: NewSession, request: RequestKey | None, limits: Limits, *, dry_run: bool
    ) -> SessionLookup | None:
        """Stores a PENDING session and reserves its quota.

        For a request id that was used before, returns the session it started, with the stored
        outcome. Returns None if the requested deadline is out of range. A `dry_run` stores nothing.
        Raises ResourceExhausted if the tenant would exceed its limits.
        """

    async def find(
        self, tenant_id: str, attachment_id: UUID, request: RequestKey | None = None
    ) -> SessionLookup | None:
        """Reads a session, with its deadline applied. Returns None if the tenant has no such id."""

    async def complete(
        self, pending: Session, completion: Completion, request: RequestKey | None, actor: str
    ) -> UploadSession | None:
        """PENDING → READY. Returns None if the session is not PENDING, or its deadline passed."""

    async def claim(
        self, ready: Session, claim: Claim, request: RequestKey | None, actor: str
    ) -> UploadSession | None:
        """Stores the outcome of the uploader's Complete. Returns None if one is stored already."""

    async def fail(
        self,
        pending: Session,
        rejection: Rejection,
        request: RequestKey | None,
        actor: str,
    ) -> UploadSession | None:
        """PENDING → FAILED. Returns None if the session is not PENDING, or its deadline passed."""

    async def cancel(
        self,
        tenant_id: str,
        attachment_id: UUID,
        request: RequestKey | None,
        actor: str,
        *,
        subject: str | None = None,
    ) -> UploadSession | None:
        """PENDING → CANCELLED. Returns None if it is not PENDING, or its deadline passed.

        Returns None too if a `subject` is given and the session is not the subject's.
        """

    async def update(
        self,
        tenant_id: str,
        attachment_id: UUID,
        request: RequestKey | None,
        actor: str,
        *,
        update: Update,
        purge_times: PurgeTimes,
    ) -> UploadSession | None:
        """Updates a READY session, unless all values are the stored ones already.

        Returns None if it is not READY, has another revision than expected, or would lose its bytes
        at once.
        """

    async def delete(
        self,
        tenant_id: str,
        attachment_id: UUID,
        request: RequestKey | None,
        actor: str,
        *,
        force: bool,
    ) -> UploadSession | None:
        """READY → DELETED. Returns None if it is not READY, or is held and `force` is not set."""

    async def page(
        self, tenant_id: str, wanted: SessionFilter, after: PageCursor | None, limit: int
    ) -> Sequence[UploadSession]:
        """Reads the newest matching sessions after a place, with their deadlines applied."""

    async def count(self, tenant_id: str, wanted: SessionFilter, limit: int) -> int:
        """Counts the matching sessions of all pages, up to `limit`."""

    async def resolve(
        self, tenant_id: str, attachment_ids: Sequence[UUID]
    ) -> Mapping[UUID, UploadSession]:
        """Reads those of the sessions that exist in the tenant."""


class BatchStore(Protocol):
    """Reads and changes many sessions of one tenant, with one statement per call.

    A batch's request id identifies the batch; together with an attachment id it identifies the
    outcome of that item. Both methods raise DatabaseUnavailable.
    """

    async def find(
        self, tenant_id: str, attachment_ids: Sequence[UUID], request: RequestKey | None
    ) -> BatchLookup:
        """Reads those of the sessions that exist, with their deadlines applied."""

    async def complete(
        self,
        tenant_id: str,
        outcomes: Mapping[UUID, CompleteOutcome],
        request: RequestKey | None,
        actor: str,
        *,
        atomic: bool,
    ) -> Mapping[UUID, UploadSession]:
        """PENDING → READY or FAILED, or READY → claimed. Returns the sessions that changed.

        `atomic`: changes all or nothing. Changes nothing if another batch used the request id.
        """
