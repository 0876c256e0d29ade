"""grpc.health.v1: readiness of the server for calls, and liveness of its process.

The packaged servicer for asyncio drops the other watchers of a name when one leaves
(grpc/grpc#43403) and has no List.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
from grpc_health.v1 import health_pb2

from attachery_service.rpc.context import CallContext, PlainStatusError

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

# Stays SERVING while the process lives: a probe that restarts must not fire while draining.
LIVENESS = "liveness"


class Health:
    """The state of each service name, and an event for its next change."""

    def __init__(self, services: tuple[str, ...]) -> None:
        self._names = ("", *services)
        self.serving = False
        self.changed = asyncio.Event()  # set at the next change, and replaced then

    def set_serving(self, *, serving: bool) -> None:
        if serving != self.serving:
            self.serving = serving
            changed, self.changed = self.changed, asyncio.Event()
            changed.set()

    def statuses(self) -> dict[str, health_pb2.HealthCheckResponse.ServingStatus]:
        status = SERVING if self.serving else NOT_SERVING
        return {**dict.fromkeys(self._names, status), LIVENESS: SERVING}


class HealthServicer:
    """Open to all callers, as probes carry no credential."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: CallContext
    ) -> health_pb2.HealthCheckResponse:
        status = self._health.statuses().get(request.service)
        if status is None:
            raise PlainStatusError(grpc.StatusCode.NOT_FOUND, "no such service")
        return health_pb2.HealthCheckResponse(status=status)

    async def List(
        self, request: health_pb2.HealthListRequest, context: CallContext
    ) -> health_pb2.HealthListResponse:
        return health_pb2.HealthListResponse(
            statuses={
                name: health_pb2.HealthCheckResponse(status=status)
                for name, status in self._health.statuses().items()
            }
        )

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: CallContext
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        last, ending = None, context.ending
        while True:
            changed = self._health.changed  # read before the status, so no change is missed
            status = self._health.statuses().get(request.service, _SERVICE_UNKNOWN)
            if status != last:
                yield health_pb2.HealthCheckResponse(status=status)
                last = status
            if ending is None or ending.is_set():
                return
            await _first_of(changed, ending)


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
