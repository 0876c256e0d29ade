"""Many sessions at once: the port `BatchStore` on Postgres."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from attachery_service.domain.checksums import NO_CHECKSUMS
from attachery_service.domain.idempotency import REQUEST_ID_LIFETIME, Outcome, RequestKey
from attachery_service.domain.lookups import BatchLookup, SessionLookup
from attachery_service.domain.sessions import UploadSession
from attachery_service.domain.transitions import Claim, Completion, Rejection
from attachery_service.postgres.database import Database
from attachery_service.postgres.queries import query
from attachery_service.postgres.rows import (
    Row,
    from_checks,
    from_checksums,
    to_outcome,
    to_session,
)


@dataclass(frozen=True, slots=True)
class PostgresBatches:
    """`find` runs find_batch.sql, `end` end_batch.sql."""

    database: Database

    async def find(
        self, tenant_id: str, attachment_ids: Sequence[UUID], request: RequestKey | None
    ) -> BatchLookup:
        rows = await self.database.rows(
            query("find_batch"),
            tenant_id,
            list(attachment_ids),
            request and request.method,
            request and request.request_id,
            REQUEST_ID_LIFETIME,
        )
        found = [
            SessionLookup(to_session(row), to_outcome(row)) for row in rows if row["attachment_id"]
        ]
        return BatchLookup({f.session.attachment_id: f for f in found}, _batch_outcome(rows))

    async def end(
        self,
        tenant_id: str,
        endings: Mapping[UUID, Completion | Rejection | Claim],
        request: RequestKey | None,
        actor: str,
        *,
        atomic: bool,
    ) -> Mapping[UUID, UploadSession]:
        columns = zip(*(_ending_values(i, e) for i, e in endings.items()), strict=True)
        rows = await self.database.rows(
            query("end_batch"),
            tenant_id,
            actor,
            request and request.method,
            request and request.request_id,
            request and request.payload_digest,
            REQUEST_ID_LIFETIME,
            atomic,
            *(list(column) for column in columns),
        )
        return {row["attachment_id"]: to_session(row) for row in rows}


def _batch_outcome(rows: Sequence[Row]) -> Outcome | None:
    digest = next((row["batch_digest"] for row in rows), None)
    return None if digest is None else Outcome(digest)


def _ending_values(
    attachment_id: UUID, ending: Completion | Rejection | Claim
) -> tuple[object, ...]:
    """One value for each array of end_batch.sql."""
    checks = from_checks(ending.checks)
    match ending:
        case Completion():
            sealed, checksums = ending.sealed, from_checksums(ending.checksums)
            done = (sealed.key, sealed.etag, ending.size, checksums, ending.detected_content_type)
            return (attachment_id, "ready", checks, *done, None, None)
        case Rejection():
            facts = json.dumps(dict(ending.failure.facts))
            none = (None, None, None, from_checksums(NO_CHECKSUMS), None)
            return (attachment_id, "failed", checks, *none, ending.failure.reason, facts)
        case Claim():
            digests = (None, None, None, from_checksums(ending.checksums), None)
            reason = ending.mismatch and ending.mismatch.reason
            return (attachment_id, "claimed", checks, *digests, reason, None)
