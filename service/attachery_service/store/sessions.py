"""Sessions at rest: the port `SessionStore` on Postgres."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from attachery_service.domain.checks import Check
from attachery_service.domain.idempotency import REQUEST_ID_LIFETIME, RequestKey
from attachery_service.domain.sessions import Failure, NewSession, UploadSession
from attachery_service.ports import Completion, Found
from attachery_service.store.database import Database
from attachery_service.store.queries import query
from attachery_service.store.rows import (
    from_checks,
    from_checksums,
    to_outcome,
    to_session,
)


@dataclass(frozen=True, slots=True)
class PostgresSessions:
    """Each method runs the statement of its name."""

    database: Database

    async def start(
        self, new: NewSession, request: RequestKey | None, *, rehearsal: bool
    ) -> Found | None:
        run = self.database.rehearse if rehearsal else self.database.row
        row = await run(query("start_upload_session"), *_start_values(new, request))
        if row is not None:
            return Found(to_session(row), outcome=None)
        return await self._find_started(new.tenant_id, request) if request else None

    async def find(
        self, tenant_id: str, attachment_id: UUID, request: RequestKey | None = None
    ) -> Found | None:
        method, request_id, _ = _request_values(request)
        row = await self.database.row(
            query("find_upload_session"),
            tenant_id,
            attachment_id,
            method,
            request_id,
            REQUEST_ID_LIFETIME,
        )
        return None if row is None else Found(to_session(row), to_outcome(row))

    async def complete(
        self, pending: UploadSession, completion: Completion, request: RequestKey | None, actor: str
    ) -> UploadSession | None:
        return await self._change(
            "complete_upload_session",
            (pending.tenant_id, pending.attachment_id, actor),
            request,
            from_checks(completion.checks),
            completion.sealed.key,
            completion.sealed.etag,
            completion.size,
            from_checksums(completion.checksums),
            completion.detected_content_type,
        )

    async def fail(
        self,
        pending: UploadSession,
        failure: Failure,
        checks: Sequence[Check],
        request: RequestKey | None,
        actor: str,
    ) -> UploadSession | None:
        return await self._change(
            "fail_upload_session",
            (pending.tenant_id, pending.attachment_id, actor),
            request,
            from_checks(checks),
            failure.reason,
            json.dumps(dict(failure.facts)),
        )

    async def cancel(
        self, tenant_id: str, attachment_id: UUID, request: RequestKey | None, actor: str
    ) -> UploadSession | None:
        return await self._change(
            "cancel_upload_session", (tenant_id, attachment_id, actor), request, from_checks(())
        )

    async def resolve(
        self, tenant_id: str, attachment_ids: Sequence[UUID]
    ) -> Mapping[UUID, UploadSession]:
        rows = await self.database.rows(
            query("resolve_attachments"), tenant_id, list(attachment_ids)
        )
        return {row["attachment_id"]: to_session(row) for row in rows}

    async def _change(
        self,
        statement: str,
        who: tuple[str, UUID, str],
        request: RequestKey | None,
        *values: object,
    ) -> UploadSession | None:
        row = await self.database.row(
            query(statement), *who, *_request_values(request), REQUEST_ID_LIFETIME, *values
        )
        return None if row is None else to_session(row)

    async def _find_started(self, tenant_id: str, request: RequestKey) -> Found | None:
        row = await self.database.row(
            query("find_started"),
            tenant_id,
            request.method,
            request.request_id,
            REQUEST_ID_LIFETIME,
        )
        return None if row is None else Found(to_session(row), to_outcome(row))


def _request_values(request: RequestKey | None) -> tuple[str | None, str | None, bytes | None]:
    if request is None:
        return None, None, None
    return request.method, request.request_id, request.payload_digest


def _start_values(new: NewSession, request: RequestKey | None) -> tuple[object, ...]:
    told = new.declaration
    return (
        new.tenant_id,
        new.attachment_id,
        *_request_values(request),
        REQUEST_ID_LIFETIME,
        new.purpose,
        told.filename,
        told.content_type,
        told.size,
        new.max_size,
        from_checksums(told.checksums),
        told.content_id,
        told.disposition,
        json.dumps(dict(told.metadata)),
        new.seal,
        new.upload_key,
        new.created_by,
        new.expire_time,
        new.ttl,
        new.min_ttl,
        new.max_ttl,
        new.object_retention,
        new.metadata_retention,
    )
