"""Tables of the results, for the terminal and for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.samples import Ratio, Sample, Series

_MS: Final = 1_000
_MIB: Final = 2**20
_BUSY: Final = 0.9
_FOREIGN: Final = 0.1

_COLUMNS: Final = (
    "subject",
    "callers",
    "per second (lowest to highest)",
    "CPU µs: service",
    "Postgres",
    "store",
    "p50 ms",
    "p99 ms",
    "peak MiB",
    "generator",
)


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a figure, and the measured value. `found` is None if it was not measured."""

    figure: str
    bound: float
    found: Ratio | None
    at_most: bool = False
    unit: str = ""

    @property
    def is_met(self) -> bool:
        if self.found is None:
            return False
        return self.found.value <= self.bound if self.at_most else self.found.value >= self.bound


@dataclass(slots=True)
class Report:
    """Grows by one section per scenario, which is printed at once."""

    sections: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    def section(self, title: str, *lines: str) -> None:
        self._add(f"### {title}\n" + "".join(f"\n{line}\n" for line in lines))

    def series(self, found: Sequence[Series]) -> None:
        """Adds a table of subjects, with remarks if a subject was not the limit."""
        self._add(table(_COLUMNS, [_row(series) for series in found]) + _remarks(found))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self._add(table(columns, rows))

    def note(self, text: str) -> None:
        self._add(f"{text}\n")

    def target(
        self, figure: str, bound: float, found: Ratio, *, at_most: bool = False, unit: str = ""
    ) -> None:
        target = Target(figure, bound, found, at_most, unit)
        self.targets.append(target)
        self._add(
            f"Target: {figure}: {found_text(target)}, {bound_text(target)}: {_verdict(target)}\n"
        )

    def _add(self, text: str) -> None:
        self.sections.append(text)
        print(text, flush=True)

    def targets_table(self) -> str:
        columns = ("figure", "target", "reached (rounds from, to)", "met")
        rows = [(t.figure, bound_text(t), found_text(t), _verdict(t)) for t in self.targets]
        return table(columns, rows)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown that reads well as plain text: text to the left, figures to the right."""
    widths = [max(3, *(len(row[n]) for row in [columns, *rows])) for n in range(len(columns))]
    align: list[Callable[[str, int], str]] = [str.ljust, *[str.rjust] * (len(columns) - 1)]

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(a(c, w) for a, c, w in zip(align, cells, widths, strict=True))} |\n"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return line(columns) + line(rule) + "".join(map(line, rows))


def _row(series: Series) -> tuple[str, ...]:
    def median(value: Callable[[Sample], float]) -> float:
        return series.median(value)

    least, most = series.rates
    return (
        series.name,
        str(series.callers) if series.callers else "-",
        f"{series.rate:,.0f} ({least:,.0f} to {most:,.0f})",
        f"{series.service_cpu:,.1f}",
        _or_dash(median(lambda s: s.postgres_cpu), ".1f"),
        _or_dash(median(lambda s: s.store_cpu), ".1f"),
        _or_dash(median(lambda s: s.p50) * _MS, ".2f"),
        _or_dash(median(lambda s: s.p99) * _MS, ".2f"),
        _or_dash(series.resident / _MIB, ".0f"),
        f"{median(lambda s: s.generator):.0%}",
    )


def _or_dash(value: float, form: str) -> str:
    return format(value, form) if value else "-"


def _remarks(found: Sequence[Series]) -> str:
    """Remarks where the subject may not have been the limit, and where others used the machine."""
    lines = []
    for series in found:
        name = f"{series.name} at {series.callers} callers"
        if (share := series.median(lambda s: s.generator)) > _BUSY:
            lines.append(f"The generator may be the limit of {name}: {share:.0%} of a core.")
        elif (share := series.median(lambda s: s.busy)) > _BUSY:
            lines.append(
                f"The limit of {name} may be the processes beside it: {share:.0%} of those cores."
            )
    foreign = max(series.median(lambda s: s.foreign) for series in found)
    if foreign > _FOREIGN:
        lines.append(f"TAKEN UNDER LOAD: others used {foreign:.0%} of the machine meanwhile.")
    return "".join(f"\n{line}\n" for line in lines)


def bound_text(target: Target) -> str:
    return f"at {'most' if target.at_most else 'least'} {target.bound:g}{target.unit}"


def found_text(target: Target) -> str:
    if target.found is None:
        return "not measured"
    found, unit = target.found, target.unit
    if found.least == found.most:
        return f"{found.value:.3g}{unit}"
    return f"{found.value:.3g}{unit} ({found.least:.3g} to {found.most:.3g})"


def _verdict(target: Target) -> str:
    if target.found is None:
        return "-"
    return "yes" if target.is_met else "no"
