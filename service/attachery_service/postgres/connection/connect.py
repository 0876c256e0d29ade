"""Opens connections to the database that a URL names."""

from __future__ import annotations

from typing import TypeAlias

import asyncpg
import structlog

from attachery_service.postgres.connection.diagnosis import UNUSABLE_URL, DatabaseMisconfigured
from attachery_service.postgres.connection.url import DatabaseAddress

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_log = structlog.get_logger("attachery.database")

_CACHED_STATEMENTS = 100


async def connect(
    address: DatabaseAddress,
    *,
    seconds: float,
    statement_seconds: float | None = None,
    prepared_statements: bool = True,
) -> Connection:
    """Connects within `seconds`, unless the URL has a `connect_timeout`.

    Raises DatabaseMisconfigured for unusable parameters, and asyncpg's errors.
    """
    prepares = prepared_statements and address.prepared_statements
    try:
        return await asyncpg.connect(
            address.dsn,
            ssl=address.tls.context() if address.tls else None,
            timeout=address.connect_timeout or seconds,
            command_timeout=statement_seconds,
            statement_cache_size=_CACHED_STATEMENTS if prepares else 0,
            max_cached_statement_lifetime=0,
            server_settings=dict(address.server_settings),
        )
    except (ValueError, OverflowError) as error:  # also of a PG* variable or a service file
        raise DatabaseMisconfigured(detail=UNUSABLE_URL) from error


def log_parameters(address: DatabaseAddress) -> None:
    """Logs once which parameters of the URL have no effect."""
    if address.dropped:
        _log.info("database URL parameters without effect", parameters=address.dropped)
    if address.unprotected:
        _log.warning(
            "unsupported protections in the database URL; "
            "sslmode=verify-full is what protects the connection",
            parameters=address.unprotected,
        )
