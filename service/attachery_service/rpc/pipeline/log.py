"""Step `log`: writes the line of a call."""

from __future__ import annotations

from collections.abc import Sequence

from attachery_service.domain.errors import AttacheryError, UnexpectedError
from attachery_service.rpc.call_log import cause_of, log_call, log_fault
from attachery_service.rpc.pipeline.calls import Call


class LogCalls:
    """Logs each call, after the cause of its failure if that is a fault."""

    def process(self, calls: Sequence[Call]) -> None:
        for call in calls:
            cause = ""
            if isinstance(call.error, AttacheryError):
                cause = cause_of(call.error)
                # An unexpected one has been logged with its traceback.
                if not isinstance(call.error, UnexpectedError):
                    log_fault(call, call.error)
            log_call(call, call.code, call.reason, call.seconds, cause)
