"""Quotas of tenants, and their usage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from attachery_service.domain.errors import (
    AttachmentsLimit,
    PendingSessionsLimit,
    ResourceExhausted,
    StorageQuotaExceeded,
)
from attachery_service.domain.new_session import NewSession

# The largest number that the database counts, far above any object storage.
MAX_LIMIT = 2**60


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a tenant; None without a limit. Sizes in bytes.

    A session is pending while its target can still write; it reserves the maximum number of bytes.
    `max_stored_bytes` includes the reserved bytes, so there is always room for an accepted upload.
    `max_attachments` includes the pending sessions likewise.
    """

    max_pending_sessions: int | None = None
    max_pending_bytes: int | None = None
    max_stored_bytes: int | None = None
    max_attachments: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The usage of a tenant. Sizes in bytes.

    `attachments`: READY attachments and pending sessions; `by_purpose`: those of single purposes.
    """

    pending_sessions: int
    pending_bytes: int
    stored_bytes: int
    attachments: int
    by_purpose: Mapping[str, int]

    def refusal(self, new: NewSession, limits: Limits) -> ResourceExhausted | None:
        """Returns the error of one more session by the first exceeded limit, None if it fits."""
        tenant_id, purpose = new.command.tenant_id, new.command.purpose
        most, used = new.command.policy.max_attachments, self.by_purpose.get(purpose, 0)
        if refusal := self._tenant_refusal(tenant_id, limits, new.reserved):
            return refusal
        if most is None or used < most:
            return None
        facts = {"tenantId": tenant_id, "purpose": purpose, "quota": "max_attachments"}
        return AttachmentsLimit(**facts, limit=most, used=used, asked=1)

    def _tenant_refusal(
        self, tenant_id: str, limits: Limits, size: int
    ) -> ResourceExhausted | None:
        kept = self.pending_bytes + self.stored_bytes
        for error, quota, used, asked in (
            (PendingSessionsLimit, "max_pending_sessions", self.pending_sessions, 1),
            (StorageQuotaExceeded, "max_pending_bytes", self.pending_bytes, size),
            (StorageQuotaExceeded, "max_stored_bytes", kept, size),
            (AttachmentsLimit, "max_attachments", self.attachments, 1),
        ):
            limit: int | None = getattr(limits, quota)
            if limit is not None and used + asked > limit:
                return error(tenantId=tenant_id, quota=quota, limit=limit, used=used, asked=asked)
        return None


@dataclass(frozen=True, slots=True)
class Quotas:
    """The limits of every tenant: its own, or the common ones."""

    common: Limits = Limits()
    own: Mapping[str, Limits] = field(default_factory=dict)

    def of(self, tenant_id: str) -> Limits:
        return self.own.get(tenant_id, self.common)
