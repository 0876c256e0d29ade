"""Simulated failures, and their form after transport over the network."""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from attachery.v1.errors_pb2 import ErrorReason
from attachery.v1.options_pb2 import ErrorDefinition, NextAction
from attachery.v1.options_pb2 import error as definition
from attachery_client import errors
from attachery_client.calls import Calls
from attachery_client.errors import AttacheryError
from attachery_client.status import class_of_reason
from attachery_client.transfer import TransferFailed

Failure = AttacheryError | type[AttacheryError] | str

TRANSFERS = frozenset({"send", "fetch"})
_RPCS = frozenset(
    name for name, _ in inspect.getmembers(Calls, inspect.isfunction) if name[0] != "_"
)

# Delays that the service sends with retryable errors.
_RATE_LIMIT_DELAY = timedelta(seconds=1)
_RETRY_DELAY = timedelta(milliseconds=200)

_DEFINITIONS: dict[str, ErrorDefinition] = {
    value.name.removeprefix("ERROR_REASON_"): value.GetOptions().Extensions[definition]
    for value in ErrorReason.DESCRIPTOR.values[1:]
}


@dataclass(slots=True)
class Planned:
    """`times`: how many calls are left that fail; None is all of them."""

    error: AttacheryError
    methods: frozenset[str]
    times: int | None
    answer_is_lost: bool


class Failures:
    """The planned failures, in the order of their planning."""

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


def as_received(error: AttacheryError, request_id: str = "") -> AttacheryError:
    """Returns a copy with the values that the service adds.

    The request id of the call, an attempt, an HTTP status, what to do next, and a delay for a
    retryable error.
    """
    received, defined = copy.copy(error), _definition_of(error)
    received.request_id = error.request_id or request_id or str(uuid4())
    received.attempts = error.attempts or 1
    if defined is not None:
        received.http_status = error.http_status or defined.http_status
        received.retryable = _is_retryable(error)
        received.retry_after = error.retry_after or _delay(received)
        action = NextAction.Name(defined.next_action).removeprefix("NEXT_ACTION_")
        received.next_action = error.next_action or action
        received.help_url = error.help_url or f"docs/errors.md#{error.reason}"
    return received


def _definition_of(error: AttacheryError) -> ErrorDefinition | None:
    """By its reason; for the class of several reasons, that of the first one."""
    fails_session = isinstance(error, errors.VerificationFailed)
    members = (
        defined
        for defined in _DEFINITIONS.values()
        if defined.code == error.code.value[0] and defined.fails_session == fails_session
    )
    return _DEFINITIONS.get(error.reason) or next(members, None)


def _is_retryable(error: AttacheryError) -> bool:
    """By its reason; for the class of several reasons, only if all of them are."""
    defined = _DEFINITIONS.get(error.reason)
    return error.retryable if defined is None else defined.retryable


def _delay(error: AttacheryError) -> timedelta | None:
    if not error.retryable:
        return None
    return _RATE_LIMIT_DELAY if isinstance(error, errors.ResourceExhausted) else _RETRY_DELAY


def _error_of(failure: Failure) -> AttacheryError:
    if isinstance(failure, AttacheryError):
        return failure
    if isinstance(failure, type):
        return failure()
    if failure not in _DEFINITIONS:
        raise ValueError(f"{failure!r} is not a reason of attachery.v1.ErrorReason")
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
