"""The sweep: what becomes due with time, of all tenants. Database first, objects after."""

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

# What was claimed and not done is due again then; nobody works on it for longer.
RETRY = timedelta(seconds=30)

_MOST_BATCHES = 50
# After a full batch, in seconds: what piled up is no reason to keep the database from the calls.
_PAUSE = 0.1

T = TypeVar("T")


@dataclass(slots=True)
class Round:
    """What came of one round. `lag`: for how long the longest due session had been due.

    `left`: how many objects were not deleted and uploads not completed, by the error's reason; they
    are tried again after RETRY. `is_done`: nothing more is due.
    """

    lag: timedelta = timedelta()
    left: Counter[str] = field(default_factory=Counter)
    is_done: bool = False
    storage_fault: AttacheryError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Any number may run at once: what one has claimed the others leave to it.

    `observe` is told of everything that happens, and how often.
    """

    store: SweepStore
    objects: ObjectStore
    listing: ObjectListing
    auto_complete: AutoComplete
    batch_size: int
    observe: Callable[[SweepEvent, int], None]

    async def __call__(self) -> Round:
        """One round: batch by batch until nothing is due, or it has taken many.

        Once the store does not answer, the round deletes and completes nothing more. Cancelled, it
        ends with the batch at hand. Raises DatabaseUnavailable.
        """
        done = Round()
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

    async def _sweep_batch(self, done: Round) -> Sequence[SweptSession]:
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
        self, sessions: Sequence[SweptSession], done: Round
    ) -> Sequence[SweptSession]:
        """Those of which every dead object is deleted."""
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
        done.left.update(error.reason for error in failed.values())
        return [session for session in sessions if not failed.keys() & dead[session.attachment_id]]

    async def _lost_copies(
        self, sessions: Sequence[SweptSession], done: Round
    ) -> Mapping[UUID, Sequence[str]]:
        """What no row names: left by who was killed between making a copy and storing that."""
        lost = dict[UUID, Sequence[str]]()

        async def look(session: SweptSession) -> None:
            if done.storage_fault is not None:
                return
            try:
                keys = await self.listing.keys_of(session.tenant_id, session.attachment_id)
            except AttacheryError as error:
                done.storage_fault = error
                done.left[error.reason] += 1
            else:
                lost[session.attachment_id] = [key for key in keys if key != session.kept_key]

        await bounded_gather(
            [session for session in sessions if session.may_have_lost_copies], look
        )
        return lost

    async def _complete(self, sessions: Sequence[SweptSession], done: Round) -> None:
        async def complete(session: SweptSession) -> None:
            if done.storage_fault is not None:
                return
            try:
                completed = await self.auto_complete(session.tenant_id, session.attachment_id)
            except AttacheryError as error:
                done.left[error.reason] += 1
            else:
                self.observe(SweepEvent.AUTO_COMPLETED, int(completed))

        await bounded_gather(sessions, complete)


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which a first cancellation waits for and a second one ends."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise
