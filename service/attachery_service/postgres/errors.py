"""Translates the errors of asyncpg and PostgreSQL into domain errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from attachery_service.aio.deadline import database_budget
from attachery_service.aio.timeouts import coarse_timeout
from attachery_service.domain.errors import AttacheryError, MalformedRequest
from attachery_service.postgres.connection.diagnosis import explained

# Transient: PostgreSQL is shutting down, starting or full, or asks for a retry.
_TRANSIENT = (
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

# Text that PostgreSQL cannot store, if it gets past validation: an error of the caller.
_UNSTORABLE = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)

FAULTS = (*_UNSTORABLE, *_TRANSIENT, OSError)  # TimeoutError is an OSError


def to_domain_error(fault: BaseException) -> AttacheryError:
    """Translates one of FAULTS; its own text stays in the cause, away from callers."""
    return MalformedRequest() if isinstance(fault, _UNSTORABLE) else explained(fault)


@contextmanager
def translate_errors(limit: float) -> Iterator[None]:
    """Bounds the block to what the call's database budget of `limit` seconds has left.

    Raises the error of `to_domain_error`.
    """
    try:
        with database_budget() as budget, coarse_timeout(budget.left(limit)):
            yield
    except FAULTS as fault:
        raise to_domain_error(fault) from fault
