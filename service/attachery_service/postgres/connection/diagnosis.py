"""Explains faults of PostgreSQL to operators: an outage, or a configuration error.

Callers get DATABASE_UNAVAILABLE for either, since a password or a grant may be changing at that
moment.
"""

from __future__ import annotations

import re
import ssl
from typing import Final

import asyncpg

from attachery_service.common.errors import is_unknown_host, network_fault
from attachery_service.domain.errors import DatabaseUnavailable

_URL: Final = "ATTACHERY_DATABASE_URL"
UNUSABLE_URL: Final = f"the driver cannot use {_URL}, or a PG* variable beside it"


class DatabaseMisconfigured(DatabaseUnavailable):
    """An operator must act; callers see a DatabaseUnavailable."""

    summary = "The service's access to the database is misconfigured; an operator must act."


_STANDING: Final = (
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        f"it refuses the user or the password: correct {_URL}",
    ),
    (
        asyncpg.InvalidCatalogNameError,
        f"there is no such database: create it, or correct {_URL}",
    ),
    (
        asyncpg.InsufficientPrivilegeError,
        "the user lacks a privilege: grant it, or use the owner of the tables",
    ),
    (asyncpg.ClientConfigurationError, UNUSABLE_URL),
    (
        (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError),
        f"a file or socket that {_URL} names cannot be used",
    ),
    (
        ssl.SSLCertVerificationError,
        f"its TLS certificate is not trusted: {_URL} needs another sslrootcert or host name",
    ),
)

# Poolers report most refusals with an error code that also stands for outages.
_REFUSED_BY_POOLER: Final = re.compile(
    r"unsupported startup parameter|no such (user|database)|(user|tenant).* not found"
    r"|(password|SASL) authentication failed",
    re.IGNORECASE,
)
# OpenSSL's messages about certificates and keys in files.
_FILES: Final = re.compile(r"\[(X509|PEM)\b|PEM lib|KEY_VALUES_MISMATCH")
_NO_TLS: Final = "rejected SSL upgrade"


def explained(fault: BaseException) -> DatabaseUnavailable:
    """Returns the error for a fault, with a `detail` for operators."""
    if detail := _standing(fault):
        return DatabaseMisconfigured(detail=detail)
    clause = network_fault(fault)
    return DatabaseUnavailable(detail=clause and f"{clause}: is PostgreSQL running there?")


def _standing(fault: BaseException) -> str | None:
    for kinds, detail in _STANDING:
        if isinstance(fault, kinds):
            return detail
    if isinstance(fault, ssl.SSLError) and _FILES.search(str(fault)):
        return f"a TLS file that {_URL} names is invalid"
    if isinstance(fault, ConnectionError) and _NO_TLS in str(fault):
        return f"it offers no TLS, or is not PostgreSQL: correct the port or sslmode of {_URL}"
    if isinstance(fault, asyncpg.PostgresError) and _REFUSED_BY_POOLER.search(str(fault)):
        return f"its pooler refuses the user, the database or a parameter: correct {_URL}"
    if is_unknown_host(fault):
        return f"the host name is unknown: correct {_URL}"
    return None
