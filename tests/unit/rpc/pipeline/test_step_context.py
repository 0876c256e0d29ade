"""Step `context`."""

from __future__ import annotations

import uuid

import pytest

from attachery_service.rpc.pipeline.context import ReadContext
from support.pipeline_calls import call

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_it_reads_the_metadata_of_each_call() -> None:
    full = call(
        ("x-request-id", "r-1"),
        ("authorization", "Bearer k"),
        ("grpc-previous-rpc-attempts", "2"),
        ("traceparent", TRACE),
    )
    empty = call()
    ReadContext().process([full, empty])
    assert (full.request_id, full.credential, full.attempt) == ("r-1", "Bearer k", 3)
    assert (full.traceparent, full.peer) == (TRACE, "ipv4:127.0.0.1:1")
    assert uuid.UUID(empty.request_id).version == 4
    assert (empty.credential, empty.attempt, empty.traceparent) == (None, 1, "")


@pytest.mark.parametrize("key", ["x-request-id", "authorization", "grpc-previous-rpc-attempts"])
def test_a_repeated_key_counts_as_absent(key: str) -> None:
    repeating = call((key, "2"), (key, "2"))
    ReadContext().process([repeating])
    assert set(repeating.repeated) == {key}
    assert repeating.request_id != "2"
    assert (repeating.credential, repeating.attempt) == (None, 1)


@pytest.mark.parametrize("value", ["", "x" * 65, "a b", "a\x7fb", "é"])
def test_an_unsuitable_request_id_is_replaced(value: str) -> None:
    replaced = call(("x-request-id", value))
    ReadContext().process([replaced])
    assert uuid.UUID(replaced.request_id).version == 4


@pytest.mark.parametrize("value", ["", "x", "²", "100", "-1", "1.5"])
def test_an_invalid_number_of_attempts_counts_as_none(value: str) -> None:
    first = call(("grpc-previous-rpc-attempts", value))
    ReadContext().process([first])
    assert first.attempt == 1


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00-1-2-3",
        TRACE.upper(),
        f"ff{TRACE[2:]}",
        f"{TRACE}x",
        TRACE.replace(TRACE[3:35], "0" * 32),
        TRACE.replace(TRACE[36:52], "0" * 16),
    ],
)
def test_an_invalid_trace_context_is_ignored(value: str) -> None:
    traced = call(("traceparent", value))
    ReadContext().process([traced])
    assert traced.traceparent == ""
