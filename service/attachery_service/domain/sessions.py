"""Upload sessions, and the attachments they become: one row, one id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import assert_never
from uuid import UUID

from attachery_service.domain.checksums import Checksums
from attachery_service.domain.errors import (
    AttacheryError,
    AttachmentHeld,
    ObjectPurged,
    UploadAlreadyCompleted,
    UploadCancelled,
    UploadExpired,
    UploadFailed,
    UploadNotReady,
)


class SessionState(StrEnum):
    """Where a session stands. PENDING ends in one of the others, and READY may become DELETED."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DELETED = "deleted"


class Disposition(StrEnum):
    """How a consumer should show an attachment (RFC 6266)."""

    ATTACHMENT = "attachment"
    INLINE = "inline"


class Seal(StrEnum):
    """How verified bytes are put out of reach of every URL ever handed out.

    WRITE_ONCE: the upload URL can create its key once and never replace it, so the uploaded object
    is final. COPY: the service copies the verified object to a key no URL was ever signed for.
    """

    WRITE_ONCE = "write_once"
    COPY = "copy"


@dataclass(frozen=True, slots=True)
class SealedObject:
    """Exactly the verified bytes in the store: a key, pinned by its ETag (quotes stripped)."""

    key: str
    etag: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a session is FAILED: the reason and facts its Complete answered with."""

    reason: str
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What the caller said of a file at Start, validated and normalised. Sizes in bytes."""

    filename: str
    content_type: str
    size: int | None
    checksums: Checksums
    content_id: str | None
    disposition: Disposition
    is_inline: bool
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A session about to be stored. Its clocks start with the database's now.

    It ends at `expire_time` if given, else after `ttl`; either way between `min_ttl` and `max_ttl`
    from now.
    """

    tenant_id: str
    attachment_id: UUID
    declaration: Declaration
    purpose: str
    max_size: int
    seal: Seal
    upload_key: str
    ttl: timedelta
    expire_time: datetime | None
    min_ttl: timedelta
    max_ttl: timedelta
    object_retention: timedelta
    metadata_retention: timedelta
    auto_complete: bool
    created_by: str

    @property
    def reserved(self) -> int:
        """The bytes it may bring: as declared, else as many as the policy takes."""
        return self.max_size if self.declaration.size is None else self.declaration.size


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    """Which sessions of a tenant; empty or None where nothing restricts."""

    states: tuple[SessionState, ...]
    purpose: str | None
    create_time_from: datetime | None
    create_time_before: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSession:
    """A session as stored, its clocks applied at `read_time`, the database's clock.

    `object_purge_time` is when its bytes go: by their own clock, or at the end of the last hold,
    which is `held_until`. `is_claimable`: the service completed it by itself, and the uploader's
    own Complete has not come yet.
    """

    tenant_id: str
    attachment_id: UUID
    state: SessionState
    revision: int
    declaration: Declaration
    purpose: str
    max_size: int
    seal: Seal
    upload_key: str
    auto_complete: bool
    is_claimable: bool
    created_by: str
    create_time: datetime
    update_time: datetime
    expire_time: datetime
    upload_url_expire_time: datetime
    complete_time: datetime | None
    object_purge_time: datetime
    metadata_purge_time: datetime
    held_until: datetime | None
    sealed: SealedObject | None
    size: int | None
    verified_checksums: Checksums
    detected_content_type: str | None
    failure: Failure | None
    read_time: datetime

    @property
    def time_left(self) -> timedelta:
        """Until the deadline; negative once it has passed."""
        return self.expire_time - self.read_time

    @property
    def can_be_claimed(self) -> bool:
        """Whether the uploader's Complete is verified, though the session is READY already."""
        return self.is_claimable and self.state is SessionState.READY

    def require_not_held(self) -> None:
        """Raises AttachmentHeld."""
        if self.held_until is not None and self.held_until > self.read_time:
            raise AttachmentHeld(holdEndTime=self.held_until.isoformat())

    def require_pending(self) -> None:
        """Raises the error that Complete and Cancel answer in every other state."""
        if (error := self._not_pending()) is not None:
            raise error

    def require_attachment(self) -> SealedObject:
        """The object that was sealed. Raises UploadNotReady, or the error of a dead end."""
        if self.sealed is None:
            raise self._not_pending() or UploadNotReady(state=self.state.name)
        return self.sealed

    def require_bytes(self) -> SealedObject:
        """The sealed object, still there. Raises as `require_attachment`, and ObjectPurged."""
        sealed = self.require_attachment()
        if self.state is SessionState.DELETED:
            raise ObjectPurged(objectPurgeTime=self.object_purge_time.isoformat())
        return sealed

    def _not_pending(self) -> AttacheryError | None:
        match self.state:
            case SessionState.PENDING:
                return None
            case SessionState.READY | SessionState.DELETED:
                return UploadAlreadyCompleted(state=self.state.name)
            case SessionState.FAILED:
                cause = self.failure.reason if self.failure else None
                return UploadFailed(state=self.state.name, failureReason=cause)
            case SessionState.CANCELLED:
                return UploadCancelled(state=self.state.name)
            case SessionState.EXPIRED:
                return UploadExpired(state=self.state.name, expireTime=self.expire_time.isoformat())
            case _:
                assert_never(self.state)


# What stays as it is until the session changes; `read_time` is another one in every call.
LASTING = tuple(field.name for field in fields(UploadSession) if field.name != "read_time")
lasting_of = attrgetter(*LASTING)
