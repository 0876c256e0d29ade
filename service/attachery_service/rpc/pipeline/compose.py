"""Puts the steps of each method together, once, at start-up."""

from __future__ import annotations

import math
from typing import Any

from attachery_service.domain.errors import Unimplemented
from attachery_service.rpc.context import CallContext
from attachery_service.rpc.methods import Access, Method
from attachery_service.rpc.pipeline.admission import Admit, Release
from attachery_service.rpc.pipeline.authentication import Authentication
from attachery_service.rpc.pipeline.authorization import Authorization
from attachery_service.rpc.pipeline.call import UnaryCall, UnaryMethod
from attachery_service.rpc.pipeline.calls import Step
from attachery_service.rpc.pipeline.context import ReadContext
from attachery_service.rpc.pipeline.deadline import SetDeadline
from attachery_service.rpc.pipeline.log import LogCalls
from attachery_service.rpc.pipeline.metrics import CountCalls, CountStreams
from attachery_service.rpc.pipeline.parsing import Parsing
from attachery_service.rpc.pipeline.parts import PipelineParts
from attachery_service.rpc.pipeline.pipeline import Pipeline
from attachery_service.rpc.pipeline.rate_limit import RateLimitCheck
from attachery_service.rpc.pipeline.status import SetStatus
from attachery_service.rpc.pipeline.streams import StreamingCall, StreamingMethod, TrackStreams
from attachery_service.rpc.pipeline.tenant import TenantCheck


def pipeline_of(method: Method, servicer_method: Any, parts: PipelineParts) -> Pipeline:
    """The pipeline of one method, which the servicer's method of the same kind ends in."""
    if method.access is not None:
        return _contract_pipeline(method, method.access, servicer_method, parts)
    if method.streams_responses:
        return _open_stream_pipeline(method, servicer_method, parts)
    return _open_pipeline(method, servicer_method, parts)


def _contract_pipeline(
    method: Method, access: Access, servicer_method: UnaryMethod, parts: PipelineParts
) -> Pipeline:
    """For a method of the contract, in the order that the package's docstring gives."""
    tenant = () if access.has_no_tenant else (TenantCheck(),)
    return _admitting(
        parts,
        Authentication(parts.authenticate, parts.peers),
        Authorization(access),
        Parsing(method.parse),
        *tenant,
        RateLimitCheck(parts.limiter, access.category),
        UnaryCall(servicer_method),
    )


def unknown_pipeline(parts: PipelineParts) -> Pipeline:
    """For calls of methods that no service has."""
    return _admitting(parts, UnaryCall(_unimplemented))


def _open_pipeline(method: Method, servicer_method: UnaryMethod, parts: PipelineParts) -> Pipeline:
    """For a method that probes call often and without a credential: no admission and no log."""
    return Pipeline(
        arrival=(ReadContext(), SetDeadline(parts.max_call_time)),
        work=(Parsing(method.parse), UnaryCall(servicer_method)),
        departure=(SetStatus(), CountCalls(parts.metrics)),
        in_flight=parts.in_flight,
    )


def _open_stream_pipeline(
    method: Method, servicer_method: StreamingMethod, parts: PipelineParts
) -> Pipeline:
    """For a stream without a credential. Only its caller's deadline bounds its time.

    gRPC parses the requests where the client streams them too.
    """
    call = StreamingCall(servicer_method)
    return Pipeline(
        arrival=(ReadContext(), SetDeadline(math.inf), TrackStreams(parts.in_flight)),
        work=(call,) if method.streams_requests else (Parsing(method.parse), call),
        departure=(SetStatus(), CountStreams(parts.metrics), LogCalls()),
        in_flight=parts.in_flight,
    )


def _admitting(parts: PipelineParts, *work: Step) -> Pipeline:
    admit = Admit(parts.admission, parts.in_flight, parts.metrics)
    return Pipeline(
        arrival=(ReadContext(), SetDeadline(parts.max_call_time), admit),
        work=work,
        departure=(Release(parts.metrics), SetStatus(), CountCalls(parts.metrics), LogCalls()),
        in_flight=parts.in_flight,
    )


async def _unimplemented(_request: object, _context: CallContext) -> bytes:
    raise Unimplemented
