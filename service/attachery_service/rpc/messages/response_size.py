"""Answers about many things, no larger than a caller can receive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attachery_service.domain import inputs
from attachery_service.domain.errors import Violation
from attachery_service.domain.sessions import UploadSession
from attachery_service.rpc.messages.sessions import session_message
from attachery_service.rpc.status import MAX_STATUS_BYTES

# What gRPC clients receive unless told otherwise.
MAX_RESPONSE_BYTES = 4 << 20

# What a repeated message takes beside itself, and what a page token takes at most.
_FIELD_BYTES = 8
_TOKEN_BYTES = 256


def require_receivable(size: int, field: str) -> None:
    """Raises InvalidRequest: a caller who cannot receive the answer would learn no reason."""
    if size > MAX_RESPONSE_BYTES:
        rule = "must be fewer: their attachments do not fit into one answer"
        raise inputs.invalid(
            [Violation(field, "BATCH_TOO_LARGE", rule)],
            responseBytes=size,
            maxResponseBytes=MAX_RESPONSE_BYTES,
        )


def fitting(sessions: Sequence[UploadSession]) -> int:
    """How many of these, from the first, one answer can tell of: at least one."""
    total = 0
    for count, session in enumerate(sessions):
        total += session_message(session).ByteSize() + _FIELD_BYTES
        if total > MAX_RESPONSE_BYTES - _TOKEN_BYTES:
            return max(count, 1)
    return len(sessions)


def completed_size(sessions: Iterable[UploadSession]) -> int:
    """Bytes that suffice to tell what became of these sessions, before it is known.

    Session and attachment both show what was declared; checks, digests and the like take less than
    what is allowed for a status, which stands in place of all of it.
    """
    return sum(2 * session_message(each).ByteSize() + MAX_STATUS_BYTES for each in sessions)
