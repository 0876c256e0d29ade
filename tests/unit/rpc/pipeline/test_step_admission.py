"""Step `admission`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from attachery_service.domain.errors import DeadlineExceeded
from attachery_service.rpc.accept.admission import Admission
from attachery_service.rpc.accept.concurrency_limit import LEAST, ConcurrencyLimit
from attachery_service.rpc.in_flight import InFlight
from attachery_service.rpc.metrics import RpcMetrics
from attachery_service.rpc.pipeline.admission import Admit, Release
from support.pipeline_calls import call


async def test_it_admits_calls_up_to_the_limit_and_refuses_the_others_in_the_list() -> None:
    registry, in_flight = CollectorRegistry(), InFlight()
    admission, metrics = Admission(ConcurrencyLimit(), registry), RpcMetrics(registry)
    calls = [call() for _ in range(LEAST + 2)]
    Admit(admission, in_flight, metrics).process(calls)
    assert [each.is_admitted for each in calls] == [True] * LEAST + [False] * 2
    overloaded = admission.refusals.overloaded
    assert [each.refusal for each in calls[-3:]] == [None, overloaded, overloaded]
    assert (admission.at_work, in_flight.calls, admission.refused) == (LEAST, LEAST, 2)
    Release(metrics).process(calls[:LEAST])
    assert admission.at_work == 0
    assert registry.get_sample_value("attachery_rpcs_in_flight") == 0


async def test_a_call_without_time_for_a_response_fails_and_releases_its_slot() -> None:
    registry = CollectorRegistry()
    admission, metrics = Admission(None, registry), RpcMetrics(registry)
    late, timely = call(deadline=0.0), call()
    Admit(admission, InFlight(), metrics).process([late, timely])
    assert isinstance(late.error, DeadlineExceeded)
    assert timely.error is None
    Release(metrics).process([late, timely])
    assert admission.at_work == 0
