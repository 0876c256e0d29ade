"""Steps `status`, `metrics` and `log`: the recorded results of a call, and its response."""

from __future__ import annotations

import asyncio
import json

import grpc
import pytest
from google.rpc import status_pb2
from prometheus_client import CollectorRegistry

from attachery_service.domain.errors import DatabaseUnavailable, TenantDenied, UnexpectedError
from attachery_service.observability.logs import configure_logs
from attachery_service.rpc.accept.refusals import Refusals
from attachery_service.rpc.context import PlainStatusError
from attachery_service.rpc.metrics import RpcMetrics
from attachery_service.rpc.pipeline.calls import Call
from attachery_service.rpc.pipeline.log import LogCalls
from attachery_service.rpc.pipeline.metrics import CountCalls, CountStreams
from attachery_service.rpc.pipeline.status import SetStatus, answer
from support.pipeline_calls import Rpc, call

OK = grpc.StatusCode.OK


def ended() -> list[Call]:
    """A call that succeeded, two that failed, and one that its caller left."""
    plain = PlainStatusError(grpc.StatusCode.NOT_FOUND, "no such service")
    return [call(code=OK), call(error=TenantDenied()), call(error=plain), call()]


def test_the_status_is_that_of_the_error_and_cancelled_without_an_outcome() -> None:
    calls = ended()
    SetStatus().process(calls)
    assert [(each.code.name, each.reason) for each in calls] == [
        ("OK", ""),
        ("PERMISSION_DENIED", "TENANT_DENIED"),
        ("NOT_FOUND", ""),
        ("CANCELLED", ""),
    ]


def test_calls_are_counted_by_status_and_only_unary_ones_are_timed() -> None:
    for step, timed in ((CountCalls, 4.0), (CountStreams, None)):
        registry, calls = CollectorRegistry(), ended()
        SetStatus().process(calls)
        step(RpcMetrics(registry)).process(calls)
        labels = {"method": "/s/M", "code": "PERMISSION_DENIED", "reason": "TENANT_DENIED"}
        assert registry.get_sample_value("attachery_rpcs_total", labels) == 1
        count = registry.get_sample_value("attachery_rpc_seconds_count", {"method": "/s/M"})
        assert count == timed


def test_each_call_leaves_a_line_and_a_fault_its_cause(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("info")
    fault, unexpected = DatabaseUnavailable(), UnexpectedError()
    fault.__cause__ = unexpected.__cause__ = OSError("gone")
    calls = [call(code=OK), call(error=fault), call(error=unexpected)]
    SetStatus().process(calls)
    LogCalls().process(calls)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    # The unexpected one was logged with its traceback when it was caught.
    assert [line["event"] for line in lines] == ["rpc", "fault", "rpc", "rpc"]
    assert [line.get("cause", "") for line in lines if line["event"] == "rpc"] == [
        "",
        "OSError",
        "OSError",
    ]


async def test_a_call_is_answered_once_with_its_request_id_and_attempt() -> None:
    succeeded, denied, plain, _ = calls = ended()
    for each in calls:
        each.request_id, each.attempt = "r-1", 3
    SetStatus().process(calls)
    await answer(succeeded)
    named = (("x-request-id", "r-1"), ("x-attempt", "3"))
    assert succeeded.rpc.sent == [named]  # type: ignore[attr-defined]
    for failed, code in ((denied, "PERMISSION_DENIED"), (plain, "NOT_FOUND")):
        with pytest.raises(grpc.aio.AbortError):
            await answer(failed)
        ((sent, _, trailers),) = failed.rpc.sent  # type: ignore[attr-defined]
        assert sent.name == code
        assert trailers[:2] == named
    assert plain.rpc.sent[0][2] == named  # type: ignore[attr-defined]  # no details
    status = status_pb2.Status.FromString(dict(denied.rpc.sent[0][2])["grpc-status-details-bin"])  # type: ignore[attr-defined]
    assert status.code == grpc.StatusCode.PERMISSION_DENIED.value[0]


async def test_a_refused_call_gets_its_refusal_unless_it_was_answered_before() -> None:
    rpc, refusal = Rpc(), Refusals("docs").overloaded
    with pytest.raises(grpc.aio.AbortError):
        await answer(call(rpc=rpc, is_admitted=False, refusal=refusal, attempt=2))
    assert rpc.sent[0][0] is grpc.StatusCode.UNAVAILABLE
    assert ("x-attempt", "2") in rpc.sent[0][2]
    silent = Rpc()
    with pytest.raises(asyncio.CancelledError):
        await answer(call(rpc=silent, is_admitted=False))
    assert silent.sent == []
