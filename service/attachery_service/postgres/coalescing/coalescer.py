"""One statement for all who ask the same kind of thing in the same round of the loop.

Under load calls arrive several at a time, and each would pay for a round trip of its own: most of
what one row costs, here and in Postgres. Eight Completes together cost Postgres a fourth of eight
alone. Who is alone in a round asks alone, and has waited for nothing but its end.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

import structlog

from attachery_service.aio.deadline import context_without_deadline, database_budget
from attachery_service.aio.timeouts import coarse_timeout
from attachery_service.domain.errors import DatabaseUnavailable, Unavailable

_Question = TypeVar("_Question")
_Answer = TypeVar("_Answer")

_log = structlog.get_logger("attachery.store")


class _Unanswered(Enum):
    """What a shared statement says of a question that it leaves to the single one."""

    YES = 0


# More would make the first wait for the decoding of the last.
_MOST = 32


@dataclass(frozen=True, slots=True)
class _Member(Generic[_Question, _Answer]):
    question: _Question
    answer: asyncio.Future[_Answer | _Unanswered | None]


_Company = list[_Member[_Question, _Answer]]


class Together(Generic[_Question, _Answer]):
    """Asks by `alone`, or by `together`, whose result has an entry for each question it answers.

    None is an answer: there is no such row. A question without an entry is asked again by `alone`.

    Only questions of the same `kind` are asked together. `timeout`: seconds that one call may wait
    for the database, over all its statements.
    """

    def __init__(
        self,
        alone: Callable[[_Question], Awaitable[_Answer | None]],
        together: Callable[[Sequence[_Question]], Awaitable[Mapping[_Question, _Answer | None]]],
        kind: Callable[[_Question], Hashable] = lambda _: None,
        timeout: float = math.inf,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._alone = alone
        self._together = together
        self._kind = kind
        self._timeout = timeout
        self._companies: dict[Hashable, _Company[_Question, _Answer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, question: _Question) -> _Answer | None:
        """What asking alone would answer.

        Who gets no answer from a shared statement asks again alone, so that nobody fails for what
        another has asked. Only when the database does not answer are all told so: what was asked
        may have been done. Raises DatabaseUnavailable when the call's time is over, too.
        """
        kind = self._kind(question)
        company = self._companies.get(kind)
        if company is None or len(company) == _MOST:
            company = self._companies[kind] = []
            # At the end of this round, in which all come who are ready.
            self._loop.call_soon(self._close, kind, company)
        answer: asyncio.Future[_Answer | _Unanswered | None] = self._loop.create_future()
        company.append(_Member(question, answer))
        try:
            # The statement has its own time limit, each call that waits for it its own budget.
            with database_budget() as budget, coarse_timeout(budget.left(self._timeout)):
                found = await answer
        except TimeoutError as error:
            raise DatabaseUnavailable from error
        return await self._alone(question) if isinstance(found, _Unanswered) else found

    def _close(self, kind: Hashable, company: _Company[_Question, _Answer]) -> None:
        if self._companies.get(kind) is company:
            del self._companies[kind]
        staying = [each for each in company if not each.answer.done()]
        if len(staying) == 1:
            staying[0].answer.set_result(_Unanswered.YES)
        elif staying:
            # A task of its own: whoever leaves takes nobody's answer along.
            work = self._run(staying)
            task = self._loop.create_task(work, context=context_without_deadline())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, company: Sequence[_Member[_Question, _Answer]]) -> None:
        found: Mapping[_Question, _Answer | None] = {}
        fault: type[Unavailable] | None = None
        try:
            found = await self._together([each.question for each in company])
        except Unavailable as error:
            fault = type(error)
        except Exception as error:
            # Whoever it concerns will meet it again; if it is nobody, the statement is at fault.
            _log.warning("shared statement failed", exc_info=error)
        for each in company:
            if each.answer.done():
                continue
            if fault is None:
                each.answer.set_result(found.get(each.question, _Unanswered.YES))
            else:
                each.answer.set_exception(fault())
