"""Starts one session on its own, with the cases that a coalesced statement leaves out."""

from __future__ import annotations

from attachery_service.domain.lookups import SessionLookup
from attachery_service.postgres.coalescing.batch_statements import (
    BatchStatements,
    FindParams,
    StartParams,
    to_lookup,
)
from attachery_service.postgres.database import Database
from attachery_service.postgres.parameters import to_json
from attachery_service.postgres.queries import query
from attachery_service.postgres.repositories.usage import PostgresUsage
from attachery_service.postgres.rows import Row, to_usage


async def start_one(statements: BatchStatements, params: StartParams) -> SessionLookup | None:
    """Stores the session, or finds the one that its request id has started.

    Returns None if the requested deadline is out of range. Raises ResourceExhausted. The statements
    may be dry runs: making room changes nothing that a caller sees.
    """
    while not (started := await statements.start([params])):
        if (replayed := await _find_replayed(statements, params)) is not None:
            return to_lookup(replayed)
        while not (room := await _rebalance(statements.database, params))["has_room"]:
            if not room["is_in_range"]:
                return None
            await _make_room(statements.database, params, room)
        # A concurrent call may take the room before the statement runs again.
    return started[params]


async def _find_replayed(statements: BatchStatements, params: StartParams) -> Row | None:
    """Finds the outcome of the request id, and its session unless that is gone."""
    if params.request is None:
        return None
    (row,) = await statements.lookup(
        [FindParams(params.new.command.tenant_id, None, params.request)]
    )
    return None if row["payload_digest"] is None else row


async def _rebalance(database: Database, params: StartParams) -> Row:
    row = await database.row(query("usage/rebalance"), session=to_json(params.row))
    if row is None:
        raise LookupError("the statement returns one row, always")
    return row


async def _make_room(database: Database, params: StartParams, room: Row) -> None:
    """Raises ResourceExhausted if there is none to make."""
    usage, command = PostgresUsage(database), params.new.command
    tenant_id = command.tenant_id
    if not room["shards"]:
        await usage.open(tenant_id)
    elif room["lacks_purpose"]:
        await usage.open_purpose(tenant_id, command.purpose)
    elif room["is_due"] and await usage.release_due(tenant_id):
        return
    elif refusal := to_usage(room).refusal(params.new, params.limits):
        raise refusal
