"""Results of reading sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from msgspec import Struct

from attachery_service.domain.holds import Hold
from attachery_service.domain.idempotency import Outcome
from attachery_service.domain.sessions import UploadSession


class SessionLookup(Struct, frozen=True):
    """A session as read, and the stored outcome if the call's request id was used before."""

    session: UploadSession
    replayed_outcome: Outcome | None


class BatchLookup(Struct, frozen=True):
    """Sessions by id as read, and the stored outcome if the batch's request id was used before."""

    sessions: Mapping[UUID, SessionLookup]
    replayed_outcome: Outcome | None


class HoldContent(Struct, frozen=True):
    """A hold, and a page of the ids of its attachments, ascending."""

    hold: Hold
    attachment_ids: Sequence[UUID]


class HoldResult(Struct, frozen=True):
    """Sessions by id as read, and the hold on the usable ones; None if no session is held."""

    sessions: Mapping[UUID, UploadSession]
    hold: Hold | None
