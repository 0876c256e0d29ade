"""The sweep: changes the due sessions of all tenants, first in the database, then in storage."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from attachery_service.aio.deadline import set_time_left
from attachery_service.aio.fan_out import bounded_gather
from attachery_service.domain.errors import AttacheryError
from attachery_service.domain.sweeping import SweepEvent, SweptSession
from attachery_service.ports.objects import ObjectListing, ObjectStore
from attachery_service.ports.sweep import SweepStore
from attachery_service.usecases.uploads.auto_complete import AutoComplete

# The lease of a claimed session: after it the session is due again.
RETRY = timedelta(seconds=30)

_MOST_BATCHES = 50
# Seconds after a full batch, so that a backlog does not starve the calls of the database.
_PAUSE = 0.1

T = TypeVar("T")


@dataclass(slots=True)
class SweepResult:
    """The result of one round. `lag`: the time for which the longest due session had been due.

    `deferred`: the numbers of objects not deleted and uploads not completed, by the error's reason;
    they are retried after RETRY. `is_done`: nothing more is due.
    """

    lag: timedelta = timedelta()
    deferred: Counter[str] = field(default_factory=Counter)
    is_done: bool = False
    storage_fault: AttacheryError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Any number may run concurrently: each skips the sessions that another has claimed.

    Calls `observe` with each event and its count.
    """

    store: SweepStore
    objects: ObjectStore
    listing: ObjectListing
    auto_complete: AutoComplete
    batch_size: int
    observe: Callable[[SweepEvent, int], None]

    async def __call__(self) -> SweepResult:
        """Runs one round: batch by batch until nothing is due, up to a maximum.

        Once object storage is unavailable, the round deletes and completes nothing more. A
        cancelled round finishes its current batch. Raises DatabaseUnavailable.
        """
        done = SweepResult()
        for number in range(_MOST_BATCHES):
            batch = await _to_its_end(self._sweep_batch(done))
            if number == 0 and batch:
                done.lag = max(session.sweep_time - session.due_time for session in batch)
            done.is_done = len(batch) < self.batch_size
            if done.is_done:
                break
            await asyncio.sleep(_PAUSE)
        done.is_done &= not await self.store.prune_expired(self.batch_size)
        return done

    async def _sweep_batch(self, done: SweepResult) -> Sequence[SweptSession]:
        set_time_left(RETRY.total_seconds())
        batch = await self.store.sweep(self.batch_size)
        for event, count in Counter(e for session in batch for e in session.events).items():
            self.observe(event, count)
        disposed, _ = await asyncio.gather(
            self._dispose([session for session in batch if session.dead_keys], done),
            self._complete([session for session in batch if session.auto_completes], done),
        )
        await self.store.confirm_disposal(disposed)
        self.observe(SweepEvent.DISPOSED, len(disposed))
        return batch

    async def _dispose(
        self, sessions: Sequence[SweptSession], done: SweepResult
    ) -> Sequence[SweptSession]:
        """Returns the sessions of which every dead object is deleted."""
        lost = await self._lost_copies(sessions, done)
        if not sessions or done.storage_fault is not None:
            return []
        dead = {s.attachment_id: {*s.dead_keys, *lost.get(s.attachment_id, ())} for s in sessions}
        keys = [key for dead_keys in dead.values() for key in dead_keys]
        try:
            failed = await self.objects.delete_many(keys)
        except AttacheryError as error:
            done.storage_fault = error
            failed = dict.fromkeys(keys, error)
        self.observe(SweepEvent.FAILED_DELETES, len(failed))
        done.deferred.update(error.reason for error in failed.values())
        return [session for session in sessions if not failed.keys() & dead[session.attachment_id]]

    async def _lost_copies(
        self, sessions: Sequence[SweptSession], done: SweepResult
    ) -> Mapping[UUID, Sequence[str]]:
        """Finds copies that no row names, left by a Complete that was killed."""
        lost = dict[UUID, Sequence[str]]()

        async def look(session: SweptSession) -> None:
            if done.storage_fault is not None:
                return
            try:
                keys = await self.listing.keys_of(session.tenant_id, session.attachment_id)
            except AttacheryError as error:
                done.storage_fault = error
                done.deferred[error.reason] += 1
            else:
                lost[session.attachment_id] = [key for key in keys if key != session.kept_key]

        await bounded_gather(
            [session for session in sessions if session.may_have_lost_copies], look
        )
        return lost

    async def _complete(self, sessions: Sequence[SweptSession], done: SweepResult) -> None:
        async def complete(session: SweptSession) -> None:
            if done.storage_fault is not None:
                return
            try:
                completed = await self.auto_complete(session.tenant_id, session.attachment_id)
            except AttacheryError as error:
                done.deferred[error.reason] += 1
            else:
                self.observe(SweepEvent.AUTO_COMPLETED, int(completed))

        await bounded_gather(sessions, complete)


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Returns the result of `work`. A first cancellation waits for it; a second one ends it."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise
