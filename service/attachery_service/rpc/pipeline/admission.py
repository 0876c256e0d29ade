"""Step `admission`: refuses calls that the process cannot answer in time, before any work."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from attachery_service.domain.errors import DeadlineExceeded
from attachery_service.rpc.accept.admission import Admission
from attachery_service.rpc.in_flight import InFlight
from attachery_service.rpc.metrics import RpcMetrics
from attachery_service.rpc.pipeline.calls import Call

# No method can be answered in less time, in seconds.
_TOO_LITTLE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Admit:
    """Starts calls that the prefetching server has admitted; admits or refuses all others.

    The others are calls of gRPC's own server, and calls with a late message.
    """

    admission: Admission
    in_flight: InFlight
    metrics: RpcMetrics

    def process(self, calls: Sequence[Call]) -> None:
        now = time.monotonic()
        for call in calls:
            if call.slot is None or not call.slot.begin():
                self._admit(call)
            if call.is_admitted:
                self.in_flight.begin(call.rpc, call.peer)
                self.metrics.in_flight.inc()
                if call.deadline - now < _TOO_LITTLE:
                    call.error = DeadlineExceeded()

    def _admit(self, call: Call) -> None:
        if call.slot is not None and call.slot.is_refused:
            call.is_admitted = False
            return
        call.refusal = self.admission.refusal()
        if call.refusal is None:
            call.slot = self.admission.admit(call.method)
        else:
            call.is_admitted = False
            self.admission.count(call.refusal)


@dataclass(frozen=True, slots=True)
class Release:
    """Gives the places of answered calls back."""

    metrics: RpcMetrics

    def process(self, calls: Sequence[Call]) -> None:
        for call in calls:
            self.metrics.in_flight.dec()
            if call.slot is not None:
                call.slot.release(answered=True)
