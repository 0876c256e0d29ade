"""Updates: corrections of an attachment's declaration, and of its retention."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from attachery_service.domain.declarations import Disposition
from attachery_service.domain.policy import Policy
from attachery_service.domain.retention import check_retentions
from attachery_service.domain.sessions import ReadySession
from attachery_service.domain.validation import Validator

# The fields that can be updated, in the order of the request.
PATHS: Final = (
    "filename",
    "content_id",
    "disposition",
    "is_inline",
    "metadata",
    "object_retention",
    "metadata_retention",
)


class Update(Struct, frozen=True, kw_only=True):
    """A validated update. Fields that `paths` does not name are None, and stay as they are.

    A named field that is None has no `content_id`, the `disposition` that follows from the content
    id, the `is_inline` that follows from the disposition, or the policy's retention.
    """

    paths: AbstractSet[str]
    filename: str | None
    content_id: str | None
    disposition: Disposition | None
    is_inline: bool | None
    metadata: Mapping[str, str] | None
    object_retention: timedelta | None
    metadata_retention: timedelta | None
    expected_revision: int | None


class PurgeTimes(Struct, frozen=True):
    """The new purge times of the bytes and of the row, without holds; None stays."""

    of_object: datetime | None
    of_metadata: datetime | None


def new_purge_times(update: Update, session: ReadySession, policy: Policy) -> PurgeTimes:
    """Raises InvalidRequest if the policy forbids a retention, or that of the bytes has ended."""
    validator = Validator()
    check_retentions(validator, update.object_retention, update.metadata_retention, policy)
    validator.raise_if_invalid()
    of_object = of_metadata = None
    if "object_retention" in update.paths:
        end = session.create_time + (update.object_retention or policy.object_retention)
        of_object = max(end, session.expire_time)
    if of_object is not None and of_object <= session.read_time:
        rule = "must end in the future"
        validator.reject("object_retention", "INVALID_OBJECT_RETENTION", rule)
        validator.raise_if_invalid()
    if "metadata_retention" in update.paths:
        retention = update.metadata_retention or policy.metadata_retention
        of_metadata = session.create_time + retention
    return PurgeTimes(of_object, of_metadata)
