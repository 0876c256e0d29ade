"""The connection pool of PostgreSQL, which resets a connection only after an interrupted statement.

asyncpg's own pool sends a reset after every use, and makes a proxy, a timer and a future for it,
though most statements leave no state behind.

Gain: that reset is half of what a short statement costs PostgreSQL (asyncpg 0.32, PostgreSQL 18).
There is no switch; tests/adapters/postgres/test_pool.py covers each way in which a statement can
end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

import asyncpg

from attachery_service.aio.pool import ConnectionPool

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connect = Callable[[], Awaitable[Connection]]

# A firewall may drop an idle connection without notice to either side.
_IDLE_SECONDS = 300.0
# Resetting and closing wait for the server, which may never answer.
_CLEANUP_SECONDS = 3.0


class Pool(ConnectionPool[Connection]):
    """At most `size` connections, opened on demand by `connect`."""

    def __init__(self, connect: Connect, size: int) -> None:
        super().__init__(size, _IDLE_SECONDS)
        self._open_connection = connect

    def release(self, connection: Connection) -> None:
        """Returns a connection to the pool, reset first if a transaction is open on it."""
        if connection.is_in_transaction() and not connection.is_closed():
            self.reset(connection)
        else:
            super().release(connection)

    def reset(self, connection: Connection) -> None:
        """Cancels the connection's statement and its transaction, then returns it to the pool.

        The pool does this in the background: the caller does not wait for the server.
        """
        self._spawn(self._reset(connection))

    async def _connect(self) -> Connection:
        return await self._open_connection()

    def _is_usable(self, connection: Connection) -> bool:
        return not connection.is_closed()

    def _terminate(self, connection: Connection) -> None:
        connection.terminate()

    async def _disconnect(self, connection: Connection) -> None:
        with suppress(Exception):  # the connection is closed in any case
            await connection.close(timeout=_CLEANUP_SECONDS)

    async def _reset(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(_CLEANUP_SECONDS):
                # Waits until the server has ended the cancelled statement, and reports whether a
                # transaction is open, which asyncpg's reset would treat as an error.
                await connection.execute("")
                if connection.is_in_transaction():
                    await connection.execute("ROLLBACK")
                await connection.reset()
        except Exception:
            await self._end(connection)
        else:
            self.release(connection)
