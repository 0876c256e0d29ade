"""The sweep finds due sessions by an index, regardless of the number of sessions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from attachery_service.postgres.queries import query
from support.service_fixtures import TENANT, ServiceUnderTest

LIMIT, DAY = 100, timedelta(days=1)
ID = UUID(int=7)
CLOCKS = {"longest_upload": DAY, "retry_interval": DAY}
STATEMENTS: dict[str, dict[str, object]] = {
    "sweep/sweep": {**CLOCKS, "limit": LIMIT, "actor": "attachery"},
    "sweep/confirm_disposal": {
        **CLOCKS,
        "sweep_time": datetime.now(UTC),
        "tenant_ids": [TENANT],
        "attachment_ids": [ID],
        "revisions": [1],
    },
    "sweep/drop_request_outcomes": {"limit": LIMIT, "age": DAY},
    "sweep/drop_holds": {"limit": LIMIT, "age": DAY},
}
LARGE = {"upload_sessions", "session_events", "request_outcomes", "holds"}
FILL = """
    INSERT INTO upload_sessions SELECT (jsonb_populate_record(s, jsonb_build_object(
        'attachment_id', gen_random_uuid(),
        'due_time', s.due_time + (n - 2000) * interval '1 s'))).*
    FROM upload_sessions AS s, generate_series(1, 20000) AS n;
    INSERT INTO session_events (tenant_id, attachment_id, revision, state, actor)
    SELECT tenant_id, attachment_id, 2, 'pending', 'tester' FROM upload_sessions;
    INSERT INTO request_outcomes
        (tenant_id, method, request_id, payload_digest, attachment_id, create_time)
    SELECT 'acme', 'm', n::text, '', gen_random_uuid(), now() - n * interval '1 s'
    FROM generate_series(1, 100000) AS n;
    INSERT INTO holds (tenant_id, hold_id, owner, created_by, expire_time)
    SELECT 'acme', gen_random_uuid(), '', 'tester', now() + n * interval '1 s'
    FROM generate_series(1, 20000) AS n;
    ANALYZE
"""


@pytest.mark.exhaustive
async def test_no_statement_of_the_sweep_reads_a_large_table_whole(
    service: ServiceUnderTest,
) -> None:
    await service.start(size_bytes=1, request_id="r-1")
    for filling in FILL.split(";"):
        await service.database.execute(filling)
    for name, values in STATEMENTS.items():
        statement = query(name)
        plan = await service.database.fetchval(
            f"EXPLAIN (FORMAT JSON) {statement.text}", *statement.bind(values)
        )
        assert not LARGE & set(read_whole(json.loads(plan)[0]["Plan"])), name


def read_whole(node: dict[str, Any]) -> list[str]:
    """Returns the tables that are read by sequential scans."""
    own = [node["Relation Name"]] if node["Node Type"] == "Seq Scan" else []
    return own + [name for child in node.get("Plans", []) for name in read_whole(child)]
