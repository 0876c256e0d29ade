"""Converts unexpected exceptions to errors of the contract.

A servicer's bug must not reach callers as gRPC would send it: UNKNOWN, with the exception's text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from attachery_service.domain.errors import (
    AttacheryError,
    DeadlineExceeded,
    ShuttingDown,
    UnexpectedError,
)
from attachery_service.rpc.call_log import names_of
from attachery_service.rpc.in_flight import InFlight
from attachery_service.rpc.pipeline.calls import Call

_log = structlog.get_logger("attachery.rpc")


def error_of(
    failure: BaseException, calls: Sequence[Call], in_flight: InFlight
) -> AttacheryError | None:
    """The error that answers the calls; None if their task was cancelled by their caller.

    To be called while the exception is handled.
    """
    if isinstance(failure, asyncio.CancelledError):
        return _cancelled(calls, in_flight)
    if isinstance(failure, TimeoutError):
        error: AttacheryError = DeadlineExceeded()
    else:
        _log.exception("bug", **names_of(calls[0]))
        error = UnexpectedError()
    error.__cause__ = failure
    return error


def _cancelled(calls: Sequence[Call], in_flight: InFlight) -> AttacheryError | None:
    task = asyncio.current_task()
    if task is None or not task.cancelling():
        # gRPC sends no answer for a handler that raises CancelledError without being cancelled.
        _log.exception("leaked cancellation", **names_of(calls[0]))
        return UnexpectedError()
    if not in_flight.is_cut_off:
        return None
    task.uncancel()
    return ShuttingDown()
