"""BatchCompleteUploadSessions: complete many sessions, each as if alone, or all or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from attachery_service.aio.background_tasks import Background
from attachery_service.aio.fan_out import AT_A_TIME, share_time
from attachery_service.domain.errors import AttacheryError, StorageUnavailable, VerificationFailed
from attachery_service.domain.identity import Principal
from attachery_service.domain.lookups import BatchLookup
from attachery_service.domain.sessions import UploadSession
from attachery_service.domain.transitions import Completion
from attachery_service.ports.sessions import BatchStore
from attachery_service.usecases.uploads.batch_outcomes import (
    Answer,
    Arrival,
    Arrivals,
    Ended,
    Ending,
    Endings,
    is_good,
    is_whole,
    known_answers,
    left_answers,
    to_do_again,
)
from attachery_service.usecases.uploads.batch_request import Batch, BatchCompleteRequest, read_batch
from attachery_service.usecases.uploads.upload_verifier import (
    Completed,
    Demands,
    Intake,
    claim_of,
    completion_of,
    rejection_of,
)

# Raises InvalidRequest if an answer that shows these sessions is more than a caller can receive.
RequireReceivable = Callable[[Sequence[UploadSession]], None]


@dataclass(frozen=True, slots=True)
class BatchCompleteUploadSessions:
    """Completes with one statement that reads and one that changes, however many sessions.

    Object storage is asked between the two. Sessions that the service completes by itself
    meanwhile are verified a second time and claimed.
    """

    batches: BatchStore
    intake: Intake
    background: Background

    async def __call__(
        self,
        principal: Principal,
        request: BatchCompleteRequest,
        require_receivable: RequireReceivable,
    ) -> list[tuple[UUID, Answer]]:
        """An answer per item, in order. Raises InvalidRequest, RequestIdReused,
        DatabaseUnavailable; what concerns one item is that item's answer.
        """
        batch = read_batch(request)
        found = await self._find(batch)
        # Before anything changes, since the caller must be able to receive the outcome.
        require_receivable([each.session for each in found.sessions.values()])
        answers = known_answers(batch, found)
        sessions: Sequence[UploadSession] = [
            each.session for i, each in found.sessions.items() if i not in answers
        ]
        for is_last in (False, True):
            arrivals = await self._take_in(batch, sessions)
            # The caller's cancellation or deadline cannot lose this outcome.
            ended = await self.background.finish(
                self._end(batch, principal.name, answers, arrivals, is_last=is_last)
            )
            answers, sessions = {**answers, **ended.answers}, ended.again
            if not sessions:
                break
        return [(i, answers[i]) for i in batch.items]

    async def _find(self, batch: Batch) -> BatchLookup:
        found = await self.batches.find(batch.tenant_id, list(batch.items), batch.request)
        for outcome in (
            found.replayed_outcome,
            *(each.replayed_outcome for each in found.sessions.values()),
        ):
            if batch.request is not None and outcome is not None:
                outcome.require_same_payload(batch.request)
        return found

    async def _take_in(self, batch: Batch, pending: Sequence[UploadSession]) -> Arrivals:
        """Verify and seal the objects, several at a time.

        Each item has a storage budget of its own, as if it was completed alone. Once as many items
        in a row as run at a time have found object storage unavailable, the rest is answered the
        same without a request, so that a storage outage costs one budget and not one per turn.
        """
        arrivals: dict[UUID, Arrival] = {}
        faults = 0

        async def take_in(session: UploadSession) -> None:
            nonlocal faults
            if faults >= AT_A_TIME:
                arrival = Arrival(session, None, StorageUnavailable())
            else:
                arrival = await self._arrival(session, batch.items[session.attachment_id])
            faults = faults + 1 if isinstance(arrival.error, StorageUnavailable) else 0
            arrivals[session.attachment_id] = arrival

        try:
            await share_time(pending, take_in)
        except BaseException:
            self._drop_copies(arrivals.values())
            raise
        return arrivals

    async def _arrival(self, session: UploadSession, demands: Demands) -> Arrival:
        take_in = self.intake.compare if session.can_be_claimed else self.intake
        try:
            verified = await take_in(session, demands)
        except AttacheryError as error:
            return Arrival(session, None, error)
        return Arrival(session, verified, verified.error)

    async def _end(
        self,
        batch: Batch,
        actor: str,
        known: Mapping[UUID, Answer],
        arrivals: Arrivals,
        *,
        is_last: bool,
    ) -> Ended:
        """Store the outcomes of the sessions that were PENDING, or READY by the service.

        Waits for the database only. `known` holds the answers of all other items: an error among
        them keeps an atomic batch from completing anything. Sessions that the service has completed
        meanwhile are returned to be verified again, unless this attempt `is_last`.
        """
        endings = self._endings(batch, known, arrivals)
        good = {i for i, end in endings.items() if isinstance(end, Completion)}
        self._drop_copies(arrival for i, arrival in arrivals.items() if i not in good)
        changed = await self._change(batch, actor, endings)
        self._drop_copies(arrivals[i] for i in good - changed.keys())
        answers = {i: self._answer(arrivals[i], session) for i, session in changed.items()}
        left = {i: arrival for i, arrival in arrivals.items() if i not in changed}
        found = await self._find_overtaken(batch, endings, left)
        if found is None:
            return Ended({**answers, **left_answers(batch, endings, left, {})})
        there = known_answers(batch, found)
        answers |= left_answers(batch, endings, left, there)
        if is_last:
            return Ended(answers)
        return to_do_again(batch, found, left, there, {**known, **answers})

    async def _change(
        self, batch: Batch, actor: str, endings: Endings
    ) -> Mapping[UUID, UploadSession]:
        if not endings:
            return {}
        return await self.batches.end(
            batch.tenant_id, endings, batch.request, actor, atomic=is_whole(batch, endings)
        )

    def _endings(self, batch: Batch, known: Mapping[UUID, Answer], arrivals: Arrivals) -> Endings:
        endings = {i: end for i, each in arrivals.items() if (end := self._ending(each))}
        errors = [*known.values(), *(arrival.error for arrival in arrivals.values())]
        if batch.atomic and any(isinstance(error, AttacheryError) for error in errors):
            return {i: end for i, end in endings.items() if not is_good(end)}
        return endings

    def _ending(self, arrival: Arrival) -> Ending | None:
        if arrival.verified is None:
            return None
        is_final = arrival.error is None or self.intake.is_final(arrival.session)
        if arrival.session.can_be_claimed:
            return claim_of(arrival.verified) if is_final else None
        if arrival.error is None:
            return completion_of(arrival.verified)
        if isinstance(arrival.error, VerificationFailed) and is_final:
            return rejection_of(arrival.verified, arrival.error)
        return None

    def _answer(self, arrival: Arrival, changed: UploadSession) -> Answer:
        if arrival.session.can_be_claimed:
            return arrival.error or Completed(changed, arrival.checks)
        if arrival.error is not None:
            self.intake.drop_upload(changed)
            return arrival.error
        self.intake.drop_source(changed)
        return Completed(changed, arrival.checks)

    async def _find_overtaken(
        self, batch: Batch, endings: Endings, left: Arrivals
    ) -> BatchLookup | None:
        """Read the batch again if another call may have changed what this one has not."""
        if any(i in endings or arrival.overtaken for i, arrival in left.items()):
            return await self._find(batch)
        return None

    def _drop_copies(self, arrivals: Iterable[Arrival]) -> None:
        for arrival in arrivals:
            if arrival.verified is not None:
                self.intake.drop_copy(arrival.session, arrival.verified.found.key)
