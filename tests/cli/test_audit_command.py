"""`attachery audit`: its output, its exit codes, and its repairs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID, uuid4

import pytest

from attachery_service.app.options import database_options
from attachery_service.app.parts import audit_store_of
from attachery_service.postgres.database import open_database
from support.audit_fixtures import (
    BODY,
    HOUR,
    everything,
    held_too_long,
    held_too_short,
    key_of,
    late,
    miscounted,
    missing,
    orphan_without_a_session,
    overdue,
    put,
)
from support.commands import run
from support.process_fixtures import Dev, RunHere, ServeSettings
from support.processes import Done
from support.service_fixtures import TENANT, ServiceUnderTest

NOW = ("--orphan-age", "0")


def settings_of(service: ServiceUnderTest) -> ServeSettings:
    """The settings of the service, as the environment of a command."""
    settings = service.settings
    assert settings.s3_secret_key
    return {
        "database_url": settings.database_url.get_secret_value(),
        "s3_endpoint": settings.s3_endpoint,
        "s3_bucket": settings.s3_bucket,
        "s3_access_key": settings.s3_access_key,
        "s3_secret_key": settings.s3_secret_key.get_secret_value(),
    }


class RunAudit(Protocol):
    """Runs the command on the servers of the service, with changes of `settings`."""

    async def __call__(self, *arguments: str, **settings: object) -> Done: ...


@pytest.fixture
def audit(
    service: ServiceUnderTest, run_here: RunHere, capsys: pytest.CaptureFixture[str]
) -> RunAudit:
    async def run_audit(*arguments: str, **settings: object) -> Done:
        capsys.readouterr()  # the service's own log
        return await run_here("audit", *arguments, settings={**settings_of(service), **settings})

    return run_audit


def told(done: Done) -> tuple[dict[str, dict[str, Any]], Mapping[str, int]]:
    """Returns findings by key, else by attachment, else by kind; and the summary."""
    *findings, summary = map(json.loads, done.out.splitlines())
    assert done.code == (1 if findings else 0), done
    assert summary["summary"]["findings"] == len(findings)
    places = {f["key"] or f["attachment_id"] or f["kind"]: f for f in findings}
    assert len(places) == len(findings)
    return places, summary["summary"]


async def test_a_consistent_system_is_one_line(service: ServiceUnderTest, audit: RunAudit) -> None:
    sessions, objects = await everything(service)
    for repair in ((), ("--repair", *NOW)):
        done = await audit("--json", *repair)
        assert done.err == ""
        assert told(done) == (
            {},
            {
                "tenants": 1,
                "sessions": sessions,
                "objects": objects,
                "findings": 0,
                "repaired": 0,
            },
        )
    done = await audit()
    summary = f"tenants: 1, sessions: {sessions}, objects: {objects}, findings: 0, repaired: 0\n"
    assert done == Done(0, summary, "")


@pytest.mark.exhaustive
async def test_safe_repairs_are_made_and_the_rest_is_reported(
    service: ServiceUnderTest, audit: RunAudit
) -> None:
    hopeless = {await missing(service): "OBJECT_MISSING", await overdue(service): "SESSION_OVERDUE"}
    repairs = {
        await orphan_without_a_session(service): "deleted",
        await late(service): "made due",
        await held_too_short(service): "recomputed",
        await held_too_long(service): "recomputed",
    }
    await miscounted(service)
    repairs["USAGE_DIFFERS"] = "recounted"

    before = await audit("--json")
    findings, summary = told(before)
    assert set(findings) == {*hopeless, *repairs}
    assert {finding["repair"] for finding in findings.values()} == {""}
    assert {finding["tenant_id"] for finding in findings.values()} == {TENANT}
    assert summary["repaired"] == 0
    assert told(await audit("--json"))[0] == findings

    done = await audit("--json", "--repair", *NOW)
    findings, summary = told(done)
    assert {place: f["repair"] for place, f in findings.items() if f["repair"]} == repairs
    assert summary["repaired"] == len(repairs)
    logged = [json.loads(line) for line in done.err.splitlines()]
    assert [line["event"] for line in logged] == ["repaired"] * len(repairs)
    assert {line["repair"] for line in logged} == set(repairs.values())

    findings, _ = told(await audit("--json"))
    assert {place: finding["kind"] for place, finding in findings.items()} == hopeless
    lines = (await audit()).out.splitlines()
    assert {line.partition(" ")[0] for line in lines[:-1]} == set(hopeless.values())
    assert f"tenant_id {TENANT}; attachment_id " in lines[0]


async def test_an_orphan_is_deleted_only_once_it_is_old(
    service: ServiceUnderTest, audit: RunAudit
) -> None:
    key = await orphan_without_a_session(service)
    await service.start()
    for options in (("--repair",), NOW):
        done = await audit("--json", *options)
        assert told(done)[0][key]["repair"] == ""
    assert await service.keys_in_store() == {key}


async def test_tenants_with_a_common_prefix_are_separate(
    service: ServiceUnderTest, audit: RunAudit
) -> None:
    names = ("a", "a-b", "a.b", "a~", "A", "_")
    service.metadata = (("authorization", f"Bearer {await service.new_key(tenants=None)}"),)
    for name in names:
        await service.start(tenant_id=name)
        await put(service, key_of(service, name, str(uuid4()), "nonce"))
    await put(service, key_of(service, ".probe", "x", "0"))
    findings, summary = told(await audit("--json"))
    assert sorted(finding["tenant_id"] for finding in findings.values()) == sorted(names)
    assert (summary["tenants"], summary["sessions"], summary["objects"]) == (6, 6, 6)
    only = ("--tenant", "a", "--tenant", "a.b")
    done = await audit("--json", "--repair", *NOW, *only)
    assert {finding["tenant_id"] for finding in told(done)[0].values()} == {"a", "a.b"}
    left = {f["tenant_id"] for f in told(await audit("--json"))[0].values()}
    assert left == set(names) - {"a", "a.b"}


async def test_objects_of_an_unknown_tenant_are_kept_unless_it_is_named(
    service: ServiceUnderTest, audit: RunAudit
) -> None:
    key = await put(service, key_of(service, "stranger", str(uuid4()), "nonce"))
    repair = ("--json", "--repair", *NOW)
    findings, _ = told(await audit(*repair))
    assert (findings[key]["tenant_id"], findings[key]["repair"]) == ("stranger", "")
    named = await audit(*repair, "--tenant", "stranger")
    assert told(named)[0][key]["repair"] == "deleted"
    assert await service.keys_in_store() == set()


async def test_counters_are_repaired_once_while_others_go_on_booking(
    service: ServiceUnderTest,
) -> None:
    await service.ready(BODY)
    await service.database.execute(
        "UPDATE tenant_usage SET stored_bytes = stored_bytes + 5, pending_sessions = 7"
    )
    async with open_database(database_options(service.settings)) as database:
        store = audit_store_of(service.settings, database)
        async with service.database.acquire() as other, other.transaction():
            await other.execute("SELECT FROM tenant_usage FOR UPDATE")
            recounts = asyncio.gather(*(store.recount_usage(TENANT) for _ in range(2)))
            await service.until_blocked(2)
            await other.execute("UPDATE upload_sessions SET size = size - 1")
            await other.execute(
                "UPDATE tenant_usage SET stored_bytes = stored_bytes - 1"
                " WHERE shard = (SELECT usage_shard FROM upload_sessions)"
            )
        await recounts
        await service.ready(BODY)
        counted, booked = await store.usage(TENANT)
    assert counted == booked
    assert (counted.pending_sessions, counted.stored_bytes) == (0, 2 * len(BODY) - 1)


async def test_a_hold_is_repaired_with_concurrent_holds(service: ServiceUnderTest) -> None:
    attachment_id = await held_too_short(service)
    async with open_database(database_options(service.settings)) as database:
        store = audit_store_of(service.settings, database)
        async with service.database.acquire() as other, other.transaction():
            await other.execute("SELECT FROM upload_sessions FOR UPDATE")
            repair = asyncio.ensure_future(store.recompute_hold(TENANT, UUID(attachment_id)))
            await service.until_blocked(1)
            await other.execute("UPDATE holds SET expire_time = expire_time + interval '1 hour'")
        await repair
        (session,) = await store.sessions(TENANT, None, 2)
    assert session.held_until is not None
    assert session.held_until == session.holds_end_time
    assert session.held_until - session.read_time > 2 * HOUR


async def test_a_failed_audit_explains_itself_in_one_line(
    service: ServiceUnderTest, audit: RunAudit, empty_database_url: str
) -> None:
    await service.ready(BODY)
    nobody = "postgresql://nobody@127.0.0.1:1/nothing"
    for wrong, why in (
        ({"database_url": nobody}, "database"),
        ({"database_url": empty_database_url}, "run 'attachery migrate' first"),
        ({"s3_endpoint": "http://127.0.0.1:1"}, "storage"),
        ({"s3_bucket": f"missing-{uuid4()}"}, "storage"),
        ({"s3_bucket": ""}, "ATTACHERY_S3_BUCKET"),
    ):
        done = await audit("--json", **wrong)
        assert why in done.refused_with(2)


@pytest.mark.parametrize(
    "arguments", [("--tenant", "../t"), ("--orphan-age", "-1"), ("--orphan-age", "soon")]
)
def test_invalid_arguments_are_refused(
    arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        run(["audit", *arguments])
    assert refused.value.code == 2
    assert f"{arguments[0]}: must be" in capsys.readouterr().err


@pytest.mark.xdist_group("dev")
async def test_a_running_dev_is_in_order(dev: Dev, run_here: RunHere) -> None:
    async with dev.client() as client:
        await client.upload(BODY, tenant_id=dev.ready["tenant_id"], filename="a.txt")
    done = await run_here("audit", "--json", "--ready-file", dev.ready_file)
    assert told(done)[0] == {}
