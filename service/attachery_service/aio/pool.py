"""A last-in-first-out connection pool that only hands over connections, without other work per use.

The core of the pools of PostgreSQL and of HEADs, `postgres/pool.py` and `s3/http/head_pool.py`,
which state their gains over the pools of asyncpg and aiohttp, their versions and their switches.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

C = TypeVar("C")


class ConnectionPool(ABC, Generic[C]):
    """At most `size` connections, opened on demand and closed after `idle_seconds` without use."""

    def __init__(self, size: int, idle_seconds: float) -> None:
        # Kept, because CPython 3.11 makes a system call to find the running loop.
        self._loop = asyncio.get_running_loop()
        self._capacity = size
        self._idle_seconds = idle_seconds
        self._open: set[C] = set()
        self._idle: list[tuple[C, float]] = []  # with the time of the last release
        self._waiting: deque[asyncio.Future[C]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._retirement: asyncio.TimerHandle | None = None
        self._closed = False

    @abstractmethod
    async def _connect(self) -> C: ...

    @abstractmethod
    def _is_usable(self, connection: C) -> bool:
        """Whether the connection is open and ready for its next use."""

    @abstractmethod
    def _terminate(self, connection: C) -> None:
        """Closes the connection at once, also in the middle of a request."""

    @abstractmethod
    async def _disconnect(self, connection: C) -> None:
        """Closes the connection in order, within bounded time."""

    def acquire_nowait(self) -> C | None:
        """Returns an idle connection, or None if the caller would have to wait."""
        while self._idle:
            connection, _ = self._idle.pop()
            if self._is_usable(connection):
                return connection
            self._forget(connection)
        return None

    async def acquire(self) -> C:
        """Returns a connection; waiting callers are served in the order of their calls.

        Raises ConnectionError if the pool is closed, and the errors of connecting.
        """
        if (idle := self.acquire_nowait()) is not None:
            return idle
        self._require_open()
        waiter: asyncio.Future[C] = self._loop.create_future()
        self._waiting.append(waiter)
        self._open_another()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release(waiter.result())  # handed over at the same time
            raise

    def release(self, connection: C) -> None:
        """Returns a connection to the pool, for the caller that has waited longest."""
        if self._closed or not self._is_usable(connection):
            self._spawn(self._end(connection))
        elif (waiter := self._first_waiting()) is not None:
            waiter.set_result(connection)
        else:
            self._idle.append((connection, time.monotonic()))
            if self._retirement is None:
                self._retirement = self._loop.call_later(self._idle_seconds, self._retire)

    async def replace(self, connection: C) -> C:
        """Opens a connection in place of one that was lost while its caller held it.

        The caller releases either the new one, or the lost one if this fails.
        """
        self._require_open()
        new = await self._connect()
        self._open.discard(connection)
        self._open.add(new)
        return new

    async def close(self) -> None:
        """Closes all connections, those in use without waiting for their requests."""
        self._closed = True
        if self._retirement is not None:
            self._retirement.cancel()
        while (waiter := self._first_waiting()) is not None:
            waiter.set_exception(_closed_error())
        idle = {connection for connection, _ in self._idle}
        self._idle.clear()
        for connection in self._open - idle:
            self._terminate(connection)
        for connection in self._open:
            self._spawn(self._end(connection))
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _require_open(self) -> None:
        if self._closed:
            raise _closed_error()

    def _open_another(self) -> None:
        """Connects in a task of its own, so that a caller that stops waiting does not cancel it.

        Otherwise a server that accepts connections more slowly than callers wait would never be
        connected to.
        """
        if self._capacity:
            self._capacity -= 1
            self._spawn(self._open_one())

    async def _open_one(self) -> None:
        try:
            connection = await self._connect()
        except Exception as error:
            self._fail_waiting(error)
            self._add_capacity()
        else:
            self._open.add(connection)
            self.release(connection)

    def _fail_waiting(self, error: Exception) -> None:
        """Fails the first waiting caller, or all of them if no connection is open."""
        while (waiter := self._first_waiting()) is not None:
            waiter.set_exception(error)
            if self._open:
                return

    def _first_waiting(self) -> asyncio.Future[C] | None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                return waiter
        return None

    def _retire(self) -> None:
        """Closes the connections idle for too long, and schedules the next check."""
        self._retirement = None
        now = time.monotonic()
        while self._idle and self._idle[0][1] + self._idle_seconds <= now:
            self._spawn(self._end(self._idle.pop(0)[0]))
        if self._idle:
            seconds = self._idle[0][1] + self._idle_seconds - now
            self._retirement = self._loop.call_later(seconds, self._retire)

    async def _end(self, connection: C) -> None:
        await self._disconnect(connection)
        self._forget(connection)

    def _forget(self, connection: C) -> None:
        if connection in self._open:
            self._open.discard(connection)
            self._add_capacity()

    def _add_capacity(self) -> None:
        self._capacity += 1
        if self._waiting and not self._closed:
            self._open_another()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _closed_error() -> ConnectionError:
    return ConnectionError("the pool is closed")
