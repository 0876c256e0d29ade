"""Assigns cores: the measured process has a core to itself on a machine with two."""

from __future__ import annotations

import os
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Final

ALL: Final = frozenset(os.sched_getaffinity(0))
MEASURED: Final = frozenset([min(ALL)])
OTHERS: Final = ALL - MEASURED or ALL


def describe() -> str:
    if len(ALL) == 1:
        return "everything shares one core"
    return f"the measured server on core {min(ALL)}, everything else on {_names(OTHERS)}"


@contextmanager
def on(cores: AbstractSet[int]) -> Iterator[None]:
    """Runs processes that are started in the block on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def busy_seconds() -> float:
    """CPU time of all processes on the machine since it started."""
    with open("/proc/stat", encoding="ascii") as file:  # noqa: PTH123
        user, nice, system, _idle, _wait, irq, soft, *_ = map(int, file.readline().split()[1:])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def _names(cores: AbstractSet[int]) -> str:
    return f"core{'s' if len(cores) > 1 else ''} {', '.join(map(str, sorted(cores)))}"
