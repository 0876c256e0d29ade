"""Step `context`: reads the metadata of a call."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from attachery_service.rpc.context import (
    PREVIOUS_ATTEMPTS_KEY,
    REQUEST_ID_KEY,
    attempt_of,
    request_id_of,
)
from attachery_service.rpc.pipeline.calls import Call

CREDENTIAL_KEY: Final = "authorization"
_TRACE_KEY: Final = "traceparent"

# https://www.w3.org/TR/trace-context/#traceparent-header; later versions may append fields.
_TRACE: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?"
)


class ReadContext:
    """Takes the caller's request id, credential, attempt and trace context from the metadata.

    A key that occurs more than once counts as absent: a proxy may have judged another entry than
    this service would. Later steps reject a repeated credential or request id.
    """

    def process(self, calls: Sequence[Call]) -> None:
        for call in calls:
            entries = tuple(call.rpc.invocation_metadata() or ())
            # Values are text, except those of keys that end in `-bin`.
            given: dict[str, Any] = dict(entries)
            if len(given) != len(entries):
                call.repeated = _repeated_keys(entries)
                for key in call.repeated:
                    del given[key]
            call.request_id = request_id_of(given.get(REQUEST_ID_KEY))
            call.peer = call.rpc.peer()
            call.credential = given.get(CREDENTIAL_KEY)
            if PREVIOUS_ATTEMPTS_KEY in given:
                call.attempt = attempt_of(given[PREVIOUS_ATTEMPTS_KEY])
            if _TRACE_KEY in given and _TRACE.fullmatch(given[_TRACE_KEY]):
                call.traceparent = given[_TRACE_KEY]


def _repeated_keys(entries: Iterable[tuple[str, str | bytes]]) -> Collection[str]:
    counts = Counter(key for key, _ in entries)
    return frozenset(key for key, count in counts.items() if count > 1)
