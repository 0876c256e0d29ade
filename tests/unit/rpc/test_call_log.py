"""The line of a call, against JSON as the standard library writes it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attachery_service.domain.identity import Connection, Principal
from attachery_service.observability.logs import configure_logs
from attachery_service.rpc.call_log import LONGEST_TENANT, log_call
from attachery_service.rpc.context import ANONYMOUS, CallContext

TRACE_IDS = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "parent_id": "00f067aa0ba902b7"}
TRACE = f"00-{TRACE_IDS['trace_id']}-{TRACE_IDS['parent_id']}-01"

texts = st.text(max_size=200)
principals = st.builds(
    Principal,
    name=texts,
    tenants=st.none(),
    scopes=st.just(frozenset()),
    session=st.none(),
    connection=st.none() | st.builds(Connection, texts.filter(bool), st.just(frozenset())),
)
calls = st.builds(
    CallContext,
    method=texts,
    request_id=texts,
    attempt=st.integers(1, 99),
    peer=texts,
    principal=st.just(ANONYMOUS) | principals,
    tenant_id=st.none() | texts,
    traceparent=st.sampled_from(["", TRACE, f"{TRACE}-more"]),
)


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls, st.sampled_from(grpc.StatusCode), texts, st.floats(0, 1e5))
def test_the_line_equals_json(
    capsys: pytest.CaptureFixture[str],
    call: CallContext,
    code: grpc.StatusCode,
    reason: str,
    seconds: float,
) -> None:
    log_call(call, code, reason, seconds)
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    moment = datetime.fromisoformat(said.pop("timestamp"))
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)
    assert said.pop("ms") == pytest.approx(seconds * 1000, abs=0.006)
    subject = call.principal.subject
    assert said == {
        **({"subject": subject} if subject else {}),
        "event": "rpc",
        "level": "info",
        "logger": "attachery.rpc",
        "method": call.method,
        "request_id": call.request_id,
        "tenant": call.tenant_id and call.tenant_id[:LONGEST_TENANT],
        "principal": call.principal.name or None,
        **(TRACE_IDS if call.traceparent else {}),
        "peer": call.peer,
        "attempt": call.attempt,
        "code": code.name,
        "reason": reason,
    }


def test_it_repeats_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    call = CallContext(method="m", request_id=f"attk_{'0' * 16}_{'a' * 64}")
    log_call(call, grpc.StatusCode.OK, "", 0)
    assert "a" * 64 not in capsys.readouterr().err


def test_it_is_left_out_above_its_level(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("warning")
    try:
        log_call(CallContext(method="m"), grpc.StatusCode.OK, "", 0)
    finally:
        configure_logs()
    assert capsys.readouterr().err == ""
