"""BatchCompleteUploadSessions: complete many sessions, each as if alone, or all or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from attachery_service.background import Background
from attachery_service.domain import inputs
from attachery_service.domain.checks import Check
from attachery_service.domain.checksums import Algorithm
from attachery_service.domain.errors import (
    AttacheryError,
    AttachmentNotFound,
    BatchAborted,
    DatabaseUnavailable,
    ObjectChanging,
    ObjectNotUploaded,
    StorageUnavailable,
    VerificationFailed,
)
from attachery_service.domain.idempotency import RequestKey, given, request_key
from attachery_service.domain.identity import Principal
from attachery_service.domain.sessions import UploadSession
from attachery_service.ports import BatchStore, Claim, Completion, Found, FoundBatch, Rejection
from attachery_service.usecases.intake import (
    Completed,
    Demands,
    Intake,
    claim_of,
    completion_of,
    recorded,
    rejection_of,
)
from attachery_service.usecases.sharing import AT_A_TIME, share_time
from attachery_service.usecases.verification import Verified

METHOD = "BatchCompleteUploadSessions"

MAX_ITEMS = 100

# What became of an item.
Answer = Completed | AttacheryError

# Raises InvalidRequest if an answer that shows these sessions is more than a caller can receive.
RequireReceivable = Callable[[Sequence[UploadSession]], None]


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One item as it came."""

    attachment_id: str
    checksums: Mapping[Algorithm, str]
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCompleteRequest:
    """The request as it came."""

    tenant_id: str
    request_id: str
    items: Sequence[BatchItem]
    atomic: bool


@dataclass(frozen=True, slots=True)
class _Batch:
    tenant_id: str
    items: Mapping[UUID, Demands]
    atomic: bool
    request: RequestKey | None


@dataclass(frozen=True, slots=True)
class _Arrival:
    """What the store has for a PENDING session; without an error it can become READY.

    For a session that the service has made READY, how its facts compare with the item's.
    """

    session: UploadSession
    verified: Verified | None
    error: AttacheryError | None

    @property
    def overtaken(self) -> bool:
        """Whether another call may have sealed, or given up, the object under our hands."""
        return isinstance(self.error, ObjectNotUploaded | ObjectChanging)

    @property
    def checks(self) -> tuple[Check, ...]:
        return () if self.verified is None else self.verified.checks


_Arrivals = Mapping[UUID, _Arrival]
_Ending = Completion | Rejection | Claim
_Endings = Mapping[UUID, _Ending]


@dataclass(frozen=True, slots=True)
class _Ended:
    """The answers that are final, and the sessions to take in once more."""

    answers: Mapping[UUID, Answer]
    again: Sequence[UploadSession] = ()


@dataclass(frozen=True, slots=True)
class BatchCompleteUploadSessions:
    """One statement reads, one changes, however many sessions; the store is asked in between."""

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
        batch = _read(request)
        found = await self._find(batch)
        # While nothing has changed: of what has, the caller must be able to receive the answer.
        require_receivable([each.session for each in found.sessions.values()])
        answers = _known_answers(batch, found)
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

    async def _find(self, batch: _Batch) -> FoundBatch:
        found = await self.batches.find(batch.tenant_id, list(batch.items), batch.request)
        for outcome in (found.outcome, *(each.outcome for each in found.sessions.values())):
            if batch.request is not None and outcome is not None:
                outcome.require_same_payload(batch.request)
        return found

    async def _take_in(self, batch: _Batch, pending: Sequence[UploadSession]) -> _Arrivals:
        """Verifies and seals the objects, several at a time.

        Each item has a storage budget of its own, as if it was completed alone. Once as many items
        in a row as run at a time have found object storage unavailable, the rest is answered the
        same without a request, so that a storage outage costs one budget and not one per turn.
        """
        arrivals: dict[UUID, _Arrival] = {}
        faults = 0

        async def take_in(session: UploadSession) -> None:
            nonlocal faults
            if faults >= AT_A_TIME:
                arrival = _Arrival(session, None, StorageUnavailable())
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

    async def _arrival(self, session: UploadSession, demands: Demands) -> _Arrival:
        take_in = self.intake.compare if session.can_be_claimed else self.intake
        try:
            verified = await take_in(session, demands)
        except AttacheryError as error:
            return _Arrival(session, None, error)
        return _Arrival(session, verified, verified.error)

    async def _end(
        self,
        batch: _Batch,
        actor: str,
        known: Mapping[UUID, Answer],
        arrivals: _Arrivals,
        *,
        is_last: bool,
    ) -> _Ended:
        """Store the outcomes of the sessions that were PENDING, or READY by the service.

        Waits for the database only. `known` holds the answers of all other items: an error among
        them keeps an atomic batch from completing anything. Sessions that the service has completed
        meanwhile are returned to be taken in again, unless this attempt `is_last`.
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
            return _Ended({**answers, **_left_answers(batch, endings, left, {})})
        there = _known_answers(batch, found)
        answers |= _left_answers(batch, endings, left, there)
        if is_last:
            return _Ended(answers)
        return _to_do_again(batch, found, left, there, {**known, **answers})

    async def _change(
        self, batch: _Batch, actor: str, endings: _Endings
    ) -> Mapping[UUID, UploadSession]:
        if not endings:
            return {}
        return await self.batches.end(
            batch.tenant_id, endings, batch.request, actor, atomic=_is_whole(batch, endings)
        )

    def _endings(
        self, batch: _Batch, known: Mapping[UUID, Answer], arrivals: _Arrivals
    ) -> _Endings:
        endings = {i: end for i, each in arrivals.items() if (end := self._ending(each))}
        errors = [*known.values(), *(arrival.error for arrival in arrivals.values())]
        if batch.atomic and any(isinstance(error, AttacheryError) for error in errors):
            return {i: end for i, end in endings.items() if not _is_good(end)}
        return endings

    def _ending(self, arrival: _Arrival) -> _Ending | None:
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

    def _answer(self, arrival: _Arrival, changed: UploadSession) -> Answer:
        if arrival.session.can_be_claimed:
            return arrival.error or Completed(changed, arrival.checks)
        if arrival.error is not None:
            self.intake.drop_upload(changed)
            return arrival.error
        self.intake.drop_source(changed)
        return Completed(changed, arrival.checks)

    async def _find_overtaken(
        self, batch: _Batch, endings: _Endings, left: _Arrivals
    ) -> FoundBatch | None:
        """Read the batch again if another call may have changed what this one has not."""
        if any(i in endings or arrival.overtaken for i, arrival in left.items()):
            return await self._find(batch)
        return None

    def _drop_copies(self, arrivals: Iterable[_Arrival]) -> None:
        for arrival in arrivals:
            if arrival.verified is not None:
                self.intake.drop_copy(arrival.session, arrival.verified.found.key)


def _to_do_again(
    batch: _Batch,
    found: FoundBatch,
    left: _Arrivals,
    there: Mapping[UUID, Answer],
    answers: Mapping[UUID, Answer],
) -> _Ended:
    """Choose the sessions to take in again because the service has just completed some itself.

    Only those of which this is true, and in an atomic batch the rest that it can still complete:
    without a failed item it has changed nothing so far. `answers`: the latest of every item.
    """
    now = {i: found.sessions[i].session for i in left if i not in there}
    again = {i for i in now if now[i].can_be_claimed and not left[i].session.can_be_claimed}
    rest = [answer for i, answer in answers.items() if i not in again]
    if again and batch.atomic and not any(map(_is_failure, rest)):
        again = set(now)
    final = {i: answer for i, answer in answers.items() if i not in again}
    return _Ended(final, [now[i] for i in again])


def _is_failure(answer: Answer) -> bool:
    """Whether an item has failed, and not merely stopped because of another one."""
    return isinstance(answer, AttacheryError) and not isinstance(answer, BatchAborted)


def _left_answers(
    batch: _Batch, endings: _Endings, left: _Arrivals, there: Mapping[UUID, Answer]
) -> Mapping[UUID, Answer]:
    """The answers of sessions this call has not changed: another call may have, meanwhile."""
    lost = BatchAborted() if batch.atomic else DatabaseUnavailable()
    return {
        i: there.get(i) or (None if i in endings else arrival.error) or lost
        for i, arrival in left.items()
    }


def _is_whole(batch: _Batch, endings: _Endings) -> bool:
    """Whether all must change or none: an atomic batch that does not stop at its failures."""
    return batch.atomic and all(map(_is_good, endings.values()))


def _is_good(ending: _Ending) -> bool:
    match ending:
        case Completion():
            return True
        case Rejection():
            return False
        case Claim():
            return ending.mismatch is None


def _known_answers(batch: _Batch, found: FoundBatch) -> dict[UUID, Answer]:
    """The answers of all but those that are PENDING, or READY by the service alone."""
    answers = {i: _known_answer(i, found.sessions.get(i)) for i in batch.items}
    return {i: answer for i, answer in answers.items() if answer is not None}


def _known_answer(attachment_id: UUID, found: Found | None) -> Answer | None:
    if found is None:
        return AttachmentNotFound(attachmentId=attachment_id)
    try:
        if found.outcome is not None:
            return recorded(found, found.outcome)
        if not found.session.can_be_claimed:
            found.session.require_pending()
    except AttacheryError as error:
        return error
    return None


def _read(request: BatchCompleteRequest) -> _Batch:
    reader = inputs.Reader()
    reader.take("tenant_id", "INVALID_TENANT_ID", inputs.tenant_id, request.tenant_id)
    request_id = reader.take(
        "request_id", "INVALID_REQUEST_ID", inputs.request_id, request.request_id
    )
    items = _read_items(reader, request.items)
    reader.done()
    payload = {"items": [_payload(*item) for item in items.items()], "atomic": request.atomic}
    key = request_key(METHOD, request_id, payload)
    return _Batch(request.tenant_id, items, request.atomic, key)


def _read_items(reader: inputs.Reader, items: Sequence[BatchItem]) -> dict[UUID, Demands]:
    count = len(items)
    if not count:
        reader.refuse("items", "INVALID_ITEMS", "must hold at least one item")
    if count > MAX_ITEMS:
        rule = f"must hold at most {MAX_ITEMS} items"
        reader.refuse("items", "BATCH_TOO_LARGE", rule, maxCount=MAX_ITEMS, actualCount=count)
        return {}
    read: dict[UUID, Demands] = {}
    for number, item in enumerate(items):
        field = f"items[{number}]"
        attachment_id = reader.take(
            f"{field}.attachment_id",
            "INVALID_ATTACHMENT_ID",
            inputs.attachment_id,
            item.attachment_id,
        )
        if attachment_id in read:
            rule = "must not stand twice in one batch"
            reader.refuse(f"{field}.attachment_id", "DUPLICATE_ATTACHMENT_ID", rule)
        checksums = inputs.checksums(reader, f"{field}.checksums", item.checksums)
        size = inputs.size(reader, item.size, inputs.MAX_SIZE, f"{field}.size_bytes", min_size=0)
        read[attachment_id] = Demands(checksums, size)
    return read


def _payload(attachment_id: UUID, demands: Demands) -> Mapping[str, object]:
    return given(
        {
            "attachment_id": attachment_id,
            "checksums": demands.checksums.known(),
            "size": demands.size,
        }
    )
