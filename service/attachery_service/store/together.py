"""One statement for all who ask the same kind of thing in the same round of the loop.

Under load calls arrive several at a time, and each would pay for a round trip of its own: most of
what reading one row costs here and in Postgres. Who is alone in a round asks alone, and has waited
for nothing but its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

# More would make the first wait for the decoding of the last.
_MOST = 32


class _AskAloneError(Exception):
    """For those whose statement somebody else has run, and who cannot be blamed for its end."""


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[_Key, _Value]):
    key: _Key
    answer: asyncio.Future[_Value | None]


class Together(Generic[_Key, _Value]):
    """Finds a value by its key: by `alone`, or by `together`, which finds those of many."""

    def __init__(
        self,
        alone: Callable[[_Key], Awaitable[_Value | None]],
        together: Callable[[Sequence[_Key]], Awaitable[Mapping[_Key, _Value]]],
    ) -> None:
        self._alone = alone
        self._together = together
        self._company: list[_Waiting[_Key, _Value]] | None = None

    async def find(self, key: _Key) -> _Value | None:
        """None if there is none. Whatever goes wrong with a shared statement, each who took part
        asks again alone: nobody fails for what somebody else has asked, or how long it had."""
        company = self._company
        if company is None or len(company) == _MOST:
            self._company = company = []
            return await self._with(company, key)
        answer: asyncio.Future[_Value | None] = asyncio.get_running_loop().create_future()
        company.append(_Waiting(key, answer))
        try:
            return await answer
        except _AskAloneError:
            return await self._alone(key)

    async def _with(self, company: Sequence[_Waiting[_Key, _Value]], key: _Key) -> _Value | None:
        try:
            await asyncio.sleep(0)  # in which all come who are ready
            self._close(company)
            if not company:
                return await self._alone(key)
            found = await self._together([key, *(each.key for each in company)])
        except BaseException as error:
            self._close(company)
            for each in company:
                if not each.answer.done():
                    each.answer.set_exception(_AskAloneError())
            if company and isinstance(error, Exception):
                return await self._alone(key)
            raise
        for each in company:
            if not each.answer.done():
                each.answer.set_result(found.get(each.key))
        return found.get(key)

    def _close(self, company: object) -> None:
        if self._company is company:
            self._company = None
