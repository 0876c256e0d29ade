"""Step `authorization`: requires the scope of the method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attachery_service.domain.errors import ScopeMissing
from attachery_service.rpc.methods import Access
from attachery_service.rpc.pipeline.calls import Call


@dataclass(frozen=True, slots=True)
class Authorization:
    """Rejects principals without the scope of the method, if it has one.

    Accepts principals bound to one session only in methods that take session tokens, and those
    of connection tokens only in methods that take these; the use case compares the session.
    """

    access: Access

    async def process(self, calls: Sequence[Call]) -> None:
        access = self.access
        if access.scope is None:
            return
        for call in calls:
            try:
                call.principal.require_scope(
                    access.scope,
                    about_one_session=access.accepts_session_token,
                    for_connections=access.accepts_connection_token,
                )
            except ScopeMissing as error:
                call.error = error
