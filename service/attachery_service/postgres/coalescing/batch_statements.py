"""The statements that read, start and complete sessions, and their parameters.

Each takes any number of sessions of any tenants: one for a call on its own, several for coalesced
calls and for batches.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from asyncpg import LockNotAvailableError

from attachery_service.domain.errors import DatabaseUnavailable
from attachery_service.domain.idempotency import REQUEST_ID_LIFETIME, RequestKey
from attachery_service.domain.lookups import SessionLookup
from attachery_service.domain.new_session import NewSession
from attachery_service.domain.quota import Limits
from attachery_service.domain.sessions import UploadSession
from attachery_service.domain.transitions import CompleteOutcome
from attachery_service.postgres.coalescing.coalescer import RunSeparately
from attachery_service.postgres.database import Database
from attachery_service.postgres.declarations import JsonRow
from attachery_service.postgres.parameters import (
    outcome_row,
    request_row,
    start_row,
    to_json,
)
from attachery_service.postgres.queries import Query, query
from attachery_service.postgres.rows import Row, to_outcome, to_session


@dataclass(frozen=True, slots=True, eq=False)
class FindParams:
    """A lookup of a session, of the outcome of a request id, or of both.

    Without `attachment_id`: the session that the request id has started.
    """

    tenant_id: str
    attachment_id: UUID | None
    request: RequestKey | None

    @property
    def row(self) -> JsonRow:
        row: JsonRow = {"tenant_id": self.tenant_id}
        if self.attachment_id is not None:
            row["attachment_id"] = str(self.attachment_id)
        if self.request is not None:
            row["method"], row["request_id"] = self.request.method, self.request.request_id
        return row


@dataclass(frozen=True, slots=True, eq=False)
class StartParams:
    """A session to store as PENDING."""

    new: NewSession
    request: RequestKey | None
    limits: Limits

    @property
    def row(self) -> JsonRow:
        return start_row(self.new, self.request, self.limits)


@dataclass(frozen=True, slots=True, eq=False)
class CompleteParams:
    """A session whose upload ends, with its outcome."""

    tenant_id: str
    attachment_id: UUID
    outcome: CompleteOutcome
    request: RequestKey | None
    actor: str

    @property
    def row(self) -> JsonRow:
        row = outcome_row(self.outcome)
        row["tenant_id"], row["attachment_id"] = self.tenant_id, str(self.attachment_id)
        row["actor"] = self.actor
        if self.request is not None:
            row.update(request_row(self.request))
            row["outcome_id"] = self.request.request_id
        return row


@dataclass(frozen=True, slots=True)
class BatchStatements:
    """Runs the statements; a `dry_run` rolls each back.

    None in a result means that there is no such row. `start` and `complete` raise RunSeparately if
    a lock of one session blocks the statement of several. Of several parameter sets with the same
    request id or session, `start` and `complete` run the first; the others have no entry.
    """

    database: Database
    dry_run: bool = False

    async def find(
        self, lookups: Sequence[FindParams]
    ) -> Mapping[FindParams, SessionLookup | None]:
        return {lookups[row["place"] - 1]: to_lookup(row) for row in await self.lookup(lookups)}

    async def lookup(self, lookups: Sequence[FindParams]) -> Sequence[Row]:
        """Reads one row for each lookup, also where there is neither session nor outcome."""
        return await self._run(
            query("sessions/find"),
            lookups=to_json([each.row for each in lookups]),
            request_lifetime=REQUEST_ID_LIFETIME,
        )

    async def start(self, starts: Sequence[StartParams]) -> Mapping[StartParams, SessionLookup]:
        chosen = _first_of(starts, lambda s: _request_id(s.new.command.tenant_id, s.request))
        rows = await self._run(
            query("sessions/start"),
            sessions=to_json([each.row for each in chosen]),
            request_lifetime=REQUEST_ID_LIFETIME,
            is_shared=len(chosen) > 1,
        )
        started = {
            row["attachment_id"]: SessionLookup(to_session(row), replayed_outcome=None)
            for row in rows
        }
        return {s: started[i] for s in chosen if (i := s.new.attachment_id) in started}

    async def complete(
        self, all_params: Sequence[CompleteParams]
    ) -> Mapping[CompleteParams, UploadSession | None]:
        chosen = _first_of(all_params, lambda p: _request_id(p.tenant_id, p.request))
        chosen = _first_of(chosen, lambda p: (p.tenant_id, p.attachment_id))
        changed = await self.complete_rows([each.row for each in chosen], is_shared=len(chosen) > 1)
        return {p: changed.get((p.tenant_id, p.attachment_id)) for p in chosen}

    async def complete_rows(
        self, outcomes: Iterable[JsonRow], *, is_shared: bool = False
    ) -> Mapping[tuple[str, UUID], UploadSession]:
        """Returns the sessions that have changed, by tenant and id.

        Raises RunSeparately if the statement `is_shared` by several calls and a lock blocks it.
        """
        rows = await self._run(
            query("sessions/complete"),
            outcomes=to_json(list(outcomes)),
            request_lifetime=REQUEST_ID_LIFETIME,
            is_shared=is_shared,
        )
        return {(row["tenant_id"], row["attachment_id"]): to_session(row) for row in rows}

    async def _run(self, statement: Query, **values: object) -> Sequence[Row]:
        run = self.database.dry_run if self.dry_run else self.database.rows
        try:
            return await run(statement, **values)
        except DatabaseUnavailable as error:
            if values.get("is_shared") and isinstance(error.__cause__, LockNotAvailableError):
                raise RunSeparately from error
            raise


def to_lookup(row: Row) -> SessionLookup | None:
    """Converts a row of `sessions/find`; None if it has no session."""
    if row["attachment_id"] is None:
        return None
    return SessionLookup(to_session(row), to_outcome(row))


_Params = TypeVar("_Params")


def _request_id(tenant_id: str, request: RequestKey | None) -> Hashable | None:
    return request and (tenant_id, request.method, request.request_id)


def _first_of(
    params: Sequence[_Params], key: Callable[[_Params], Hashable | None]
) -> Sequence[_Params]:
    """Keeps the first of each key, and all without a key."""
    if len(params) == 1:
        return params
    seen: set[Hashable] = set()
    chosen = []
    for each in params:
        own = key(each)
        if own is None or own not in seen:
            chosen.append(each)
        seen.add(own)
    return chosen
