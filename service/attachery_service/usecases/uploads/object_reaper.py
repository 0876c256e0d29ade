"""Deletion of objects in the background, after the response is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from attachery_service.domain.errors import AttacheryError
from attachery_service.ports.objects import ObjectStore
from attachery_service.usecases.background_tasks import BackgroundTasks


@dataclass(frozen=True, slots=True)
class ObjectReaper:
    """Deletes objects that no row names any more. Calls `on_failure` for one that remains."""

    objects: ObjectStore
    background: BackgroundTasks
    on_failure: Callable[[str, AttacheryError], None]

    def delete_later(self, key: str) -> None:
        self.background.spawn(self._delete(key))

    async def _delete(self, key: str) -> None:
        try:
            await self.objects.delete(key)
        except AttacheryError as error:
            self.on_failure(key, error)
