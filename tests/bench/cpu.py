"""CPU time and memory of processes, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_KIB = 1024


def cpu_seconds(root: int) -> float:
    """User and system time of a process and all its descendants, including ended ones."""
    return sum(_times(pid) for pid in family(root))


def resident_bytes(root: int, *, peak: bool = False) -> int:
    """Resident memory of a process and its descendants; shared pages count in each."""
    field = "VmHWM:" if peak else "VmRSS:"
    return sum(_status(pid, field) for pid in family(root))


def family(root: int) -> list[int]:
    """The process and its descendants."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _times(pid: int) -> float:
    try:
        fields = _stat(pid)
    except OSError:
        return 0.0
    # utime, stime, and those of children that were waited for.
    return sum(int(ticks) for ticks in fields[11:15]) * _TICK


def _status(pid: int, field: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    for line in lines.splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * _KIB
    return 0


def _parents() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        try:
            yield pid, int(_stat(pid)[1])
        except OSError:
            continue


def _stat(pid: int) -> list[str]:
    """The fields from the state on; the name before them may contain any character."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
