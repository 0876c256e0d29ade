"""The state that all calls share."""

from __future__ import annotations

from attachery_client.connection import Connection


class CallsBase:
    """A connection, and the default deadline of Complete in seconds."""

    def __init__(self, connection: Connection, complete_timeout: float) -> None:
        self._connection = connection
        self._complete_timeout = complete_timeout
