"""Decisions about the items of a batch: which change together, what each one's answer is, and which
are tried again. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

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
from attachery_service.domain.sessions import UploadSession
from attachery_service.domain.transitions import Claim, Completion, Rejection
from attachery_service.usecases.uploads.batch_request import Batch
from attachery_service.usecases.uploads.checks import Verified
from attachery_service.usecases.uploads.upload_verifier import Completed, recorded

# What became of an item.
Answer = Completed | AttacheryError


@dataclass(frozen=True, slots=True)
class Arrival:
    """The verified upload of a PENDING session; without an error the session can become READY.

    For a session that the service has made READY: its stored facts compared with the item's.
    """

    session: UploadSession
    verified: Verified | None
    error: AttacheryError | None

    @property
    def overtaken(self) -> bool:
        """Whether a concurrent call may have completed or cancelled this session."""
        return isinstance(self.error, ObjectNotUploaded | ObjectChanging)

    @property
    def checks(self) -> tuple[Check, ...]:
        return () if self.verified is None else self.verified.checks


Arrivals = Mapping[UUID, Arrival]
Ending = Completion | Rejection | Claim
Endings = Mapping[UUID, Ending]


@dataclass(frozen=True, slots=True)
class Ended:
    """The final answers, and the sessions to verify once more."""

    answers: Mapping[UUID, Answer]
    again: Sequence[UploadSession] = ()


def to_do_again(
    batch: Batch,
    found: BatchLookup,
    left: Arrivals,
    there: Mapping[UUID, Answer],
    answers: Mapping[UUID, Answer],
) -> Ended:
    """Choose the sessions to verify again because the service has just completed some itself.

    These are the sessions that the service completed, to be claimed. In an atomic batch without a
    failed item, which has changed nothing so far, all others that are still open join them.
    `there`: the answers read after the change; `answers`: the latest answer of every item.
    """
    now = {i: found.sessions[i].session for i in left if i not in there}
    again = {i for i in now if now[i].can_be_claimed and not left[i].session.can_be_claimed}
    rest = [answer for i, answer in answers.items() if i not in again]
    if again and batch.atomic and not any(map(_is_failure, rest)):
        again = set(now)
    final = {i: answer for i, answer in answers.items() if i not in again}
    return Ended(final, [now[i] for i in again])


def _is_failure(answer: Answer) -> bool:
    """Whether the item itself has failed; BATCH_ABORTED is the effect of another item."""
    return isinstance(answer, AttacheryError) and not isinstance(answer, BatchAborted)


def left_answers(
    batch: Batch, endings: Endings, left: Arrivals, there: Mapping[UUID, Answer]
) -> Mapping[UUID, Answer]:
    """The answers for sessions that this call has not changed; a concurrent call may have."""
    lost = BatchAborted() if batch.atomic else DatabaseUnavailable()
    return {
        i: there.get(i) or (None if i in endings else arrival.error) or lost
        for i, arrival in left.items()
    }


def is_whole(batch: Batch, endings: Endings) -> bool:
    """Whether all sessions must change or none: an atomic batch without a failure to store."""
    return batch.atomic and all(map(is_good, endings.values()))


def is_good(ending: Ending) -> bool:
    """Whether the ending completes or claims its session without a mismatch."""
    match ending:
        case Completion():
            return True
        case Rejection():
            return False
        case Claim():
            return ending.mismatch is None


def known_answers(batch: Batch, found: BatchLookup) -> dict[UUID, Answer]:
    """The answers of all but those that are PENDING, or READY by the service alone."""
    answers = {i: _known_answer(i, found.sessions.get(i)) for i in batch.items}
    return {i: answer for i, answer in answers.items() if answer is not None}


def _known_answer(attachment_id: UUID, found: SessionLookup | None) -> Answer | None:
    if found is None:
        return AttachmentNotFound(attachmentId=attachment_id)
    try:
        if found.replayed_outcome is not None:
            return recorded(found, found.replayed_outcome)
        if not found.session.can_be_claimed:
            found.session.require_pending()
    except AttacheryError as error:
        return error
    return None
