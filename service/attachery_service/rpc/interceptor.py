"""The one way in: identity, rights, deadline, errors, log and metrics of every call.

A call's bytes are parsed here rather than by the library, which answers malformed ones with
UNKNOWN and its own internals; for the same reason nothing a handler raises gets past this file.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import grpc
import structlog
from google.protobuf.message import DecodeError

from attachery_service.aio.deadline import set_time_left
from attachery_service.aio.timeouts import within
from attachery_service.domain.errors import (
    AttacheryError,
    DeadlineExceeded,
    MalformedRequest,
    RateLimited,
    ShuttingDown,
    UnexpectedError,
    Unimplemented,
)
from attachery_service.domain.identity import Principal, Scope
from attachery_service.ports import RateLimiter
from attachery_service.rpc.accept.admission import Admission, Slot, current_slot
from attachery_service.rpc.accept.refusals import Refusal
from attachery_service.rpc.call_log import cause_of, log_call, log_fault, names_of
from attachery_service.rpc.context import Call, Context, current_call
from attachery_service.rpc.in_flight import InFlight
from attachery_service.rpc.methods import CATEGORIES, OF_ONE_SESSION, SCOPES
from attachery_service.rpc.metrics import RpcMetrics
from attachery_service.rpc.peers import peer_of
from attachery_service.rpc.status import code_of, to_status
from attachery_service.rpc.trailers import trailers_of

_log = structlog.get_logger("attachery.rpc")

# An answer needs a moment to reach its caller before the caller stops waiting.
_MARGIN = 0.05
_TOO_LITTLE = 0.02

_CONTRACT = "/attachery."
_UNKNOWN = "unknown"

_Behaviour = Callable[[Any, Context], Awaitable[Any]]


class TenantRequest(Protocol):
    """Every request of the contract names its tenant."""

    tenant_id: str


@dataclass(frozen=True, slots=True)
class Interception:
    """What it takes to answer a call. `longest` bounds every call, in seconds."""

    authenticate: Callable[[str], Awaitable[Principal]]
    peers: Mapping[str, Principal]
    limiter: RateLimiter
    metrics: RpcMetrics
    admission: Admission
    longest: float
    in_flight: InFlight = field(default_factory=InFlight)


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps each method of the contract once, on its first call; health and reflection pass."""

    def __init__(self, interception: Interception) -> None:
        self._interception = interception
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._unknown = _wrapped(_Method(_UNKNOWN, None, _unimplemented, None, interception))

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        method = handler_call_details.method
        known = self._handlers.get(method)
        if known is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                method, known = _UNKNOWN, self._unknown
            elif not method.startswith(_CONTRACT):
                return handler
            else:
                known = self._handlers[method] = self._wrap(method, handler)
        # Here, as the metadata is at hand; the handler would have it made anew.
        Call.begin(method, handler_call_details.invocation_metadata or ())
        return known

    def _wrap(
        self, method: str, handler: grpc.RpcMethodHandler[Any, Any]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        scope = SCOPES[method]  # one that was forgotten there is refused, not open to everybody
        return _wrapped(
            _Method(
                method,
                handler.request_deserializer,
                cast("_Behaviour", handler.unary_unary),
                handler.response_serializer,
                self._interception,
                scope,
            )
        )


@dataclass(frozen=True, slots=True)
class _Method:
    """One method with everything around it. Without a scope it is open to everybody."""

    name: str
    parse: Callable[[bytes], Any] | None
    behaviour: _Behaviour
    serialize: Callable[[Any], bytes] | None
    interception: Interception
    scope: Scope | None = None

    async def __call__(self, raw: bytes, context: Context) -> bytes:
        slot = current_slot()
        if slot is None or not slot.begin():
            slot = await self._admitted(context)
        call, started = current_call(), time.perf_counter()
        call.peer = context.peer()
        self.interception.in_flight.begin(context, call.peer)
        code, reason = grpc.StatusCode.CANCELLED, ""
        self.interception.metrics.in_flight.inc()
        try:
            answer = await self._answer(call, raw, context)
        except AttacheryError as error:
            code, reason, failure = code_of(error), error.reason, error
            call.cause = cause_of(error)
        else:
            code = grpc.StatusCode.OK
            context.set_trailing_metadata(trailers_of(call))
            return answer
        finally:
            self.interception.metrics.in_flight.dec()
            slot.release(answered=True)
            # Before the answer leaves: who has received it finds it counted.
            self._record(call, code, reason, time.perf_counter() - started)
        await _abort(context, call, failure)
        raise failure  # not reached: abort raises

    async def _admitted(self, context: Context) -> Slot:
        """Admits a call without a place: of the stock server, or whose message came late.

        Raises AbortError for a call that it refuses.
        """
        admission = self.interception.admission
        refusal = admission.refusal()
        if refusal is None:
            return admission.admit(self.name)
        admission.count(refusal)
        await _refuse(context, refusal)
        raise AssertionError("not reached: abort raises")

    async def _answer(self, call: Call, raw: bytes, context: Context) -> bytes:
        """The serialised response; every failure but the caller's leaving as an AttacheryError."""
        try:
            with within(self._limit(context)):
                request = await self._admit(call, raw, context)
                response = await self.behaviour(request, context)
                return self._serialized(response)
        except AttacheryError as error:
            log_fault(call, error)
            raise
        except TimeoutError as error:
            raise DeadlineExceeded from error
        except asyncio.CancelledError:
            # The library answers nothing at all to a handler that was not cancelled itself.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                if self.interception.in_flight.is_cut_off:
                    task.uncancel()
                    raise ShuttingDown from None
                raise
            _log.exception("leaked cancellation", **names_of(call))
            raise UnexpectedError from None
        except Exception as error:
            _log.exception("bug", **names_of(call))
            raise UnexpectedError from error

    def _limit(self, context: Context) -> float:
        """Seconds the call may take. What waits on something outside gets a little less."""
        # None without a deadline, whatever the typings say.
        remaining: float | None = context.time_remaining()
        longest = self.interception.longest
        limit = longest if remaining is None else min(remaining, longest)
        if limit < _TOO_LITTLE:
            raise DeadlineExceeded
        set_time_left(limit - min(_MARGIN, limit / 2))
        return limit

    async def _admit(self, call: Call, raw: bytes, context: Context) -> Any:
        """The parsed request of a caller who may make it: in this order, so that who may not learns
        nothing of it."""
        if self.scope is None:
            return self._parsed(raw)
        call.principal = await self._caller(call, context)
        call.principal.require_scope(self.scope, about_one_session=self.name in OF_ONE_SESSION)
        call.require_one_request_id()
        request: TenantRequest = self._parsed(raw)
        call.principal.require_tenant(request.tenant_id)
        call.tenant_id = request.tenant_id
        await self._count(call, call.principal, request.tenant_id)
        return request

    async def _count(self, call: Call, principal: Principal, tenant_id: str) -> None:
        """Raises RateLimited."""
        category = CATEGORIES[self.name]
        found = await self.interception.limiter.hit(principal, tenant_id, category)
        call.allowance = found
        if found is not None and not found.granted:
            error = RateLimited(limit=found.limit, category=category)
            error.retry_after = found.wait
            raise error

    async def _caller(self, call: Call, context: Context) -> Principal:
        """By the credential; only without any by the certificate. Raises Unauthenticated."""
        if call.credential is None and (peer := peer_of(context, self.interception.peers)):
            return peer
        return await self.interception.authenticate(call.bearer_token())

    def _parsed(self, raw: bytes) -> Any:
        try:
            return self.parse(raw) if self.parse else raw
        except DecodeError as error:
            raise MalformedRequest from error

    def _serialized(self, response: Any) -> bytes:
        # A behaviour may know a shorter way to its bytes.
        if isinstance(response, bytes) or self.serialize is None:
            return cast("bytes", response)
        return self.serialize(response)

    def _record(self, call: Call, code: grpc.StatusCode, reason: str, seconds: float) -> None:
        self.interception.metrics.answered(self.name, code.name, reason, seconds)
        log_call(call, code, reason, seconds)


def _wrapped(method: _Method) -> grpc.RpcMethodHandler[Any, Any]:
    # Without a deserializer the library hands the bytes over as they came.
    return grpc.unary_unary_rpc_method_handler(method.__call__)


async def _unimplemented(_request: object, _context: Context) -> bytes:
    raise Unimplemented


async def _abort(context: Context, call: Call, error: AttacheryError) -> None:
    status = to_status(error, call.request_id)
    await context.abort(code_of(error), error.message, trailers_of(call, error, status))


async def _refuse(context: Context, refusal: Refusal) -> None:
    trailers = refusal.trailers(current_call().request_id)
    await context.abort(refusal.code, refusal.message, trailers)
