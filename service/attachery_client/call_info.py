"""The metadata of a response: request id, rate limit and number of attempts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from grpc import StatusCode

REQUEST_ID_KEY = "x-request-id"
ATTEMPT_KEY = "x-attempt"

_RATE_LIMIT_KEYS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")

_NUMBER = re.compile(r"[0-9]{1,10}")

Trailers = Mapping[str, str | bytes]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The limit of calls that the response's call counts towards.

    `limit`: calls per window. `remaining`: calls that are left now. `reset`: the time from which at
    least one more is left.
    """

    limit: int
    remaining: int
    reset: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CallInfo:
    """A finished call, without its request and response.

    - `method`: the name of the RPC, such as `CompleteUploadSession`.
    - `request_id`: of this call, as in the service's logs.
    - `code`, `reason`: OK and empty if it succeeded, else those of its AttacheryError.
    - `attempts`: the number of attempts that it took; None if the last one was not answered by the
      service, or by one of an earlier release.
    - `rate_limit`: None for a call that has no limit, or was not answered.
    - `retry_after`: the delay before the next attempt; None if the service sent none.
    """

    method: str
    request_id: str
    code: StatusCode = StatusCode.OK
    reason: str = ""
    attempts: int | None = None
    rate_limit: RateLimit | None = None
    retry_after: timedelta | None = None


def trailers_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> Trailers:
    """The trailing metadata by key. Empty for a response that an interceptor made."""
    return {str(key): value for key, value in metadata or ()}


def request_id_of(trailers: Trailers) -> str:
    """The request id that the service returned; empty without one."""
    echoed = trailers.get(REQUEST_ID_KEY)
    return echoed if isinstance(echoed, str) else ""


def attempts_of(trailers: Trailers) -> int | None:
    return _number(trailers, ATTEMPT_KEY)


def rate_limit_of(trailers: Trailers) -> RateLimit | None:
    """None unless the response has the whole limit."""
    limit, remaining, reset = (_number(trailers, key) for key in _RATE_LIMIT_KEYS)
    if limit is None or remaining is None or reset is None:
        return None
    return RateLimit(limit, remaining, datetime.fromtimestamp(reset, UTC))


def _number(trailers: Trailers, key: str) -> int | None:
    value = trailers.get(key)
    return int(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None
