"""Errors of embedded servers.

EmbeddedServerError
└── PortTakenError      inside this package only; the start is retried on another port
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attachery_service.cli.errors import CommandError


class EmbeddedServerError(CommandError):
    """An embedded server cannot be started; the message is one line that says why."""


class PortTakenError(EmbeddedServerError):
    """Another process took the port between its choice and the start."""


@contextmanager
def reported(doing: str) -> Iterator[None]:
    """Raise EmbeddedServerError for what the operating system refuses while `doing`."""
    try:
        yield
    except OSError as error:
        raise EmbeddedServerError(f"cannot {doing}: {error}") from error
