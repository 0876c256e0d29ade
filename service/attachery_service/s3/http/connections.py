"""Connections to one origin for HEADs, used last in, first out.

There is a HEAD in every Complete. Over aiohttp, which knows redirects, cookies, bodies and proxies,
one takes 69 us of CPU; over these it takes 16 (64 callers at a time, uvloop, a store that answers
at once).
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass

from yarl import URL

from attachery_service.s3.http.http1 import Answer, Connection, Stale


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Connections at a time, and seconds for making one, for an answer, and without a request."""

    connections: int
    connect: float
    answer: float
    idle: float


class Connections:
    """Opened when they are needed; callers beyond the limit wait in the order of asking."""

    def __init__(self, origin: URL, tls: ssl.SSLContext | bool, limits: Limits) -> None:
        # Kept: in CPython 3.11 looking for the running loop is a system call.
        self._loop = asyncio.get_running_loop()
        self._origin = origin
        self._tls = tls if origin.scheme == "https" else None
        self._limits = limits
        self._places = limits.connections
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []
        # What they wait for: a connection, or a place to make one.
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._retiring: asyncio.TimerHandle | None = None
        self._closed = False

    async def head(self, request: bytes) -> Answer:
        """Raises ValueError if the answer is not plain, and OSError where there is none."""
        connection = self._idle.pop() if self._idle else await self._take()
        try:
            try:
                return await connection.head(request)
            except Stale:
                connection = await self._connect()
                return await connection.head(request)
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Ends them all, those in use too."""
        self._closed = True
        if self._retiring is not None:
            self._retiring.cancel()
        for connection in tuple(self._open):
            connection.end()

    async def _take(self) -> Connection:
        if self._places:
            self._places -= 1
        elif (handed := await self._wait()) is not None:
            return handed
        try:
            return await self._connect()
        except BaseException:
            self._free_place()
            raise

    async def _wait(self) -> Connection | None:
        place: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiting.append(place)
        try:
            return await place
        except asyncio.CancelledError:
            if not place.cancelled():
                self._hand_on(place.result())  # it came in the very moment
            raise

    async def _connect(self) -> Connection:
        async with asyncio.timeout(self._limits.connect):
            _, connection = await self._loop.create_connection(
                lambda: Connection(self._loop, self._limits.answer, self._open.discard),
                self._origin.raw_host or "",
                self._origin.port or 0,
                ssl=self._tls,
            )
        if self._closed:
            connection.end()
            raise ConnectionError("the connections are closed")
        self._open.add(connection)
        return connection

    def _give_back(self, connection: Connection) -> None:
        if not connection.is_free:
            connection.end()
            self._free_place()
        elif (place := self._first_waiting()) is not None:
            place.set_result(connection)
        else:
            connection.idle_since = self._loop.time()
            self._idle.append(connection)
            if self._retiring is None:
                self._retiring = self._loop.call_later(self._limits.idle, self._retire)

    def _hand_on(self, handed: Connection | None) -> None:
        if handed is None:
            self._free_place()
        else:
            self._give_back(handed)

    def _free_place(self) -> None:
        if (place := self._first_waiting()) is not None:
            place.set_result(None)
        else:
            self._places += 1

    def _first_waiting(self) -> asyncio.Future[Connection | None] | None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                return place
        return None

    def _retire(self) -> None:
        """Ends those idle for too long, and looks again when the next one will have been."""
        self._retiring = None
        since = self._loop.time() - self._limits.idle
        while self._idle and self._idle[0].idle_since <= since:
            self._idle.pop(0).end()
            self._free_place()
        if self._idle:
            due = self._idle[0].idle_since + self._limits.idle
            self._retiring = self._loop.call_at(due, self._retire)
