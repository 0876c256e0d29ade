"""Sizes of responses, which a use case needs before it changes anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attachery_service.domain.sessions import UploadSession


class SessionListSize(Protocol):
    """The size of a list of sessions as a response."""

    def max_items_that_fit(self, sessions: Sequence[UploadSession]) -> int:
        """Returns how many of the sessions, from the first, fit into one response: at least 1."""


class CompletedSize(Protocol):
    """The size of completed sessions as a response."""

    def check_response_size(self, sessions: Sequence[UploadSession]) -> None:
        """Raises InvalidRequest if the sessions may not fit into one response."""
