"""The output of `attachery audit`: a line per finding, a summary, and progress on a terminal."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field

from attachery_service.domain.audit import Finding
from attachery_service.usecases.audit.audit import AuditPart

_CLEAR_LINE = "\r\033[K"


@dataclass(slots=True)
class Counts:
    """Numbers of compared and repaired items."""

    tenants: int = 0
    sessions: int = 0
    objects: int = 0
    findings: int = 0
    repaired: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{name}: {count}" for name, count in asdict(self).items())


@dataclass(frozen=True, slots=True)
class Report:
    """Prints text or JSON. `watched`: standard error is a terminal, so it shows progress."""

    as_json: bool
    watched: bool = field(default_factory=lambda: sys.stderr.isatty())  # noqa: PLW0108 - replaced in tests
    counts: Counts = field(default_factory=Counts)

    def tenant(self) -> None:
        self.counts.tenants += 1

    def finding(self, facts: dict[str, str | None]) -> None:
        self.counts.findings += 1
        self.counts.repaired += bool(facts["repair"])
        self.hide_progress()
        print(json.dumps(facts) if self.as_json else _text(facts), flush=True)

    def part(self, part: AuditPart) -> None:
        self.counts.sessions += part.sessions
        self.counts.objects += part.objects
        if self.watched:
            print(_CLEAR_LINE, self.counts, sep="", end="", file=sys.stderr, flush=True)

    def hide_progress(self) -> None:
        if self.watched:
            print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)

    def summary(self) -> None:
        print(json.dumps({"summary": asdict(self.counts)}) if self.as_json else self.counts)


def facts_of(tenant_id: str, finding: Finding, repair: str) -> dict[str, str | None]:
    """Describe a finding for output and log. `repair`: the repair made, or empty."""
    return {
        "kind": finding.kind.name,
        "tenant_id": tenant_id,
        "attachment_id": str(finding.attachment_id or ""),
        "key": finding.key,
        "expected": finding.expected,
        "actual": finding.actual,
        "since_time": finding.since_time.isoformat() if finding.since_time else None,
        "repair": repair,
    }


def _text(facts: dict[str, str | None]) -> str:
    told = (f"{name} {value}" for name, value in facts.items() if name != "kind" and value)
    return f"{facts['kind']}  {'; '.join(told)}"
