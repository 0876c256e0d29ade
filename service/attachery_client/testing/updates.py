"""Updates of attachments in the in-memory service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from attachery.v1 import resources_pb2 as resources
from attachery_client import errors
from attachery_client.testing.filenames import normalize_filename
from attachery_client.testing.upload import ROW_RETENTION, TTL

_PATHS = (
    "filename",
    "content_id",
    "disposition",
    "is_inline",
    "metadata",
    "object_retention",
    "metadata_retention",
)


def check_update(request: Any) -> None:
    """Raises InvalidRequest for an invalid mask, revision or filename."""
    named = list(request.update_mask.paths)
    given = {field.name for field, _ in request.ListFields()}
    unnamed = [path for path in _PATHS if path in given and path not in named]
    if not named or len(set(named)) < len(named) or not set(named) <= set(_PATHS):
        raise _invalid("update_mask", "INVALID_UPDATE_MASK", "must name fields, each once")
    if unnamed:
        raise _invalid(unnamed[0], "INVALID_UPDATE_MASK", "must be named by update_mask")
    if "filename" in named and normalize_filename(request.filename) is None:
        raise _invalid("filename", "INVALID_FILENAME", "must be the name of a file")
    if request.HasField("expected_revision") and request.expected_revision < 1:
        raise _invalid("expected_revision", "INVALID_REVISION", "must be 1 or more")


def updated(session: resources.UploadSession, request: Any) -> resources.UploadSession:
    """A copy of the session with the values of the request. Raises InvalidRequest."""
    named, new = request.update_mask.paths, resources.UploadSession()
    new.CopyFrom(session)
    if "filename" in named:
        new.filename = normalize_filename(request.filename) or ""
    if "content_id" in named:
        new.content_id = request.content_id
    if "disposition" in named:
        implied = (
            resources.DISPOSITION_INLINE if new.content_id else resources.DISPOSITION_ATTACHMENT
        )
        new.disposition = request.disposition or implied
    if "is_inline" in named:
        implied_inline = new.disposition == resources.DISPOSITION_INLINE
        given = request.HasField("is_inline")
        new.is_inline = request.is_inline if given else implied_inline
    if "metadata" in named:
        new.ClearField("metadata")
        new.metadata.update(request.metadata)
    _set_purge_times(new, request)
    return new


def _set_purge_times(session: resources.UploadSession, request: Any) -> None:
    named, created = request.update_mask.paths, session.create_time.ToDatetime(UTC)
    if "object_retention" in named:
        end = created + _retention(request, "object_retention", TTL)
        # The session's deadline, which is also the end of its target.
        end = max(end, session.upload_url_expire_time.ToDatetime(UTC))
        if end <= datetime.now(UTC):
            raise _invalid("object_retention", "INVALID_OBJECT_RETENTION", "must end in the future")
        session.object_purge_time.FromDatetime(end)
    if "metadata_retention" in named:
        retention = _retention(request, "metadata_retention", ROW_RETENTION)
        session.metadata_purge_time.FromDatetime(created + retention)
    bytes_end = session.object_purge_time.ToDatetime(UTC)
    row_end = session.metadata_purge_time.ToDatetime(UTC)
    session.metadata_purge_time.FromDatetime(max(row_end, bytes_end))


def _retention(request: Any, name: str, default: timedelta) -> timedelta:
    return getattr(request, name).ToTimedelta() if request.HasField(name) else default


def _invalid(name: str, reason: str, rule: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(reason=reason, violations=[errors.Violation(name, reason, rule)])
