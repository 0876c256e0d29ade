"""Single flight: concurrent callers share one read in progress, its result and its failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from copy import copy
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar, runtime_checkable

from attachery_service.aio.deadline import context_without_deadline

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


@runtime_checkable
class Copyable(Protocol):
    """An error of which each caller gets a copy: a shared one would collect their tracebacks."""

    def __copy__(self) -> Self: ...


@dataclass(frozen=True, slots=True)
class _Read(Generic[_Value]):
    task: asyncio.Task[_Value]
    began: float


class SingleFlight(Generic[_Key, _Value]):
    """Runs at most one `read` per key at a time.

    A read runs in a task of its own, within its own time limit, so cancelling one caller does not
    cancel it for the others. `max_age`, in seconds, bounds the staleness of a shared result: a
    caller joins only a read that began less than `max_age` ago, and starts a new one otherwise.
    """

    def __init__(self, read: Callable[[_Key], Awaitable[_Value]], max_age: float) -> None:
        self._read = read
        self._max_age = max_age
        self._latest: dict[_Key, _Read[_Value]] = {}
        self._tasks: set[asyncio.Task[_Value]] = set()

    async def get(self, key: _Key) -> tuple[_Value, float]:
        """Returns the value, and the monotonic time at which its read began.

        Raises the read's error, a copy for each caller if it is Copyable. The caller bounds the
        wait.
        """
        read = self.start(key)
        try:
            return await asyncio.shield(read.task), read.began
        except Exception as error:
            if isinstance(error, Copyable):
                raise copy(error) from error.__cause__
            raise

    def start(self, key: _Key) -> _Read[_Value]:
        """Joins the read in progress, or begins one."""
        read = self._latest.get(key)
        if read is None or time.monotonic() >= read.began + self._max_age:
            read = self._latest[key] = self._begin(key)
        return read

    def _begin(self, key: _Key) -> _Read[_Value]:
        task = asyncio.get_running_loop().create_task(
            self._run(key), context=context_without_deadline()
        )
        self._tasks.add(task)
        read = _Read(task, time.monotonic())
        task.add_done_callback(lambda _: self._end(key, read))
        return read

    async def _run(self, key: _Key) -> _Value:
        return await self._read(key)

    def _end(self, key: _Key, read: _Read[_Value]) -> None:
        self._tasks.discard(read.task)
        if self._latest.get(key) is read:
            del self._latest[key]
        if not read.task.cancelled():
            read.task.exception()  # retrieve it: every caller may have been cancelled
