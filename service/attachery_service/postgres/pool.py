"""A few connections, used last in, first out.

asyncpg's own pool sends a reset after every use, and makes a proxy, a timer and a future for it,
for statements that leave no state behind: half of what a short statement costs Postgres. Only a
connection whose statement was cut short is reset.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connect = Callable[[], Awaitable[Connection]]

# A firewall may forget a connection that nothing was heard on for long, and tell nobody.
_IDLE_SECONDS = 300.0
# Resetting and closing wait for the server; one that is gone would never answer.
_LAST_WORD_SECONDS = 3.0


class Pool:
    """At most `size` connections, opened when they are needed."""

    def __init__(self, connect: Connect, size: int) -> None:
        self._connect = connect
        self._places = size
        self._open: set[Connection] = set()
        self._idle: list[tuple[Connection, float]] = []  # and since when
        self._waiting: deque[asyncio.Future[Connection]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def take_idle(self) -> Connection | None:
        """A connection of the caller's own, if there is one to be had without waiting."""
        self._retire(time.monotonic() - _IDLE_SECONDS)
        while self._idle:
            connection, _ = self._idle.pop()
            if not connection.is_closed():
                return connection
            self._forget(connection)
        return None

    async def take(self) -> Connection:
        """A connection of the caller's own, in the order of asking. Raises what connecting does."""
        if (idle := self.take_idle()) is not None:
            return idle
        if self._closed:
            raise asyncpg.InterfaceError("the pool is closed")
        place: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._open_another()
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.give_back(place.result())  # handed over in the very moment
            raise

    def give_back(self, connection: Connection) -> None:
        """For the next caller, if the connection is good for one."""
        if connection.is_closed() or self._closed:
            self._leave(self._end(connection))
        elif connection.is_in_transaction():
            self.clear(connection)
        elif (place := self._first_waiting()) is not None:
            place.set_result(connection)
        else:
            self._idle.append((connection, time.monotonic()))

    def clear(self, connection: Connection) -> None:
        """Resets the connection in the background (cancels its statement, rolls its transaction
        back), then returns it to the pool."""
        self._leave(self._reset(connection))

    async def close(self) -> None:
        """Ends them all, those in use at once."""
        self._closed = True
        while (place := self._first_waiting()) is not None:
            place.set_exception(asyncpg.InterfaceError("the pool is closed"))
        idle = {connection for connection, _ in self._idle}
        self._idle.clear()
        for connection in self._open - idle:
            connection.terminate()
        for connection in self._open:
            self._leave(self._end(connection))
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _open_another(self) -> None:
        """Whatever becomes of who waits for it: else a server that is slow to let anybody in would
        never see one of us through."""
        if self._places:
            self._places -= 1
            self._leave(self._open_one())

    async def _open_one(self) -> None:
        try:
            connection = await self._connect()
        except Exception as error:
            self._fail_waiting(error)
            self._free_place()
        else:
            self._open.add(connection)
            self.give_back(connection)

    def _fail_waiting(self, error: Exception) -> None:
        """Refuses the first waiting caller; all of them if there is no connection to wait for."""
        while (place := self._first_waiting()) is not None:
            place.set_exception(error)
            if self._open:
                return

    def _first_waiting(self) -> asyncio.Future[Connection] | None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                return place
        return None

    def _retire(self, since: float) -> None:
        while self._idle and self._idle[0][1] < since:
            self._leave(self._end(self._idle.pop(0)[0]))

    async def _reset(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(_LAST_WORD_SECONDS):
                # Waits until the server has ended the statement that was cut short, and answers
                # whether a transaction is open; asyncpg's reset would report one as an error.
                await connection.execute("")
                if connection.is_in_transaction():
                    await connection.execute("ROLLBACK")
                await connection.reset()
        except Exception:
            await self._end(connection)
        else:
            self.give_back(connection)

    async def _end(self, connection: Connection) -> None:
        with suppress(Exception):  # it is ended in any case
            await connection.close(timeout=_LAST_WORD_SECONDS)
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        if connection in self._open:
            self._open.discard(connection)
            self._free_place()

    def _free_place(self) -> None:
        self._places += 1
        if self._waiting and not self._closed:
            self._open_another()

    def _leave(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
