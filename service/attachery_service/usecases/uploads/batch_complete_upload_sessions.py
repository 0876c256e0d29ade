"""BatchCompleteUploadSessions: complete many sessions, each as if alone, or all or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from attachery_service.aio.fan_out import CONCURRENCY, bounded_gather
from attachery_service.domain.errors import AttacheryError, StorageUnavailable, VerificationFailed
from attachery_service.domain.identity import Principal
from attachery_service.domain.lookups import BatchLookup
from attachery_service.domain.sessions import PendingSession, UploadSession
from attachery_service.domain.transitions import CompleteOutcome, Completion
from attachery_service.ports.responses import CompletedSize
from attachery_service.ports.sessions import BatchStore
from attachery_service.usecases.background_tasks import BackgroundTasks
from attachery_service.usecases.uploads.batch_command import BatchCommand
from attachery_service.usecases.uploads.batch_outcomes import (
    Answer,
    Attempt,
    Outcomes,
    VerifiedItem,
    VerifiedItems,
    is_good,
    is_whole,
    next_attempt,
    open_items,
    unchanged_answers,
)
from attachery_service.usecases.uploads.upload_verifier import (
    Completed,
    ExtraConstraints,
    OpenSession,
    UploadVerifier,
    claim_of,
    completion_of,
    rejection_of,
)


@dataclass(frozen=True, slots=True)
class BatchCompleteUploadSessions:
    """Completes any number of sessions with one statement that reads and one that changes.

    Reads object storage between the two. Sessions that the service itself completes meanwhile are
    verified a second time and claimed.
    """

    batches: BatchStore
    verifier: UploadVerifier
    background: BackgroundTasks
    response: CompletedSize

    async def __call__(
        self, principal: Principal, batch: BatchCommand
    ) -> list[tuple[UUID, Answer]]:
        """Completes the sessions of a batch; returns an answer per item, in order.

        Raises InvalidRequest, RequestIdReused, DatabaseUnavailable; an error that concerns one item
        is that item's answer.
        """
        found = await self._find(principal, batch)
        # Before anything changes, since the caller must be able to receive the outcome.
        self.response.check_response_size([each.session for each in found.sessions.values()])
        items = open_items(batch, found)
        answers: Mapping[UUID, Answer] = items.answers
        sessions: Sequence[OpenSession] = list(items.sessions.values())
        for is_last in (False, True):
            verified = await self._verify(batch, sessions)
            # The caller's cancellation or deadline cannot lose this outcome.
            attempt = await self.background.run_to_completion(
                self._store(principal, batch, answers, verified, is_last=is_last)
            )
            answers, sessions = {**answers, **attempt.answers}, attempt.again
            if not sessions:
                break
        return [(i, answers[i]) for i in batch.items]

    async def _find(self, principal: Principal, batch: BatchCommand) -> BatchLookup:
        """Finds the sessions of the batch that the principal sees."""
        found = await self.batches.find(batch.tenant_id, list(batch.items), batch.request)
        seen = {i: each for i, each in found.sessions.items() if principal.sees(each.session)}
        found = BatchLookup(seen, found.replayed_outcome)
        outcomes = [each.replayed_outcome for each in found.sessions.values()]
        for outcome in (found.replayed_outcome, *outcomes):
            if batch.request is not None and outcome is not None:
                outcome.require_same_payload(batch.request)
        return found

    async def _verify(self, batch: BatchCommand, sessions: Sequence[OpenSession]) -> VerifiedItems:
        """Verifies and seals the objects, several at a time.

        Each item has a storage budget of its own, as if it was completed alone. Once as many items
        in a row as run at a time have found object storage unavailable, the rest is answered the
        same without a request, so that a storage outage costs one budget and not one per turn.
        """
        items: dict[UUID, VerifiedItem] = {}
        faults = 0

        async def verify(session: OpenSession) -> None:
            nonlocal faults
            if faults >= CONCURRENCY:
                item = VerifiedItem(session, None, StorageUnavailable())
            else:
                item = await self._verify_one(session, batch.items[session.attachment_id])
            faults = faults + 1 if isinstance(item.error, StorageUnavailable) else 0
            items[session.attachment_id] = item

        try:
            await bounded_gather(sessions, verify)
        except BaseException:
            self._discard_copies(items.values())
            raise
        return items

    async def _verify_one(self, session: OpenSession, extras: ExtraConstraints) -> VerifiedItem:
        try:
            if isinstance(session, PendingSession):
                verified = await self.verifier.verify(session, extras)
            else:
                verified = await self.verifier.compare(session, extras)
        except AttacheryError as error:
            return VerifiedItem(session, None, error)
        return VerifiedItem(session, verified, verified.error)

    async def _store(
        self,
        principal: Principal,
        batch: BatchCommand,
        known: Mapping[UUID, Answer],
        items: VerifiedItems,
        *,
        is_last: bool,
    ) -> Attempt:
        """Stores the outcomes of the sessions that were PENDING, or READY by the service.

        Waits for the database only. `known` holds the answers of all other items: an error among
        them keeps an atomic batch from completing anything. Sessions that the service has completed
        meanwhile are returned to be verified again, unless this attempt `is_last`.
        """
        outcomes = self._outcomes(batch, known, items)
        good = {i for i, outcome in outcomes.items() if isinstance(outcome, Completion)}
        self._discard_copies(item for i, item in items.items() if i not in good)
        changed = await self._change(batch, principal.actor, outcomes)
        self._discard_copies(items[i] for i in good - changed.keys())
        answers = {i: self._answer(items[i], session) for i, session in changed.items()}
        left = {i: item for i, item in items.items() if i not in changed}
        found = await self._find_if_lost_race(principal, batch, outcomes, left)
        if found is None:
            return Attempt({**answers, **unchanged_answers(batch, outcomes, left, {})})
        now = open_items(batch, found)
        answers |= unchanged_answers(batch, outcomes, left, now.answers)
        if is_last:
            return Attempt(answers)
        return next_attempt(batch, left, now, {**known, **answers})

    async def _change(
        self, batch: BatchCommand, actor: str, outcomes: Outcomes
    ) -> Mapping[UUID, UploadSession]:
        if not outcomes:
            return {}
        return await self.batches.complete(
            batch.tenant_id, outcomes, batch.request, actor, atomic=is_whole(batch, outcomes)
        )

    def _outcomes(
        self, batch: BatchCommand, known: Mapping[UUID, Answer], items: VerifiedItems
    ) -> Outcomes:
        outcomes = {i: outcome for i, item in items.items() if (outcome := self._outcome(item))}
        errors = [*known.values(), *(item.error for item in items.values())]
        if batch.atomic and any(isinstance(error, AttacheryError) for error in errors):
            return {i: outcome for i, outcome in outcomes.items() if not is_good(outcome)}
        return outcomes

    def _outcome(self, item: VerifiedItem) -> CompleteOutcome | None:
        if item.verified is None:
            return None
        is_final = item.error is None or self.verifier.is_final(item.session, item.error)
        if not isinstance(item.session, PendingSession):
            return claim_of(item.verified) if is_final else None
        if item.error is None:
            return completion_of(item.verified)
        if isinstance(item.error, VerificationFailed) and is_final:
            return rejection_of(item.verified, item.error)
        return None

    def _answer(self, item: VerifiedItem, changed: UploadSession) -> Answer:
        if not isinstance(item.session, PendingSession):
            return item.error or Completed(changed, item.checks)
        if item.error is not None:
            self.verifier.discard_upload(changed)
            return item.error
        self.verifier.discard_source(changed)
        return Completed(changed, item.checks)

    async def _find_if_lost_race(
        self, principal: Principal, batch: BatchCommand, outcomes: Outcomes, left: VerifiedItems
    ) -> BatchLookup | None:
        """Reads the batch again if another call may have changed one of the sessions."""
        if any(i in outcomes or item.may_have_lost_race for i, item in left.items()):
            return await self._find(principal, batch)
        return None

    def _discard_copies(self, items: Iterable[VerifiedItem]) -> None:
        for item in items:
            if item.verified is not None and isinstance(item.session, PendingSession):
                self.verifier.discard_copy(item.session, item.verified.found.key)
