"""Decisions about the items of a batch, as pure functions.

They decide which sessions change together, the answer of each item, and which sessions are tried
again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from msgspec import Struct

from attachery_service.domain.checks import Check
from attachery_service.domain.errors import (
    AttacheryError,
    AttachmentNotFound,
    BatchAborted,
    DatabaseUnavailable,
    ObjectChanging,
    ObjectNotUploaded,
)
from attachery_service.domain.lookups import BatchLookup, SessionLookup
from attachery_service.domain.sessions import PendingSession, claimable, require_pending
from attachery_service.domain.transitions import Claim, CompleteOutcome, Completion, Rejection
from attachery_service.usecases.uploads.batch_command import BatchCommand
from attachery_service.usecases.uploads.checks import Verified
from attachery_service.usecases.uploads.upload_verifier import Completed, OpenSession, replay

# The result of an item.
Answer = Completed | AttacheryError


class VerifiedItem(Struct, frozen=True):
    """The verified upload of a PENDING session; without an error the session can become READY.

    For a session that the service has made READY: its stored facts compared with the item's.
    """

    session: OpenSession
    verified: Verified | None
    error: AttacheryError | None

    @property
    def may_have_lost_race(self) -> bool:
        """Whether a concurrent call may have completed or cancelled this session."""
        return isinstance(self.error, ObjectNotUploaded | ObjectChanging)

    @property
    def checks(self) -> tuple[Check, ...]:
        return () if self.verified is None else self.verified.checks


VerifiedItems = Mapping[UUID, VerifiedItem]
Outcomes = Mapping[UUID, CompleteOutcome]


class Attempt(Struct, frozen=True):
    """The final answers of an attempt, and the sessions to verify once more."""

    answers: Mapping[UUID, Answer]
    again: Sequence[OpenSession] = ()


class OpenItems(Struct, frozen=True):
    """The answers that are known before any change, and the sessions of all other items."""

    answers: dict[UUID, Answer]
    sessions: dict[UUID, OpenSession]


def open_items(batch: BatchCommand, found: BatchLookup) -> OpenItems:
    """Separates the sessions that a Complete can change from those with a known answer."""
    result = OpenItems({}, {})
    for attachment_id in batch.items:
        try:
            outcome = _open_or_answer(attachment_id, found.sessions.get(attachment_id))
        except AttacheryError as error:
            result.answers[attachment_id] = error
            continue
        if isinstance(outcome, Completed):
            result.answers[attachment_id] = outcome
        else:
            result.sessions[attachment_id] = outcome
    return result


def _open_or_answer(attachment_id: UUID, found: SessionLookup | None) -> OpenSession | Completed:
    """Raises the error of an item that cannot be completed."""
    if found is None:
        raise AttachmentNotFound(attachmentId=attachment_id)
    if found.replayed_outcome is not None:
        return replay(found, found.replayed_outcome)
    return claimable(found.session) or require_pending(found.session)


def next_attempt(
    batch: BatchCommand,
    left: VerifiedItems,
    now: OpenItems,
    answers: Mapping[UUID, Answer],
) -> Attempt:
    """Chooses the sessions to verify again because the service has completed some meanwhile.

    These are the sessions that the service completed, to be claimed. In an atomic batch without a
    failed item, which has changed nothing so far, all others that are still open join them.
    `now`: the items as read after the change; `answers`: the latest answer of every item.
    """
    open_now = {i: now.sessions[i] for i in left if i in now.sessions}
    was_pending = {i for i in open_now if isinstance(left[i].session, PendingSession)}
    again = {i for i in was_pending if claimable(open_now[i])}
    rest = [answer for i, answer in answers.items() if i not in again]
    if again and batch.atomic and not any(map(_is_failure, rest)):
        again = set(open_now)
    final = {i: answer for i, answer in answers.items() if i not in again}
    return Attempt(final, [open_now[i] for i in again])


def _is_failure(answer: Answer) -> bool:
    """Whether the item itself has failed; BATCH_ABORTED is the effect of another item."""
    return isinstance(answer, AttacheryError) and not isinstance(answer, BatchAborted)


def unchanged_answers(
    batch: BatchCommand, outcomes: Outcomes, left: VerifiedItems, known: Mapping[UUID, Answer]
) -> Mapping[UUID, Answer]:
    """The answers for sessions that this call has not changed; a concurrent call may have."""
    lost = BatchAborted() if batch.atomic else DatabaseUnavailable()
    return {
        i: known.get(i) or (None if i in outcomes else item.error) or lost
        for i, item in left.items()
    }


def is_whole(batch: BatchCommand, outcomes: Outcomes) -> bool:
    """Whether all sessions must change or none: an atomic batch without a failure to store."""
    return batch.atomic and all(map(is_good, outcomes.values()))


def is_good(outcome: CompleteOutcome) -> bool:
    """Whether the outcome completes or claims its session without a mismatch."""
    match outcome:
        case Completion():
            return True
        case Rejection():
            return False
        case Claim():
            return outcome.mismatch is None
