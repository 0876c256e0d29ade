"""The holds of the in-memory service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp

from attachery.v1 import resources_pb2 as resources
from attachery_client import errors
from attachery_client.fields import duration, timestamp
from attachery_client.testing.hold_rules import (
    check_listing,
    check_name,
    check_ttl,
    replaces,
)
from attachery_client.testing.upload import Upload


@dataclass(slots=True)
class _Held:
    hold: resources.Hold
    uploads: dict[str, Upload] = field(default_factory=dict)

    @property
    def time_left(self) -> timedelta:
        if self.hold.HasField("release_time"):
            return timedelta()
        return max(_moment(self.hold.expire_time) - datetime.now(UTC), timedelta())

    @property
    def attachment_ids(self) -> list[str]:
        """The ids of its attachments, ascending; none once it is released."""
        return [] if self.hold.HasField("release_time") else sorted(self.uploads)

    def message(self) -> resources.Hold:
        """The hold as it is now."""
        self.hold.ttl.FromTimedelta(self.time_left)
        self.hold.attachment_count = len(self.uploads)
        return self.hold

    def prolong(self, ttl: timedelta) -> None:
        end = max(_moment(self.hold.expire_time), datetime.now(UTC) + ttl)
        self.hold.expire_time.FromDatetime(end)


class Holds:
    """All holds, and the lifetimes of the attachments that they extend."""

    def __init__(self) -> None:
        self._all: dict[str, _Held] = {}
        # Purge times of the attachments that were ever held, without their holds.
        self._own_ends: dict[str, datetime] = {}

    def take(self, request: Any, uploads: Iterable[Upload]) -> resources.Hold:
        held = self._of_owner(request) or self._new(request)
        before = dict(held.uploads)
        if replaces(request):
            held.uploads.clear()
        held.uploads.update({upload.session.attachment_id: upload for upload in uploads})
        held.prolong(request.hold_ttl.ToTimedelta())
        self._keep({**before, **held.uploads})
        return held.message()

    def extend(self, request: Any) -> resources.Hold:
        check_ttl("ttl", request.ttl.ToTimedelta())
        held = self.find(request)
        facts = {"holdId": held.hold.hold_id}
        if held.hold.HasField("release_time"):
            released = _moment(held.hold.release_time).isoformat()
            raise errors.HoldReleased(facts={**facts, "releaseTime": released})
        if not held.time_left:
            expired = _moment(held.hold.expire_time).isoformat()
            raise errors.HoldExpired(facts={**facts, "expireTime": expired})
        held.prolong(request.ttl.ToTimedelta())
        self._keep(held.uploads)
        return held.message()

    def release(self, request: Any) -> resources.Hold:
        held = self.find(request)
        self._release(held, consumed=request.consumed)
        return held.message()

    def release_of_owner(self, request: Any) -> resources.Hold | None:
        """Releases the owner's hold. Returns None unless it was live."""
        held = self._of_owner(request)
        was_live = held is not None and bool(held.time_left)
        if held is not None:
            self._release(held, consumed=False)
        return held.message() if held is not None and was_live else None

    def page(self, request: Any) -> list[resources.Hold]:
        """Returns the live holds of an owner and on an attachment."""
        check_listing(request)
        return [
            held.message()
            for held in self._all.values()
            if held.time_left
            and held.hold.tenant_id == request.tenant_id
            and request.hold_owner in ("", held.hold.owner)
            and (not request.attachment_id or request.attachment_id in held.uploads)
        ]

    def end(self, hold_id: str) -> None:
        """Lets the time of a hold pass."""
        held = self._all[hold_id]
        held.hold.expire_time.GetCurrentTime()
        self._keep(held.uploads)

    def find(self, request: Any) -> _Held:
        """Finds a hold by its id, or an owner's live one."""
        check_name(request)
        if request.hold_owner:
            held = self._of_owner(request)
            if held is None or not held.time_left:
                raise errors.HoldNotFound(facts={"holdOwner": request.hold_owner})
            return held
        held = self._all.get(request.hold_id)
        if held is None or held.hold.tenant_id != request.tenant_id:
            raise errors.HoldNotFound(facts={"holdId": request.hold_id})
        return held

    def require_none(self, upload: Upload) -> None:
        if ends := self._ends(upload):
            raise errors.AttachmentHeld(facts={"holdEndTime": max(ends).isoformat()})

    def without(self, upload: Upload) -> resources.UploadSession:
        """A copy of the session, with the purge time that it has without holds."""
        session = resources.UploadSession()
        session.CopyFrom(upload.session)
        if own := self._own_ends.get(session.attachment_id):
            session.object_purge_time.FromDatetime(own)
        return session

    def set_session(self, upload: Upload, session: resources.UploadSession) -> None:
        """Gives the upload a session without holds, and applies its holds to it."""
        upload.session.CopyFrom(session)
        self._own_ends.pop(session.attachment_id, None)
        self._prolong(upload)

    def _of_owner(self, request: Any) -> _Held | None:
        wanted = (request.tenant_id, request.hold_owner)
        return next(
            (
                held
                for held in self._all.values()
                if request.hold_owner
                and (held.hold.tenant_id, held.hold.owner) == wanted
                and not held.hold.HasField("release_time")
            ),
            None,
        )

    def _new(self, request: Any) -> _Held:
        now = timestamp(datetime.now(UTC))
        hold = resources.Hold(
            hold_id=str(uuid4()),
            tenant_id=request.tenant_id,
            owner=request.hold_owner,
            create_time=now,
            expire_time=now,
            ttl=duration(timedelta()),
        )
        return self._all.setdefault(hold.hold_id, _Held(hold))

    def _release(self, held: _Held, *, consumed: bool) -> None:
        if not held.hold.HasField("release_time"):
            held.hold.release_time.GetCurrentTime()
            held.hold.consumed = consumed
            self._keep(held.uploads)

    def _keep(self, changed: Mapping[str, Upload]) -> None:
        for upload in changed.values():
            if upload.state == "READY":
                self._prolong(upload)

    def _prolong(self, upload: Upload) -> None:
        session = upload.session
        own = _moment(session.object_purge_time)
        own = self._own_ends.setdefault(session.attachment_id, own)
        end = max([own, *self._ends(upload)])
        session.object_purge_time.FromDatetime(end)
        session.metadata_purge_time.FromDatetime(max(end, _moment(session.metadata_purge_time)))

    def _ends(self, upload: Upload) -> list[datetime]:
        """The ends of all current holds of an upload."""
        return [
            _moment(held.hold.expire_time)
            for held in self._all.values()
            if held.time_left and upload.session.attachment_id in held.uploads
        ]


def _moment(time: Timestamp) -> datetime:
    return time.ToDatetime(UTC)
