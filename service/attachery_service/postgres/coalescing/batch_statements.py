"""The statements that calls in the same moment share, and what they ask."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from attachery_service.domain.idempotency import REQUEST_ID_LIFETIME, RequestKey
from attachery_service.domain.lookups import SessionLookup
from attachery_service.domain.new_session import NewSession
from attachery_service.domain.quota import Limits
from attachery_service.domain.sessions import Session, UploadSession
from attachery_service.domain.transitions import Completion
from attachery_service.postgres.database import Database
from attachery_service.postgres.parameters import (
    completion_values,
    limit_values,
    new_values,
    request_values,
)
from attachery_service.postgres.queries import query
from attachery_service.postgres.rows import to_outcome, to_session


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """A session somebody asks for."""

    tenant_id: str
    attachment_id: UUID
    request: RequestKey | None


@dataclass(frozen=True, slots=True, eq=False)
class Beginning:
    """A session that is to be PENDING."""

    new: NewSession
    request: RequestKey | None
    limits: Limits

    @property
    def kind(self) -> Hashable:
        return self.new.command.tenant_id, self.limits, self.request and self.request.method


@dataclass(frozen=True, slots=True, eq=False)
class Ending:
    """A session that is to be READY."""

    pending: Session
    completion: Completion
    request: RequestKey | None
    actor: str

    @property
    def kind(self) -> Hashable:
        return self.pending.tenant_id, self.actor, self.request and self.request.method


@dataclass(frozen=True, slots=True)
class SharedStatements:
    """Each answers the questions it can, with None where there is no such row to find or change.

    Of several questions with the same request id or session, it answers the first.
    """

    database: Database

    async def find(self, wanted: Sequence[Wanted]) -> Mapping[Wanted, SessionLookup | None]:
        tenants, ids = [w.tenant_id for w in wanted], [w.attachment_id for w in wanted]
        methods = [w.request and w.request.method for w in wanted]
        requests = [w.request and w.request.request_id for w in wanted]
        rows = await self.database.rows(
            query("find_upload_sessions"), tenants, ids, methods, requests, REQUEST_ID_LIFETIME
        )
        found: dict[Wanted, SessionLookup | None] = dict.fromkeys(wanted)
        for row in rows:
            found[wanted[row["place"] - 1]] = SessionLookup(to_session(row), to_outcome(row))
        return found

    async def start(self, beginnings: Sequence[Beginning]) -> Mapping[Beginning, SessionLookup]:
        first = beginnings[0]
        chosen = _first_of(beginnings, lambda b: b.request and b.request.request_id)
        columns = [
            (b.new.attachment_id, *new_values(b.new), *request_values(b.request)[1:])
            for b in chosen
        ]
        rows = await self.database.rows(
            query("start_upload_sessions"),
            first.new.command.tenant_id,
            *limit_values(first.limits),
            first.request and first.request.method,
            REQUEST_ID_LIFETIME,
            *zip(*columns, strict=True),
        )
        started = {
            row["attachment_id"]: SessionLookup(to_session(row), replayed_outcome=None)
            for row in rows
        }
        return {b: started[i] for b in chosen if (i := b.new.attachment_id) in started}

    async def complete(self, endings: Sequence[Ending]) -> Mapping[Ending, UploadSession | None]:
        first = endings[0]
        chosen = _first_of(endings, lambda e: e.request and e.request.request_id)
        chosen = _first_of(chosen, lambda e: e.pending.attachment_id)
        columns = [
            (
                e.pending.attachment_id,
                *request_values(e.request)[1:],
                *completion_values(e.completion),
            )
            for e in chosen
        ]
        rows = await self.database.rows(
            query("complete_upload_sessions"),
            first.pending.tenant_id,
            first.actor,
            first.request and first.request.method,
            REQUEST_ID_LIFETIME,
            *zip(*columns, strict=True),
        )
        ready = {row["attachment_id"]: to_session(row) for row in rows}
        # The single statement claims a row and its request id under the same conditions.
        return {e: ready.get(e.pending.attachment_id) for e in chosen}


_Question = TypeVar("_Question")


def _first_of(
    questions: Sequence[_Question], name: Callable[[_Question], Hashable | None]
) -> list[_Question]:
    """Those without a name, and the first of each name."""
    named: set[Hashable] = set()
    chosen = []
    for question in questions:
        own = name(question)
        if own is None or own not in named:
            chosen.append(question)
        named.add(own)
    return chosen
