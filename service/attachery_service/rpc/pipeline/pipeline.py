"""Runs the calls of one method through its steps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import filterfalse
from operator import attrgetter

import grpc

from attachery_service.rpc.in_flight import InFlight
from attachery_service.rpc.pipeline.calls import Call, ImmediateStep, Step
from attachery_service.rpc.pipeline.deadline import time_limit
from attachery_service.rpc.pipeline.faults import error_of

_is_admitted, _has_failed = attrgetter("is_admitted"), attrgetter("error")


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The steps of one method.

    `arrival`: up to admission. `work`: within the calls' deadline. `departure`: for every admitted
    call, however it ends.
    """

    arrival: Sequence[ImmediateStep]
    work: Sequence[Step]
    departure: Sequence[ImmediateStep]
    in_flight: InFlight

    async def process(self, calls: Sequence[Call]) -> None:
        """Fills in the response, error or refusal of each call."""
        for step in self.arrival:
            step.process(calls)
        admitted = list(filter(_is_admitted, calls))
        try:
            await self._work(admitted)
        finally:
            for step in self.departure:
                step.process(admitted)

    async def _work(self, calls: Sequence[Call]) -> None:
        remaining = list(filterfalse(_has_failed, calls))
        if not remaining:
            return
        try:
            with time_limit(remaining):
                for step in self.work:
                    await step.process(remaining)
                    remaining = list(filterfalse(_has_failed, remaining))
        except (asyncio.CancelledError, Exception) as failure:
            error = error_of(failure, remaining, self.in_flight)
            if error is None:
                raise
            for call in remaining:
                if call.code is not grpc.StatusCode.OK:
                    call.error = error
