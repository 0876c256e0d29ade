"""The failure of a refused call, for assertions."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from attachery.v1 import options_pb2

MAX_STATUS_BYTES = 4096
_INTERNALS = ("Traceback", "class '", "asyncpg", "botocore", "site-packages", "0x")
_DETAILS = "grpc-status-details-bin"
_OF_REASON = {"nextAction", "retryable"}
_NEXT_ACTIONS = {name.removeprefix("NEXT_ACTION_") for name in options_pb2.NextAction.keys()[1:]}


@dataclass(frozen=True)
class Failure:
    """A call's status with its details unpacked, one of each kind; `kinds` without Help."""

    code: grpc.StatusCode
    message: str
    help: error_details_pb2.Help
    info: error_details_pb2.ErrorInfo
    request_id: str
    violations: list[tuple[str, str]]
    kinds: list[str]
    status: status_pb2.Status
    trailers: dict[str, str | bytes]

    @property
    def reason(self) -> str:
        return self.info.reason

    @property
    def next_action(self) -> str:
        return self.info.metadata["nextAction"]

    @property
    def facts(self) -> dict[str, str]:
        """All facts but those that follow from the reason alone, which every failure has."""
        return {name: fact for name, fact in self.info.metadata.items() if name not in _OF_REASON}


async def failure(call: Awaitable[Any]) -> Failure:
    """Returns the failure of a call that must fail; checks the rules of all failures."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return _unpacked(error)
    raise AssertionError(f"the call was answered: {answer}")


def _unpacked(error: grpc.aio.AioRpcError) -> Failure:
    trailers = dict(error.trailing_metadata() or ())
    raw = trailers[_DETAILS]
    assert isinstance(raw, bytes)
    assert len(raw) <= MAX_STATUS_BYTES
    status = status_pb2.Status.FromString(raw)
    info, bad, request, help_ = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RequestInfo(),
        error_details_pb2.Help(),
    )
    for detail in status.details:
        for message in (info, bad, request, help_):
            if detail.type_url.endswith(message.DESCRIPTOR.full_name):
                detail.Unpack(message)
    kinds = [detail.type_url.rpartition(".")[2] for detail in status.details]
    assert len(kinds) == len(set(kinds)), "each kind of detail at most once"
    assert info.domain == "attachery"
    assert trailers["x-request-id"] == request.request_id
    assert status.code == error.code().value[0]
    assert info.metadata["nextAction"] in _NEXT_ACTIONS
    assert (info.metadata["retryable"] == "true") == ("RetryInfo" in kinds)
    # Left out first if the details are too large.
    assert "Help" in kinds or len(raw) > MAX_STATUS_BYTES / 2
    told = f"{error.details()} {status}"
    assert not any(word in told for word in _INTERNALS), told
    return Failure(
        code=error.code(),
        message=error.details() or "",
        help=help_,
        info=info,
        request_id=request.request_id,
        violations=[(v.field, v.reason) for v in bad.field_violations],
        kinds=[kind for kind in kinds if kind != "Help"],
        status=status,
        trailers=trailers,
    )
