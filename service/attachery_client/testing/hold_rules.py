"""Rules of the requests for holds. All functions raise InvalidRequest."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from attachery.v1 import attachments_pb2 as attachments
from attachery_client import errors

_SHORTEST, _LONGEST = timedelta(seconds=1), timedelta(days=7)


def check_wish(request: Any) -> None:
    """Checks the hold in a Resolve."""
    if request.HasField("hold_ttl"):
        check_ttl("hold_ttl", request.hold_ttl.ToTimedelta())
    if replaces(request):
        _check_replacement(request)
    elif request.hold_owner and not request.HasField("hold_ttl"):
        raise _invalid("hold_owner", "INVALID_HOLD_OWNER", "must not stand without hold_ttl")


def replaces(request: Any) -> bool:
    return bool(request.hold_mode == attachments.HOLD_MODE_REPLACE)


def check_ttl(name: str, ttl: timedelta) -> None:
    if not _SHORTEST <= ttl <= _LONGEST:
        raise _invalid(name, "INVALID_HOLD_TTL", "must be 1 s to 604800 s")


def check_name(request: Any) -> None:
    """Checks that a request has either the id of a hold or its owner."""
    if request.hold_id and request.hold_owner:
        raise _invalid("hold_owner", "INVALID_HOLD_OWNER", "must not stand with hold_id")
    if not request.hold_id and not request.hold_owner:
        raise _invalid("hold_id", "INVALID_HOLD_ID", "must be a lower-case, hyphenated UUID")


def check_listing(request: Any) -> None:
    if not request.hold_owner and not request.attachment_id:
        raise _invalid("hold_owner", "INVALID_HOLD_OWNER", "must be given without attachment_id")


def _check_replacement(request: Any) -> None:
    if not request.hold_owner:
        rule = "must be given with HOLD_MODE_REPLACE"
        raise _invalid("hold_owner", "INVALID_HOLD_OWNER", rule)
    if request.attachment_ids and not request.HasField("hold_ttl"):
        rule = "must be given with HOLD_MODE_REPLACE and ids"
        raise _invalid("hold_ttl", "INVALID_HOLD_TTL", rule)


def _invalid(name: str, reason: str, description: str) -> errors.InvalidRequest:
    violation = errors.Violation(name, reason, description)
    return errors.InvalidRequest(reason=reason, violations=[violation])
