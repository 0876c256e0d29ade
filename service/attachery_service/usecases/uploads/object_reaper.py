"""Deleting objects nobody needs any more, once the answer is out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from attachery_service.aio.background_tasks import Background
from attachery_service.domain.errors import AttacheryError
from attachery_service.ports.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class Disposal:
    """The database has forgotten these objects already; `on_failure` is told of one that stays."""

    objects: ObjectStore
    background: Background
    on_failure: Callable[[str, AttacheryError], None]

    def later(self, key: str) -> None:
        self.background.leave(self._delete(key))

    async def _delete(self, key: str) -> None:
        try:
            await self.objects.delete(key)
        except AttacheryError as error:
            self.on_failure(key, error)
