"""What goes wrong with Postgres, in the domain's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from attachery_service.aio.deadline import database_budget
from attachery_service.aio.timeouts import coarse_timeout
from attachery_service.domain.errors import AttacheryError, MalformedRequest
from attachery_service.postgres.connection.diagnosis import explained

# What Postgres answers when it is shutting down, starting, full, or asks for another try.
_PASSING = (
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    # Mostly a password or a grant that is being changed; the call itself is right.
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InsufficientPrivilegeError,
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

FAULTS = (*_UNSTORABLE, *_PASSING, OSError)  # TimeoutError is an OSError


def in_words(fault: BaseException) -> AttacheryError:
    """Translates one of FAULTS; its own text stays in the cause, away from callers."""
    return MalformedRequest() if isinstance(fault, _UNSTORABLE) else explained(fault)


@contextmanager
def bounded(limit: float) -> Iterator[None]:
    """Bounds the block to what the call's database budget of `limit` seconds has left.

    Raises `in_words`.
    """
    try:
        with database_budget() as budget, coarse_timeout(budget.left(limit)):
            yield
    except FAULTS as fault:
        raise in_words(fault) from fault
