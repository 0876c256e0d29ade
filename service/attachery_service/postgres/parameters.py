"""Domain to the values of statements."""

from __future__ import annotations

import json

from attachery_service.domain.idempotency import RequestKey
from attachery_service.domain.quota import Limits
from attachery_service.domain.sessions import NewSession
from attachery_service.domain.transitions import Completion
from attachery_service.postgres.rows import from_checks, from_checksums


def request_values(request: RequestKey | None) -> tuple[str | None, str | None, bytes | None]:
    if request is None:
        return None, None, None
    return request.method, request.request_id, request.payload_digest


def limit_values(limits: Limits) -> tuple[int | None, int | None, int | None]:
    return limits.max_pending_sessions, limits.max_pending_bytes, limits.max_stored_bytes


def new_values(new: NewSession) -> tuple[object, ...]:
    """All but whose it is, and its id."""
    told = new.declaration
    return (
        new.purpose,
        told.filename,
        told.content_type,
        told.size,
        new.max_size,
        from_checksums(told.checksums),
        told.content_id,
        told.disposition,
        json.dumps(dict(told.metadata)),
        new.seal,
        new.upload_key,
        new.created_by,
        new.expire_time,
        new.ttl,
        new.min_ttl,
        new.max_ttl,
        new.object_retention,
        new.metadata_retention,
        new.auto_complete,
        new.declaration.is_inline,
    )


def completion_values(completion: Completion) -> tuple[object, ...]:
    return (
        from_checks(completion.checks),
        completion.sealed.key,
        completion.sealed.etag,
        completion.size,
        from_checksums(completion.checksums),
        completion.detected_content_type,
        completion.is_claimable,
    )
