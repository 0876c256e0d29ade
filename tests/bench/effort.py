"""The duration of measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

ALL_CALLERS: Final = (1, 8, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """`rounds` of `seconds` each for every subject, after warming up for `warm_up` seconds.

    `callers`: numbers of concurrent callers; those below the largest get `fewer_rounds`. `scale`:
    the share of the rows that scenarios about large tables create.
    """

    rounds: int = 5
    fewer_rounds: int = 3
    seconds: float = 1.0
    warm_up: float = 0.25
    callers: tuple[int, ...] = ALL_CALLERS
    scale: float = 1.0

    @property
    def most(self) -> int:
        """The largest number of callers."""
        return max(self.callers)

    def rounds_of(self, callers: int) -> int:
        return self.rounds if callers == self.most else min(self.fewer_rounds, self.rounds)

    @classmethod
    def quick(cls) -> Self:
        """A small part of everything, as a smoke test; the figures mean nothing."""
        return cls(rounds=1, seconds=0.05, warm_up=0.0, callers=(8,), scale=0.01)
