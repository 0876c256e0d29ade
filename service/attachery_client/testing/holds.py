"""The holds of the in-memory service."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp

from attachery.v1 import resources_pb2 as resources
from attachery_client import errors
from attachery_client.fields import duration, timestamp
from attachery_client.testing.upload import Upload

_SHORTEST, _LONGEST = timedelta(seconds=1), timedelta(days=7)


@dataclass(slots=True)
class _Held:
    hold: resources.Hold
    uploads: dict[str, Upload] = field(default_factory=dict)

    @property
    def time_left(self) -> timedelta:
        if self.hold.HasField("release_time"):
            return timedelta()
        return max(_moment(self.hold.expire_time) - datetime.now(UTC), timedelta())

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
        held.uploads.update({upload.session.attachment_id: upload for upload in uploads})
        held.prolong(request.hold_ttl.ToTimedelta())
        self._keep(held)
        return held.message()

    def extend(self, request: Any) -> resources.Hold:
        _check_ttl("ttl", request.ttl.ToTimedelta())
        held = self.find(request)
        facts = {"holdId": held.hold.hold_id}
        if held.hold.HasField("release_time"):
            released = _moment(held.hold.release_time).isoformat()
            raise errors.HoldReleased(facts={**facts, "releaseTime": released})
        if not held.time_left:
            expired = _moment(held.hold.expire_time).isoformat()
            raise errors.HoldExpired(facts={**facts, "expireTime": expired})
        held.prolong(request.ttl.ToTimedelta())
        self._keep(held)
        return held.message()

    def release(self, request: Any) -> resources.Hold:
        held = self.find(request)
        if not held.hold.HasField("release_time"):
            held.hold.release_time.GetCurrentTime()
            held.hold.consumed = request.consumed
            self._keep(held)
        return held.message()

    def end(self, hold_id: str) -> None:
        """Lets the time of a hold pass."""
        held = self._all[hold_id]
        held.hold.expire_time.GetCurrentTime()
        self._keep(held)

    def find(self, request: Any) -> _Held:
        held = self._all.get(request.hold_id)
        if held is None or held.hold.tenant_id != request.tenant_id:
            raise errors.HoldNotFound(facts={"holdId": request.hold_id})
        return held

    def require_none(self, upload: Upload) -> None:
        if ends := self._ends(upload):
            raise errors.AttachmentHeld(facts={"holdEndTime": max(ends).isoformat()})

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

    def _keep(self, changed: _Held) -> None:
        for attachment_id, upload in changed.uploads.items():
            if upload.state == "READY":
                session = upload.session
                own = self._own_ends.setdefault(attachment_id, _moment(session.object_purge_time))
                end = max([own, *self._ends(upload)])
                session.object_purge_time.FromDatetime(end)
                session.metadata_purge_time.FromDatetime(
                    max(end, _moment(session.metadata_purge_time))
                )

    def _ends(self, upload: Upload) -> list[datetime]:
        """The ends of all current holds of an upload."""
        return [
            _moment(held.hold.expire_time)
            for held in self._all.values()
            if held.time_left and upload.session.attachment_id in held.uploads
        ]


def check_wish(request: Any) -> None:
    """Raises InvalidRequest for an invalid hold in a Resolve."""
    if request.HasField("hold_ttl"):
        _check_ttl("hold_ttl", request.hold_ttl.ToTimedelta())
    elif request.hold_owner:
        raise _invalid("hold_owner", "INVALID_HOLD_OWNER", "must not stand without hold_ttl")


def _check_ttl(name: str, ttl: timedelta) -> None:
    if not _SHORTEST <= ttl <= _LONGEST:
        raise _invalid(name, "INVALID_HOLD_TTL", "must be 1 s to 604800 s")


def _invalid(name: str, reason: str, description: str) -> errors.InvalidRequest:
    violation = errors.Violation(name, reason, description)
    return errors.InvalidRequest(reason=reason, violations=[violation])


def _moment(time: Timestamp) -> datetime:
    return time.ToDatetime(UTC)
