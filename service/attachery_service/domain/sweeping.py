"""The sweep's changes of due sessions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct


class SweepEvent(StrEnum):
    """A change of a session, or of one of its objects.

    DISPOSED: its dead objects were deleted. FAILED_DELETES: objects that were not, and will be
    tried again.
    """

    EXPIRED = "expired"
    PURGED = "purged"
    RELEASED = "released"
    REMOVED = "removed"
    DISPOSED = "disposed"
    AUTO_COMPLETED = "auto_completed"
    FAILED_DELETES = "failed_deletes"


class SweptSession(Struct, frozen=True, kw_only=True):
    """A session that was due at `due_time` and was swept at `sweep_time`.

    `events`: the changes of its row. `dead_keys`: objects to be deleted now. `kept_key`: the one
    that remains, if any. `may_have_lost_copies`: a killed Complete may have left objects that
    no row names, and no more can appear. `auto_completes`: its upload is to be completed now.
    """

    tenant_id: str
    attachment_id: UUID
    revision: int
    due_time: datetime
    sweep_time: datetime
    events: Sequence[SweepEvent]
    dead_keys: Sequence[str]
    kept_key: str | None
    may_have_lost_copies: bool
    auto_completes: bool
