"""What goes wrong with Postgres, in the domain's words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg

from attachery_service.domain.deadline import time_left
from attachery_service.domain.errors import DatabaseUnavailable, MalformedRequest

# What Postgres answers when it is shutting down, starting, full, or asks for another try.
_PASSING = (
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    # Mostly a password or a grant that is being changed; the call itself is right.
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.LockNotAvailableError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

# Text that Postgres cannot store, should it ever get past validation: the caller's, not ours.
_UNSTORABLE = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)


@contextmanager
def passing_faults() -> Iterator[None]:
    """Raises DatabaseUnavailable for every passing fault, its text only in the cause."""
    try:
        yield
    except _UNSTORABLE as error:
        raise MalformedRequest from error
    except (*_PASSING, OSError) as error:  # TimeoutError is an OSError
        raise DatabaseUnavailable from error


@asynccontextmanager
async def within(limit: float) -> AsyncIterator[None]:
    """Bounds the block to `limit` seconds or what the call's deadline leaves; faults as above."""
    with passing_faults():
        async with asyncio.timeout(time_left(limit)):
            yield
