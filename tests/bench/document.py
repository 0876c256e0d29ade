"""docs/benchmarks.md and its plot, written by a full run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.effort import Effort
from bench.plot import plot
from bench.processes import ROOT
from bench.report import Report

_PAGE: Final = ROOT / "docs" / "benchmarks.md"
_PLOT: Final = ROOT / "docs" / "benchmarks.svg"
_COMMAND: Final = "make bench"
_HOW_TO_READ: Final = """\
Written by `{command}` on {date}. Machines differ, and this one was shared:
compare within a table, not between tables or machines.

{facts}

How it is measured: everything runs on this machine, started by the run itself. The subjects of a
table take turns, round by round: {rounds} rounds of {seconds:g} s with the most callers, {fewer}
with fewer of them. A rate is the median of the rounds, a ratio that of the medians, with the
lowest and the highest round. CPU time is user and system time per operation: of the service with
its children, of all of PostgreSQL, and of the object store. The load generator speaks just enough
HTTP/2 and HTTP/1.1 to leave the machine to the subject; its column is the share of a core it
took. Unless a table says otherwise the object store is a stand-in that costs next to nothing, and
types are not detected from the bytes, so that service and peer take the same steps. Both log a
line per call. The peer is `tests/bench/peers/fastapi_peer.py`: FastAPI on
uvicorn, asyncpg, boto3 in threads, on the same tables.
"""


def write(report: Report, facts: Sequence[str], effort: Effort) -> Path:
    """Replaces the page of the previous run; returns the page."""
    told = _HOW_TO_READ.format(
        command=_COMMAND,
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        facts="\n".join(f"- {fact}" for fact in facts),
        rounds=effort.rounds,
        fewer=effort.fewer_rounds,
        seconds=effort.seconds,
    )
    parts = [
        "# Benchmarks\n",
        told,
        "## Targets\n",
        "![Targets and results](benchmarks.svg)\n",
        report.targets_table(),
        "## Figures\n",
        *report.sections,
    ]
    _PLOT.write_text(plot(report.targets), encoding="utf-8")
    _PAGE.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
    return _PAGE
