"""Refreshes temporary credentials: one attempt at a time, which all callers share.

The SDK refreshes under a lock, within the call that holds it: the waiting calls repeat the attempt
one after the other, and during the last 15 minutes of valid credentials a call fails when the
metadata service is silent. Here an attempt runs in a task of its own. While the credentials are
valid, no call waits for it; once they are about to end, all calls wait for the same attempt.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any, Final

from attachery_service.aio.single_flight import SingleFlight

if TYPE_CHECKING:
    from aiobotocore.credentials import AioCredentials

# Seconds for one attempt, and between attempts while the credentials are still valid.
_ATTEMPT_SECONDS: Final = 30.0
_PAUSE: Final = 10.0


def share_refresh(credentials: AioCredentials) -> None:
    """Makes all callers of these credentials share a refresh; ignores other credentials."""
    if hasattr(credentials, "_protected_refresh"):
        credentials._refresh = _SharedRefresh(credentials)  # type: ignore[attr-defined]


class _SharedRefresh:
    """Replaces `AioRefreshableCredentials._refresh`."""

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials
        self._attempts: SingleFlight[bool, None] = SingleFlight(self._attempt, math.inf)
        self._next_attempt = -math.inf

    async def __call__(self) -> None:
        """Returns once the credentials can be used. Raises the errors of the refresh."""
        credentials = self._credentials
        if not credentials.refresh_needed(credentials._advisory_refresh_timeout):
            return
        if credentials.refresh_needed(credentials._mandatory_refresh_timeout):
            await self._attempts.get(True)
        elif time.monotonic() >= self._next_attempt:
            self._attempts.start(False)

    async def _attempt(self, is_mandatory: bool) -> None:
        self._next_attempt = time.monotonic() + _PAUSE
        async with asyncio.timeout(_ATTEMPT_SECONDS):
            await self._credentials._protected_refresh(is_mandatory=is_mandatory)
