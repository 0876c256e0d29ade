"""Load shedding: the server starts a call or refuses it, at once.

Calls are not queued for admission, so no call is started after its caller has given up. Health
checks and reflection are never refused.

Gain: at ten times the maximum rate, a process still answers 1.10 of that rate over 16 connections
and 0.61 over 128 (`make bench ONLY=overload`, grpcio 1.85). ATTACHERY_LOAD_SHEDDING switches it
off.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from contextvars import ContextVar

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client import Counter as Total

from attachery_service.rpc.accept.concurrency_limit import ConcurrencyLimit
from attachery_service.rpc.accept.core_calls import ArrivedCall
from attachery_service.rpc.accept.refusals import Refusal, Refusals
from attachery_service.rpc.status import DOCS_URL

_log = structlog.get_logger("attachery.admission")

# The log has one line for all refusals of this time, in seconds.
_SUMMARY_SECONDS = 5.0

_UNLIMITED_PREFIX = "/grpc."

_slot: ContextVar[Slot | None] = ContextVar("slot", default=None)


class Slot:
    """A reservation: the place of one admitted call among the calls in progress.

    `began`: the time of its admission. `unread`: the call, until its message arrives or it ends.
    `is_refused`: the call was refused before its message arrived, so it must not be answered again.
    """

    __slots__ = ("_admission", "_method", "began", "is_refused", "unread")

    def __init__(self, admission: Admission, method: str, unread: ArrivedCall | None) -> None:
        self._admission: Admission | None = admission
        self._method = method
        self.began = time.monotonic()
        self.unread = unread
        self.is_refused = False

    def begin(self) -> bool:
        """Notes that the call's message has arrived. False if the place was given back before."""
        call, self.unread = self.unread, None
        self.is_refused = call is not None and call.is_refused
        return self._admission is not None

    def release(self, *, answered: bool = False) -> None:
        """Gives the place back, once. `answered`: the limit adapts to the call's time."""
        admission, self._admission = self._admission, None
        if admission is not None:
            seconds = time.monotonic() - self.began if answered else None
            admission.leave(self._method, seconds)


class Admission:
    """Admits calls up to an adaptive limit, until it is closed.

    `limit` is None if load shedding is switched off. `docs_url`: the page that the links in
    refusals lead to.
    """

    def __init__(
        self,
        limit: ConcurrencyLimit | None,
        registry: CollectorRegistry,
        docs_url: str = DOCS_URL,
    ) -> None:
        self.refusals = Refusals(docs_url)
        self._limit = limit
        self._closed = False
        self.at_work = 0
        self.refused = 0  # calls, since the server started
        shed = Total(
            "attachery_rpcs_shed",
            "Calls refused before they were started, by cause.",
            ["cause"],
            registry=registry,
        )
        refusals: Iterable[Refusal] = vars(self.refusals).values()
        self._shed = {each.cause: shed.labels(each.cause) for each in refusals}
        self._summary: Counter[str] = Counter()

    @property
    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Refuses every later call with SHUTTING_DOWN."""
        self._closed = True

    def refusal(self) -> Refusal | None:
        """The refusal of a call at this moment; None if it may be admitted."""
        if self._closed:
            return self.refusals.shutting_down
        if self._limit is not None and self.at_work >= self._limit.value:
            return self.refusals.overloaded
        return None

    def usual_time(self, method: str) -> float:
        """The recent mean time of this method's calls, in seconds; 0 if unknown."""
        return 0.0 if self._limit is None else self._limit.usual_time(method)

    def admit(self, method: str, unread: ArrivedCall | None = None) -> Slot:
        """Counts a call as in progress, and makes its slot the current one."""
        self.at_work += 1
        slot = Slot(self, method, unread)
        _slot.set(slot)
        return slot

    def leave(self, method: str, seconds: float | None) -> None:
        self.at_work -= 1
        if self._limit is not None and seconds is not None:
            self._limit.record(method, seconds, self.at_work + 1)

    def count(self, refusal: Refusal) -> None:
        """Counts a refusal and logs a summary of all of them every few seconds."""
        self.refused += 1
        self._shed[refusal.cause].inc()
        if not self._summary:
            asyncio.get_running_loop().call_later(_SUMMARY_SECONDS, self.log_refusals)
        self._summary[refusal.cause] += 1

    def log_refusals(self) -> None:
        """Logs a summary of the refusals since the previous summary, if there were any."""
        if not self._summary:
            return
        shed, self._summary = self._summary, Counter()
        limit = self._limit.value if self._limit is not None else None
        _log.warning("calls refused", **shed, seconds=_SUMMARY_SECONDS, limit=limit)


def is_exempt(method: str) -> bool:
    """Whether calls of this method are always admitted: health and reflection."""
    return method.startswith(_UNLIMITED_PREFIX)


def current_slot() -> Slot | None:
    """The slot of the current call, if the server reserved one when it accepted the call.

    A context variable, because gRPC passes nothing else from there to the method's handler.
    """
    return _slot.get()
