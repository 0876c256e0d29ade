"""Sessions at rest: the port `SessionStore` on Postgres."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from attachery_service.domain.idempotency import REQUEST_ID_LIFETIME, RequestKey
from attachery_service.domain.pages import Place
from attachery_service.domain.quota import Limits
from attachery_service.domain.sessions import NewSession, SessionFilter, UploadSession
from attachery_service.ports import Completion, Found, Rejection
from attachery_service.store.batches import PostgresBatches
from attachery_service.store.database import Database
from attachery_service.store.known_sessions import KnownSession, KnownSessions
from attachery_service.store.queries import query
from attachery_service.store.rows import (
    Row,
    from_checks,
    from_checksums,
    to_outcome,
    to_session,
    to_usage,
)
from attachery_service.store.together import Together
from attachery_service.store.usage import PostgresUsage


class PostgresSessions:
    """Each method runs the statement of its name.

    `known`: what `resolve` need not read again. `coalesce`: calls of `find` and `complete` share
    statements, unless they have a request id.
    """

    def __init__(
        self, database: Database, known: KnownSessions | None = None, *, coalesce: bool = True
    ) -> None:
        self.database = database
        self._known = known or KnownSessions(0)
        self._find: Callable[[tuple[str, UUID]], Awaitable[Row | None]] = self._find_one
        self._start: Callable[[_Beginning], Awaitable[Found | None]] = self._start_one
        self._complete: Callable[[_Ending], Awaitable[UploadSession | None]] = self._complete_one
        if coalesce:
            self._find = Together(self._find_one, self._find_many).ask
            self._start = Together(self._start_one, self._start_many, _under_which_limits).ask
            self._complete = Together(self._complete_one, self._complete_many, _by_whom).ask

    async def start(
        self, new: NewSession, request: RequestKey | None, limits: Limits, *, rehearsal: bool
    ) -> Found | None:
        if request is None and not rehearsal:
            return await self._start(_Beginning(new, limits))
        return await self._start_or_repeat(new, request, limits, rehearsal=rehearsal)

    async def _start_one(self, beginning: _Beginning) -> Found | None:
        new, limits = beginning.new, beginning.limits
        return await self._start_or_repeat(new, None, limits, rehearsal=False)

    async def _start_many(self, beginnings: Sequence[_Beginning]) -> Mapping[_Beginning, Found]:
        first = beginnings[0]
        columns = zip(*((b.new.attachment_id, *_described(b.new)) for b in beginnings), strict=True)
        rows = await self.database.rows(
            query("start_upload_sessions"),
            first.new.tenant_id,
            *_limit_values(first.limits),
            *columns,
        )
        started = {row["attachment_id"]: Found(to_session(row), outcome=None) for row in rows}
        return {b: started[i] for b in beginnings if (i := b.new.attachment_id) in started}

    async def _start_or_repeat(
        self, new: NewSession, request: RequestKey | None, limits: Limits, *, rehearsal: bool
    ) -> Found | None:
        run = self.database.rehearse if rehearsal else self.database.row
        values = (*_start_values(new, request), *_limit_values(limits))
        row = await run(query("start_upload_session"), *values)
        if row is not None:
            return Found(to_session(row), outcome=None)
        if (found := await self._find_started(new.tenant_id, request)) is not None:
            return found
        row = await self._start_after_dealing(run, values, new.tenant_id)
        if row["effective_state"] is not None:
            return Found(to_session(row), outcome=None)
        if not row["in_range"]:
            return None
        if (refusal := to_usage(row).refusal(new.tenant_id, limits, new.reserved)) is not None:
            raise refusal
        # Another call with this request id came between.
        return await self._find_started(new.tenant_id, request)

    async def find(
        self, tenant_id: str, attachment_id: UUID, request: RequestKey | None = None
    ) -> Found | None:
        if request is None:
            row = await self._find((tenant_id, attachment_id))
            return None if row is None else Found(to_session(row), outcome=None)
        row = await self.database.row(
            query("find_with_outcome"),
            tenant_id,
            attachment_id,
            request.method,
            request.request_id,
            REQUEST_ID_LIFETIME,
        )
        return None if row is None else Found(to_session(row), to_outcome(row))

    async def complete(
        self, pending: UploadSession, completion: Completion, request: RequestKey | None, actor: str
    ) -> UploadSession | None:
        ending = _Ending(pending, completion, actor, request)
        return await (self._complete if request is None else self._complete_one)(ending)

    async def fail(
        self,
        pending: UploadSession,
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
        self, tenant_id: str, wanted: SessionFilter, after: Place | None, limit: int
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
        known = self._known.find(tenant_id, attachment_ids)
        versions = [each and each.version for each in known]
        rows = await self.database.rows(
            query("resolve_attachments"), tenant_id, attachment_ids, versions
        )
        places = [row["place"] - 1 for row in rows]
        return {
            attachment_ids[place]: self._resolved(row, known[place])
            for place, row in zip(places, rows, strict=True)
        }

    def _resolved(self, row: Row, known: KnownSession | None) -> UploadSession:
        if known is not None and row["attachment_id"] is None:
            return known.read_at(row["call_time"])
        session = to_session(row)
        self._known.keep(row["version"], session)
        return session

    async def _find_one(self, wanted: tuple[str, UUID]) -> Row | None:
        return await self.database.row(query("find_upload_session"), *wanted)

    async def _find_many(
        self, wanted: Sequence[tuple[str, UUID]]
    ) -> Mapping[tuple[str, UUID], Row]:
        tenants, ids = zip(*wanted, strict=True)
        rows = await self.database.rows(query("find_upload_sessions"), tenants, ids)
        return {(row["tenant_id"], row["attachment_id"]): row for row in rows}

    async def _complete_one(self, ending: _Ending) -> UploadSession | None:
        completion = ending.completion
        return await self._change(
            "complete_upload_session",
            (ending.pending.tenant_id, ending.pending.attachment_id, ending.actor),
            ending.request,
            from_checks(completion.checks),
            completion.sealed.key,
            completion.sealed.etag,
            completion.size,
            from_checksums(completion.checksums),
            completion.detected_content_type,
        )

    async def _complete_many(self, endings: Sequence[_Ending]) -> Mapping[_Ending, UploadSession]:
        tenant_id, actor = _by_whom(endings[0])
        # Of two that would complete the same session one is first, here as anywhere.
        first: dict[UUID, _Ending] = {}
        for ending in endings:
            first.setdefault(ending.pending.attachment_id, ending)
        ready = await PostgresBatches(self.database).end(
            tenant_id, {i: e.completion for i, e in first.items()}, None, actor, atomic=False
        )
        return {first[attachment_id]: session for attachment_id, session in ready.items()}

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

    async def _find_started(self, tenant_id: str, request: RequestKey | None) -> Found | None:
        if request is None:
            return None
        row = await self.database.row(
            query("find_started"),
            tenant_id,
            request.method,
            request.request_id,
            REQUEST_ID_LIFETIME,
        )
        return None if row is None else Found(to_session(row), to_outcome(row))


@dataclass(frozen=True, slots=True, eq=False)
class _Beginning:
    """A session that is to be PENDING."""

    new: NewSession
    limits: Limits


def _under_which_limits(beginning: _Beginning) -> tuple[str, Limits]:
    return beginning.new.tenant_id, beginning.limits


@dataclass(frozen=True, slots=True, eq=False)
class _Ending:
    """A session that is to become READY."""

    pending: UploadSession
    completion: Completion
    actor: str
    request: RequestKey | None


def _by_whom(ending: _Ending) -> tuple[str, str]:
    return ending.pending.tenant_id, ending.actor


def _request_values(request: RequestKey | None) -> tuple[str | None, str | None, bytes | None]:
    if request is None:
        return None, None, None
    return request.method, request.request_id, request.payload_digest


def _limit_values(limits: Limits) -> tuple[int | None, int | None, int | None]:
    return limits.max_pending_sessions, limits.max_pending_bytes, limits.max_stored_bytes


def _start_values(new: NewSession, request: RequestKey | None) -> tuple[object, ...]:
    asked = (*_request_values(request), REQUEST_ID_LIFETIME)
    return (new.tenant_id, new.attachment_id, *asked, *_described(new))


def _described(new: NewSession) -> tuple[object, ...]:
    told = new.declaration
    return (
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
        new.auto_complete,
        new.declaration.is_inline,
    )
