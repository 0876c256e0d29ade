"""Step `metrics`: counts calls, before their answers leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attachery_service.rpc.metrics import RpcMetrics
from attachery_service.rpc.pipeline.calls import Call


@dataclass(frozen=True, slots=True)
class CountCalls:
    """Counts calls by method, code and reason, and times them."""

    metrics: RpcMetrics

    def process(self, calls: Sequence[Call]) -> None:
        for call in calls:
            self.metrics.answered(call.method, call.code.name, call.reason, call.seconds)


@dataclass(frozen=True, slots=True)
class CountStreams:
    """Counts streams by method, code and reason. The caller decides how long a stream takes."""

    metrics: RpcMetrics

    def process(self, calls: Sequence[Call]) -> None:
        for call in calls:
            self.metrics.ended(call.method, call.code.name, call.reason)
