"""The log line of each call.

Formatted here and not by structlog, because only the values differ from line to line.

Gain: 6 µs of CPU per line; structlog takes 13 µs in a loop and 55 µs within a loaded Get (CPython
3.11, structlog 26.1). There is no switch; tests compare the lines with `json`'s.
"""

from __future__ import annotations

from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted

import grpc
import structlog

from attachery_service.domain.errors import AttacheryError, Internal, Unavailable
from attachery_service.observability.logs import write_info
from attachery_service.rpc.context import CallContext

_log = structlog.get_logger("attachery.rpc")

# The tenant id may be unvalidated here; it is truncated to its maximum length.
LONGEST_TENANT = 128


def log_call(
    call: CallContext, code: grpc.StatusCode, reason: str, seconds: float, cause: str = ""
) -> None:
    """Writes the one line of a call. `reason` is empty unless the call failed."""
    because = f'"cause": {quoted(cause)}, ' if cause else ""
    trace = _trace_text(call) if call.traceparent else ""
    subject = call.principal.subject
    acting = f'"subject": {quoted(subject)}, ' if subject else ""
    write_info(
        f'{{"event": "rpc", "level": "info", "logger": "attachery.rpc", '
        f'"method": {quoted(call.method)}, "request_id": {quoted(call.request_id)}, '
        f'"tenant": {_or_null(call.tenant_id and call.tenant_id[:LONGEST_TENANT])}, '
        f'"principal": {_or_null(call.principal.name or None)}, {acting}'
        f'{trace}"peer": {quoted(call.peer)}, "attempt": {call.attempt}, '
        f'"code": "{code.name}", "reason": {quoted(reason)}, {because}"ms": {seconds * 1000:.2f}, '
        f'"timestamp": "{datetime.now(UTC).isoformat(timespec="microseconds")[:-6]}Z"}}'
    )


def log_fault(call: CallContext, error: AttacheryError, **more: object) -> None:
    """Logs the cause of a fault of the service or of a dependency, with its traceback.

    A caller's mistake is in the call's own line only, even if an exception caused it.
    """
    if error.__cause__ is not None and isinstance(error, Internal | Unavailable):
        facts = {"facts": error.facts, "reason": error.reason}
        _log.warning("fault", **names_of(call), **facts, **more, exc_info=error.__cause__)


def cause_of(error: AttacheryError) -> str:
    """The type of the exception that caused an error; empty without one.

    Never its text, which may quote a credential.
    """
    return "" if error.__cause__ is None else type(error.__cause__).__name__


def names_of(call: CallContext) -> dict[str, object]:
    """The fields that identify a call in the log."""
    subject = call.principal.subject
    return {
        "method": call.method,
        "request_id": call.request_id,
        "tenant": call.tenant_id and call.tenant_id[:LONGEST_TENANT],
        "principal": call.principal.name or None,
        **({"subject": subject} if subject else {}),
        **_trace_of(call),
        "peer": call.peer,
        "attempt": call.attempt,
    }


def _trace_of(call: CallContext) -> dict[str, str]:
    """The ids of the caller's trace and span, of a valid W3C trace context only."""
    if not call.traceparent:
        return {}
    _, trace_id, parent_id, *_ = call.traceparent.split("-")
    return {"trace_id": trace_id, "parent_id": parent_id}


def _trace_text(call: CallContext) -> str:
    return "".join(f'"{name}": "{value}", ' for name, value in _trace_of(call).items())


def _or_null(text: str | None) -> str:
    return "null" if text is None else quoted(text)
