"""The results of a subject's rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One round. CPU in microseconds per operation; latencies in seconds; shares of one core.

    `operations`: calls times the operations of each. `busy`: the share of the other cores that this
    program's processes used; `foreign`: the share of the machine that other programs used.
    """

    rate: float
    service_cpu: float
    postgres_cpu: float = 0.0
    store_cpu: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    generator: float = 0.0
    busy: float = 0.0
    foreign: float = 0.0

    @property
    def total_cpu(self) -> float:
        return self.service_cpu + self.postgres_cpu


@dataclass(frozen=True, slots=True)
class Series:
    """The rounds of one subject at one number of callers. `resident`: peak memory in bytes."""

    name: str
    callers: int
    samples: list[Sample] = field(default_factory=list)
    resident: int = 0

    def median(self, value: Callable[[Sample], float]) -> float:
        return median(map(value, self.samples))

    @property
    def rate(self) -> float:
        return self.median(lambda sample: sample.rate)

    @property
    def rates(self) -> tuple[float, float]:
        rates = [sample.rate for sample in self.samples]
        return min(rates), max(rates)

    @property
    def service_cpu(self) -> float:
        return self.median(lambda sample: sample.service_cpu)


@dataclass(frozen=True, slots=True)
class Ratio:
    """The ratio of two subjects measured in turns: of their medians, and round by round."""

    value: float
    least: float
    most: float


def ratio(over: Series, under: Series, of: Callable[[Sample], float] | None = None) -> Ratio:
    value = of or (lambda sample: sample.rate)
    rounds = [value(a) / value(b) for a, b in zip(over.samples, under.samples, strict=True)]
    return Ratio(over.median(value) / under.median(value), min(rounds), max(rounds))


def ratio_to_sum(over: Series, under: Sequence[Series], of: Callable[[Sample], float]) -> Ratio:
    """The ratio to several subjects together."""
    rounds = [
        of(sample) / sum(map(of, floors))
        for sample, *floors in zip(over.samples, *(series.samples for series in under), strict=True)
    ]
    medians = over.median(of) / sum(series.median(of) for series in under)
    return Ratio(medians, min(rounds), max(rounds))
