"""Rate limits: calls per unit of time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Self

_UNITS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
_NOTATION = re.compile(rf"([1-9][0-9]{{0,8}})/({'|'.join(_UNITS)})")


class Category(StrEnum):
    """A kind of calls with a limit of its own, since kinds differ in cost."""

    READ = "read"
    WRITE = "write"
    RESOLVE = "resolve"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`calls` per `unit` of time."""

    calls: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses the format of `str`, such as `100/second`. Raises ValueError."""
        match = _NOTATION.fullmatch(text)
        if match is None:
            units = ", ".join(_UNITS)
            raise ValueError(f"must be CALLS/UNIT, such as 100/second; units: {units}")
        return cls(int(match[1]), match[2])

    @property
    def seconds(self) -> int:
        return _UNITS[self.unit]

    def __str__(self) -> str:
        return f"{self.calls}/{self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The state of a limit after a call was counted.

    `wait` is the time until one more call than `remaining` may be made; zero if all may.
    """

    limit: RateLimit
    granted: bool
    remaining: int
    wait: timedelta
