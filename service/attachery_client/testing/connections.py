"""Connection tokens of the fake: well-formed answers, without a right behind them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from attachery.v1 import access_pb2 as access
from attachery_client import errors
from attachery_client.fields import duration, timestamp

_SUBJECT = re.compile(r"[\x21-\x7e]{1,128}")
_SCOPES = {"attachments.read", "uploads.complete", "uploads.create", "uploads.read"}
_MOST_PURPOSES = 20
_MIN_TTL, _DEFAULT_TTL, _MAX_TTL = timedelta(seconds=60), timedelta(hours=1), timedelta(hours=24)


def create_token(request: Any) -> access.CreateConnectionTokenResponse:
    """Raises InvalidRequest. The only purpose is `default`."""
    _check_subject(request)
    ttl = request.ttl.ToTimedelta() if request.HasField("ttl") else _DEFAULT_TTL
    if not _MIN_TTL <= ttl <= _MAX_TTL:
        raise _invalid("ttl", "INVALID_TTL")
    if not 1 <= len(request.purposes) <= _MOST_PURPOSES or set(request.purposes) != {"default"}:
        raise _invalid("purposes", "INVALID_PURPOSES")
    if not set(request.scopes) <= _SCOPES:
        raise _invalid("scopes", "INVALID_SCOPES")
    return access.CreateConnectionTokenResponse(
        token=f"attc_fake_{uuid4().hex}",
        expire_time=timestamp(datetime.now(UTC) + ttl),
        ttl=duration(ttl),
    )


def revoke_tokens(request: Any) -> access.RevokeConnectionTokensResponse:
    """Raises InvalidRequest."""
    _check_subject(request)
    return access.RevokeConnectionTokensResponse(revoke_time=timestamp(datetime.now(UTC)))


def _check_subject(request: Any) -> None:
    if not _SUBJECT.fullmatch(request.subject):
        raise _invalid("subject", "INVALID_SUBJECT")


def _invalid(field: str, reason: str) -> errors.InvalidRequest:
    violation = errors.Violation(field, reason, "must be as the service requires")
    return errors.InvalidRequest(reason=reason, violations=[violation])
