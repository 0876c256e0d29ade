"""What goes wrong with an embedded server.

EmbeddedServerError
└── PortTakenError      inside this package only; a start tries again on another port
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class EmbeddedServerError(RuntimeError):
    """An embedded server cannot be started; the message is one line that says why."""


class PortTakenError(EmbeddedServerError):
    """Somebody else got the port between choosing it and listening on it."""


@contextmanager
def reported(doing: str) -> Iterator[None]:
    """Raise EmbeddedServerError for what the operating system refuses while `doing`."""
    try:
        yield
    except OSError as error:
        raise EmbeddedServerError(f"cannot {doing}: {error}") from error
