"""Errors of embedded servers.

EmbeddedServerError
└── PortTakenError      inside this package only; the start is retried on another port
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attachery_service.cli.errors import CommandError


class EmbeddedServerError(CommandError):
    """An embedded server cannot be started; the message is one line with the reason."""


class PortTakenError(EmbeddedServerError):
    """Another process took the port between its choice and the start."""


@contextmanager
def reported(doing: str) -> Iterator[None]:
    """Raises EmbeddedServerError for an error of the operating system while `doing`."""
    try:
        yield
    except OSError as error:
        raise EmbeddedServerError(f"cannot {doing}: {error}") from error
