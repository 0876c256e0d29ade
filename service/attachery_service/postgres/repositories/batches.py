"""Many sessions at once: the port `BatchStore` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from msgspec.structs import replace

from attachery_service.domain.idempotency import Outcome, RequestKey
from attachery_service.domain.lookups import BatchLookup, SessionLookup
from attachery_service.domain.sessions import UploadSession
from attachery_service.domain.transitions import CompleteOutcome
from attachery_service.postgres.coalescing.batch_statements import (
    BatchStatements,
    CompleteParams,
    FindParams,
    to_lookup,
)
from attachery_service.postgres.database import Database
from attachery_service.postgres.declarations import JsonRow
from attachery_service.postgres.rows import Row, to_outcome


@dataclass(frozen=True, slots=True)
class PostgresBatches:
    """Runs the statements of single calls, with all sessions of the batch."""

    database: Database

    async def find(
        self, tenant_id: str, attachment_ids: Sequence[UUID], request: RequestKey | None
    ) -> BatchLookup:
        lookups = [FindParams(tenant_id, i, _of_one(request, i)) for i in attachment_ids]
        if request is not None:
            lookups.append(FindParams(tenant_id, None, _suffixed(request)))
        rows = await BatchStatements(self.database).lookup(lookups)
        found = [to_lookup(row) for row in rows if row["place"] <= len(attachment_ids)]
        return BatchLookup(_by_id(found), _batch_outcome(rows, len(attachment_ids)))

    async def complete(
        self,
        tenant_id: str,
        outcomes: Mapping[UUID, CompleteOutcome],
        request: RequestKey | None,
        actor: str,
        *,
        atomic: bool,
    ) -> Mapping[UUID, UploadSession]:
        all_params = [CompleteParams(tenant_id, i, o, request, actor) for i, o in outcomes.items()]
        rows = [_in_batch(params, atomic=atomic) for params in all_params]
        changed = await BatchStatements(self.database).complete_rows(rows)
        return {attachment_id: session for (_, attachment_id), session in changed.items()}


def _in_batch(params: CompleteParams, *, atomic: bool) -> JsonRow:
    row = params.row
    row["is_atomic"] = atomic
    if params.request is not None:
        row["outcome_id"] = _suffixed(params.request, row["attachment_id"]).request_id
        row["batch_id"] = _suffixed(params.request).request_id
    return row


def _by_id(found: Sequence[SessionLookup | None]) -> Mapping[UUID, SessionLookup]:
    return {each.session.attachment_id: each for each in found if each is not None}


def _batch_outcome(rows: Sequence[Row], sessions: int) -> Outcome | None:
    """The outcome of the batch's own lookup, the last one."""
    return next((to_outcome(row) for row in rows if row["place"] > sessions), None)


def _of_one(request: RequestKey | None, attachment_id: UUID) -> RequestKey | None:
    """The key of the outcome of one session of a batch."""
    return request and _suffixed(request, str(attachment_id))


def _suffixed(request: RequestKey, suffix: str = "") -> RequestKey:
    """The key of the batch's own outcome, or with the id of a session, of that session's."""
    return replace(request, request_id=f"{request.request_id}/{suffix}")
