"""The parts of the server that the steps use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from attachery_service.domain.identity import Principal
from attachery_service.ports.rates import RateLimiter
from attachery_service.rpc.accept.admission import Admission
from attachery_service.rpc.in_flight import InFlight
from attachery_service.rpc.metrics import RpcMetrics
from attachery_service.rpc.status import DOCS_URL


@dataclass(frozen=True, slots=True)
class PipelineParts:
    """`peers`: the principals of client certificates, by name. `max_call_time`: in seconds.

    `docs_url`: the page that the links in errors lead to.
    """

    authenticate: Callable[[str], Awaitable[Principal]]
    peers: Mapping[str, Principal]
    limiter: RateLimiter
    metrics: RpcMetrics
    admission: Admission
    max_call_time: float
    docs_url: str = DOCS_URL
    in_flight: InFlight = field(default_factory=InFlight)
