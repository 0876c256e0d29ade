"""Converts domain values to the parameters of statements."""

from __future__ import annotations

import json

from attachery_service.domain.idempotency import RequestKey
from attachery_service.domain.new_session import NewSession
from attachery_service.domain.quota import Limits
from attachery_service.domain.transitions import Completion
from attachery_service.postgres.rows import from_checks, from_checksums


def request_values(request: RequestKey | None) -> tuple[str | None, str | None, bytes | None]:
    if request is None:
        return None, None, None
    return request.method, request.request_id, request.payload_digest


def limit_values(limits: Limits) -> tuple[int | None, int | None, int | None]:
    return limits.max_pending_sessions, limits.max_pending_bytes, limits.max_stored_bytes


def new_values(new: NewSession) -> tuple[object, ...]:
    """Returns the values of a new session but its tenant and its id."""
    command, declared = new.command, new.command.declaration
    return (
        command.purpose,
        declared.filename,
        declared.content_type,
        declared.size,
        command.policy.max_size,
        from_checksums(declared.checksums),
        declared.content_id,
        declared.disposition,
        json.dumps(dict(declared.metadata)),
        new.seal,
        new.upload_key,
        new.created_by,
        command.expire_time,
        command.ttl,
        command.policy.min_ttl,
        command.policy.max_ttl,
        command.object_retention,
        command.metadata_retention,
        command.auto_complete,
        declared.is_inline,
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
