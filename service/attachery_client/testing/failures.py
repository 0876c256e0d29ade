"""Failures that a test asks for, and how an exception looks that has come over the network."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar
from uuid import uuid4

from attachery.v1.errors_pb2 import ErrorReason
from attachery_client import errors
from attachery_client.calls import Calls
from attachery_client.errors import AttacheryError
from attachery_client.status import class_of_reason
from attachery_client.transfer import TransferFailed

T = TypeVar("T")
Failure = AttacheryError | type[AttacheryError] | str

TRANSFERS = frozenset({"send", "fetch"})
_RPCS = frozenset(
    name for name, member in vars(Calls).items() if name[0] != "_" and callable(member)
)

# The service's own: that of the nearest class. What a gateway answers.
_HTTP_STATUS: dict[type[AttacheryError], int] = {
    errors.InvalidRequest: 400,
    errors.Unauthenticated: 401,
    errors.PermissionDenied: 403,
    errors.NotFound: 404,
    errors.FailedPrecondition: 409,
    errors.UploadExpired: 410,
    errors.ObjectPurged: 410,
    errors.HoldExpired: 410,
    errors.ObjectNotUploaded: 422,
    errors.VerificationFailed: 422,
    errors.ResourceExhausted: 402,
    errors.RateLimited: 429,
    errors.Aborted: 409,
    errors.Unavailable: 503,
    errors.DeadlineExceeded: 504,
    errors.Internal: 500,
    errors.Unimplemented: 501,
    errors.DataLoss: 500,
}
_RETRY_AFTER: dict[type[AttacheryError], timedelta] = {
    errors.RateLimited: timedelta(seconds=1),
    errors.Aborted: timedelta(milliseconds=200),
    errors.Unavailable: timedelta(milliseconds=200),
}


@dataclass(slots=True)
class Planned:
    """`times`: how many calls are left that fail; None is all of them."""

    error: AttacheryError
    methods: frozenset[str]
    times: int | None
    answer_is_lost: bool


class Failures:
    """Those that were asked for, the first one first."""

    def __init__(self) -> None:
        self._planned: list[Planned] = []

    def add(
        self, failure: Failure, method: str | None, times: int | None, *, answer_is_lost: bool
    ) -> None:
        """Raises ValueError for a reason or method that does not exist, or `times` below 1."""
        if times is not None and times < 1:
            raise ValueError("times must be at least 1, or None for every call")
        error = _error_of(failure)
        methods = _methods_of(method, error)
        self._planned.append(Planned(error, methods, times, answer_is_lost))

    def clear(self) -> None:
        self._planned.clear()

    def take(self, method: str) -> Planned | None:
        """The failure of this call, if it is to fail."""
        planned = next((p for p in self._planned if method in p.methods), None)
        if planned is not None and planned.times is not None:
            planned.times -= 1
            if not planned.times:
                self._planned.remove(planned)
        return planned


def as_received(error: AttacheryError) -> AttacheryError:
    """A new exception with what the service adds to each: a request id, an HTTP status, and for
    what may pass the time to wait."""
    received = copy.copy(error)
    received.request_id = error.request_id or str(uuid4())
    received.http_status = error.http_status or _nearest(_HTTP_STATUS, error)
    received.retry_after = error.retry_after or _nearest(_RETRY_AFTER, error)
    return received


def _nearest(by_class: dict[type[AttacheryError], T], error: AttacheryError) -> T | None:
    return next((by_class[c] for c in type(error).__mro__ if c in by_class), None)


def _error_of(failure: Failure) -> AttacheryError:
    if isinstance(failure, AttacheryError):
        return failure
    if isinstance(failure, type):
        return failure()
    names = [name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()[1:]]
    if failure not in names:
        raise ValueError(f"{failure!r} is no reason of attachery.v1.ErrorReason")
    return class_of_reason(failure)(reason=failure)


def _methods_of(method: str | None, error: AttacheryError) -> frozenset[str]:
    possible = TRANSFERS if isinstance(error, TransferFailed) else _RPCS
    if method is None:
        return possible
    if method not in _RPCS | TRANSFERS:
        named = ", ".join(sorted(_RPCS | TRANSFERS))
        raise ValueError(f"{method!r} is none of {named}")
    if method not in possible:
        raise ValueError(f"{method} does not raise {type(error).__name__}")
    return frozenset({method})
