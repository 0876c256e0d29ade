"""Explains in plain text why a server cannot be reached."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator

_CLAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "the host name is unknown, or no name server answers"),
    (ConnectionRefusedError, "nothing listens on that host and port"),
    (ConnectionError, "it closes the connection"),
    (TimeoutError, "no answer in time"),
)
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
_NO_ROUTE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL)


def network_fault(error: BaseException) -> str | None:
    """A clause such as "nothing listens on that host and port"; None if the network works."""
    found = (_clause(each) for each in _chain(error))
    return next((clause for clause in found if clause is not None), None)


def is_unknown_host(error: BaseException) -> bool:
    """Whether a name server answered that the host does not exist; it may also fail to answer."""
    return any(
        isinstance(each, socket.gaierror) and each.errno != socket.EAI_AGAIN
        for each in _chain(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yields the error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _clause(error: BaseException) -> str | None:
    # aiohttp's own errors of this kind have no useful text; their causes have.
    if message := getattr(error, "verify_message", None):
        return f"its TLS certificate is not trusted ({message})"
    if isinstance(error, ssl.SSLError):
        wrong = getattr(error, "reason", None) in _NO_TLS
        return "it does not speak TLS on that port" if wrong else None
    if isinstance(error, OSError) and error.errno in _NO_ROUTE:
        return "there is no route to that host"
    return next((clause for kind, clause in _CLAUSES if isinstance(error, kind)), None)
