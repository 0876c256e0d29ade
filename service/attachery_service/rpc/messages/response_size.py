"""Sizes of responses, which must not exceed the size that a client can receive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attachery_service.domain.errors import Violation
from attachery_service.domain.sessions import UploadSession
from attachery_service.domain.validation import invalid
from attachery_service.rpc.messages.sessions import session_message
from attachery_service.rpc.status import MAX_STATUS_BYTES

# The default limit of gRPC clients.
MAX_RESPONSE_BYTES = 4 << 20

# The header of a repeated message, and the longest page token.
_FIELD_BYTES = 8
_TOKEN_BYTES = 256


class ResponseSize:
    """The sizes of responses that contain sessions: the ports of `ports.responses`."""

    def max_items_that_fit(self, sessions: Sequence[UploadSession]) -> int:
        total = 0
        for count, session in enumerate(sessions):
            total += session_message(session).ByteSize() + _FIELD_BYTES
            if total > MAX_RESPONSE_BYTES - _TOKEN_BYTES:
                return max(count, 1)
        return len(sessions)

    def check_response_size(self, sessions: Sequence[UploadSession]) -> None:
        check_response_size(worst_case_size(sessions), "items")


def check_response_size(size: int, field: str) -> None:
    """Raises InvalidRequest, since a client would not see the reason of a response too large."""
    if size > MAX_RESPONSE_BYTES:
        rule = "must be fewer: their attachments do not fit into one answer"
        raise invalid(
            [Violation(field, "BATCH_TOO_LARGE", rule)],
            responseBytes=size,
            maxResponseBytes=MAX_RESPONSE_BYTES,
        )


def worst_case_size(sessions: Iterable[UploadSession]) -> int:
    """Returns an upper bound of the size of the sessions' results, in bytes.

    Session and attachment both contain the declaration; checks and digests take less than the limit
    of a status, which replaces all of it.
    """
    return sum(2 * session_message(each).ByteSize() + MAX_STATUS_BYTES for each in sessions)
