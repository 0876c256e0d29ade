"""Sessions at rest: the port `SessionStore` on Postgres."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from operator import attrgetter
from uuid import UUID

from attachery_service.domain.idempotency import REQUEST_ID_LIFETIME, RequestKey
from attachery_service.domain.lookups import SessionLookup
from attachery_service.domain.new_session import NewSession
from attachery_service.domain.pages import PageCursor
from attachery_service.domain.quota import Limits
from attachery_service.domain.sessions import Session, SessionFilter, UploadSession
from attachery_service.domain.transitions import Claim, Completion, Rejection
from attachery_service.postgres.caches.sessions import SessionCache
from attachery_service.postgres.coalescing.batch_statements import (
    Beginning,
    Ending,
    SharedStatements,
    Wanted,
)
from attachery_service.postgres.coalescing.coalescer import Together
from attachery_service.postgres.database import Database
from attachery_service.postgres.parameters import (
    completion_values,
    limit_values,
    new_values,
    request_values,
)
from attachery_service.postgres.queries import query
from attachery_service.postgres.repositories.usage import PostgresUsage
from attachery_service.postgres.rows import (
    Row,
    from_checks,
    from_checksums,
    to_outcome,
    to_session,
    to_usage,
)


class PostgresSessions:
    """Each method runs the statement of its name.

    `cache`: spares `resolve` unchanged rows. `coalesce`: calls of `start`, `find` and `complete`
    in the same moment share statements.
    """

    def __init__(
        self, database: Database, cache: SessionCache | None = None, *, coalesce: bool = True
    ) -> None:
        self.database = database
        self._cache = cache or SessionCache(0)
        self._start: Callable[[Beginning], Awaitable[SessionLookup | None]] = self._start_one
        self._find: Callable[[Wanted], Awaitable[SessionLookup | None]] = self._find_one
        self._complete: Callable[[Ending], Awaitable[UploadSession | None]] = self._complete_one
        if coalesce:
            shared, kind = SharedStatements(database), attrgetter("kind")
            timeout = database.timeout
            self._start = Together(self._start_one, shared.start, kind, timeout).ask
            self._find = Together(self._find_one, shared.find, timeout=timeout).ask
            self._complete = Together[Ending, UploadSession](
                self._complete_one, shared.complete, kind, timeout
            ).ask

    async def start(
        self, new: NewSession, request: RequestKey | None, limits: Limits, *, dry_run: bool
    ) -> SessionLookup | None:
        beginning = Beginning(new, request, limits)
        if dry_run:
            return await self._start_by(self.database.dry_run, beginning)
        return await self._start(beginning)

    async def find(
        self, tenant_id: str, attachment_id: UUID, request: RequestKey | None = None
    ) -> SessionLookup | None:
        return await self._find(Wanted(tenant_id, attachment_id, request))

    async def complete(
        self, pending: Session, completion: Completion, request: RequestKey | None, actor: str
    ) -> UploadSession | None:
        return await self._complete(Ending(pending, completion, request, actor))

    async def claim(
        self, ready: Session, claim: Claim, request: RequestKey | None, actor: str
    ) -> UploadSession | None:
        return await self._change(
            "claim_upload_session",
            (ready.tenant_id, ready.attachment_id, actor),
            request,
            from_checks(claim.checks),
            from_checksums(claim.checksums),
            claim.mismatch and claim.mismatch.reason,
        )

    async def fail(
        self,
        pending: Session,
        rejection: Rejection,
        request: RequestKey | None,
        actor: str,
    ) -> UploadSession | None:
        failure = rejection.failure
        return await self._change(
            "fail_upload_session",
            (pending.tenant_id, pending.attachment_id, actor),
            request,
            from_checks(rejection.checks),
            failure.reason,
            json.dumps(dict(failure.facts)),
        )

    async def cancel(
        self, tenant_id: str, attachment_id: UUID, request: RequestKey | None, actor: str
    ) -> UploadSession | None:
        return await self._change(
            "cancel_upload_session", (tenant_id, attachment_id, actor), request, from_checks(())
        )

    async def delete(
        self,
        tenant_id: str,
        attachment_id: UUID,
        request: RequestKey | None,
        actor: str,
        *,
        force: bool,
    ) -> UploadSession | None:
        return await self._change(
            "delete_attachment",
            (tenant_id, attachment_id, actor),
            request,
            from_checks(()),
            force,
        )

    async def page(
        self, tenant_id: str, wanted: SessionFilter, after: PageCursor | None, limit: int
    ) -> Sequence[UploadSession]:
        rows = await self.database.rows(
            query("list_upload_sessions"),
            tenant_id,
            after.create_time if after else None,
            after.attachment_id if after else None,
            wanted.create_time_from,
            wanted.create_time_before,
            wanted.purpose,
            list(wanted.states) or None,
            limit,
        )
        return [to_session(row) for row in rows]

    async def resolve(
        self, tenant_id: str, attachment_ids: Sequence[UUID]
    ) -> Mapping[UUID, UploadSession]:
        cached = self._cache.find(tenant_id, attachment_ids)
        versions = [each and each.row_version for each in cached]
        rows = await self.database.rows(
            query("resolve_attachments"), tenant_id, attachment_ids, versions
        )
        places = [row["place"] - 1 for row in rows]
        return {
            attachment_ids[place]: self._cache.resolve(row, cached[place], row["call_time"])
            for place, row in zip(places, rows, strict=True)
        }

    async def _start_one(self, beginning: Beginning) -> SessionLookup | None:
        return await self._start_by(self.database.row, beginning)

    async def _start_by(
        self, run: Callable[..., Awaitable[Row | None]], beginning: Beginning
    ) -> SessionLookup | None:
        new, request, limits = beginning.new, beginning.request, beginning.limits
        tenant_id = new.command.tenant_id
        values = (*_start_values(new, request), *limit_values(limits))
        row = await run(query("start_upload_session"), *values)
        if row is not None:
            return SessionLookup(to_session(row), replayed_outcome=None)
        if (found := await self._find_started(tenant_id, request)) is not None:
            return found
        row = await self._start_after_dealing(run, values, tenant_id)
        if row["effective_state"] is not None:
            return SessionLookup(to_session(row), replayed_outcome=None)
        if not row["in_range"]:
            return None
        if (refusal := to_usage(row).refusal(tenant_id, limits, new.reserved)) is not None:
            raise refusal
        # Another call with this request id came between.
        return await self._find_started(tenant_id, request)

    async def _find_one(self, wanted: Wanted) -> SessionLookup | None:
        who, request = (wanted.tenant_id, wanted.attachment_id), wanted.request
        if request is None:
            row = await self.database.row(query("find_upload_session"), *who)
            return None if row is None else SessionLookup(to_session(row), replayed_outcome=None)
        given = (request.method, request.request_id, REQUEST_ID_LIFETIME)
        row = await self.database.row(query("find_with_outcome"), *who, *given)
        return None if row is None else SessionLookup(to_session(row), to_outcome(row))

    async def _complete_one(self, ending: Ending) -> UploadSession | None:
        return await self._change(
            "complete_upload_session",
            (ending.pending.tenant_id, ending.pending.attachment_id, ending.actor),
            ending.request,
            *completion_values(ending.completion),
        )

    async def _change(
        self,
        statement: str,
        who: tuple[str, UUID, str],
        request: RequestKey | None,
        *values: object,
    ) -> UploadSession | None:
        row = await self.database.row(
            query(statement), *who, *request_values(request), REQUEST_ID_LIFETIME, *values
        )
        return None if row is None else to_session(row)

    async def _start_after_dealing(
        self, run: Callable[..., Awaitable[Row | None]], values: Sequence[object], tenant_id: str
    ) -> Row:
        """Its row, once nothing more can be done to make room."""
        usage = PostgresUsage(self.database)
        while True:
            row = await run(query("start_after_dealing"), *values)
            if row is None:
                raise LookupError("the statement answers one row, always")
            if row["effective_state"] is not None or not row["in_range"]:
                return row
            if not row["shards"]:
                await usage.open(tenant_id)
            elif not (row["is_due"] and await usage.release_due(tenant_id)):
                return row

    async def _find_started(
        self, tenant_id: str, request: RequestKey | None
    ) -> SessionLookup | None:
        if request is None:
            return None
        row = await self.database.row(
            query("find_started"),
            tenant_id,
            request.method,
            request.request_id,
            REQUEST_ID_LIFETIME,
        )
        return None if row is None else SessionLookup(to_session(row), to_outcome(row))


def _start_values(new: NewSession, request: RequestKey | None) -> tuple[object, ...]:
    asked = (*request_values(request), REQUEST_ID_LIFETIME)
    return (new.command.tenant_id, new.attachment_id, *asked, *new_values(new))
