"""`attachery keys create` and `attachery check`, on a running `attachery dev`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from attachery_client import AttacheryClient
from attachery_client.errors import AttacheryError
from attachery_service.domain.credentials import ApiKey
from attachery_service.domain.identity import Scope
from ops.conftest import Dev, RunHere, ServeSettings
from ops.processes import Done, ran

pytestmark = pytest.mark.xdist_group("dev")  # they share one

NewKey = Callable[..., Awaitable[ApiKey]]


def told_key(done: Done) -> ApiKey:
    """The key of the one line it printed."""
    assert (done.code, done.err) == (0, "")
    (line,) = done.out.splitlines()
    told = json.loads(line)
    key = ApiKey.parse(told["key"])
    assert set(told) == {"id", "key"}
    assert key is not None
    assert told["id"] == key.key_id
    return key


@pytest.fixture
def new_key(dev: Dev, run_here: RunHere) -> NewKey:
    async def create(*arguments: str) -> ApiKey:
        return told_key(
            await run_here("keys", "create", "--ready-file", dev.ready_file, *arguments)
        )

    return create


async def may_start(client: AttacheryClient, tenant_id: str) -> str:
    """Empty if it may, else why not."""
    try:
        await client.start_upload_session(
            tenant_id=tenant_id, filename="a.txt", content_type="text/plain", size_bytes=1
        )
    except AttacheryError as error:
        return error.reason
    return ""


async def test_a_new_key_works_at_once_and_only_for_what_it_was_made(
    dev: Dev, new_key: NewKey
) -> None:
    key = await new_key(
        "--name", "two", "--tenant", "a", "--tenant", "b", "--scope", "uploads.create"
    )
    async with dev.client(key.text) as client:
        assert await may_start(client, "a") == ""
        assert await may_start(client, "b") == ""
        assert await may_start(client, "c") == "TENANT_DENIED"
        with pytest.raises(AttacheryError) as refused:
            await client.get_upload_session("x", tenant_id="a")
        assert refused.value.reason == "SCOPE_MISSING"
    everything = [argument for scope in Scope for argument in ("--scope", scope)]
    key = await new_key("--name", "all", "--all-tenants", *everything)
    async with dev.client(key.text) as client:
        assert await may_start(client, "anyone") == ""


async def test_only_a_digest_of_the_secret_is_kept(dev: Dev, tmp_path: Path) -> None:
    options = ("--name", "kept", "--tenant", "t", "--scope", "uploads.read")
    key = told_key(await ran(tmp_path, "keys", "create", "--ready-file", dev.ready_file, *options))
    connection = await asyncpg.connect(dev.ready["database_url"])
    rows = await connection.fetch("SELECT k::text AS everything FROM api_keys AS k")
    await connection.close()
    everything = "\n".join(row["everything"] for row in rows)
    assert key.key_id in everything
    assert key.secret_digest.hex() in everything
    assert key.secret not in everything
    assert key.secret.encode().hex() not in everything


async def test_what_an_operator_gets_wrong_is_told_in_one_line(
    dev: Dev,
    run_here: RunHere,
    tmp_path: Path,
    serve_settings: ServeSettings,
    empty_database_url: str,
) -> None:
    key = ("--name", "n", "--scope", "uploads.read", "--tenant")
    done = await run_here("keys", "create", "--ready-file", dev.ready_file, *key, "../t")
    assert "--tenant" in done.refused_with(2)
    junk = tmp_path / "ready.json"
    junk.write_text('{"listen": "x"}')
    done = await run_here("keys", "create", "--ready-file", junk, *key, "t")
    assert "is not the ready file" in done.refused_with(1)
    done = await run_here("check", "--ready-file", tmp_path / "missing")
    assert "missing: No such file" in done.refused_with(1)
    unmigrated = {**serve_settings, "database_url": empty_database_url}
    done = await run_here("keys", "create", *key, "t", settings=unmigrated)
    assert "run 'attachery migrate' first" in done.refused_with(1)


async def test_check_shows_what_the_service_finds(dev: Dev, tmp_path: Path) -> None:
    done = await ran(tmp_path, "check", "--ready-file", dev.ready_file)
    assert (done.code, done.err) == (0, "")
    found = {line[:18].strip(): line[18:] for line in done.out.splitlines()}
    assert int(found["schema version"]) >= 1
    assert found["storage"] == f"{dev.ready['s3_endpoint']}, bucket {dev.ready['s3_bucket']}"
    assert found["seal"] == "write_once"
    assert found["permissions"] == "copy, delete, get, head, list, put"
    for clock in ("database clock", "storage clock"):
        difference, unit = found[clock].split(" ", 1)
        assert abs(float(difference)) < 5
        assert unit == "s from this machine's"
    for name in ("s3_secret_key", "api_key", "database_url"):
        assert dev.ready[name] not in done.out


async def test_check_fails_in_one_line_where_serve_would(
    serve_settings: ServeSettings, run_here: RunHere
) -> None:
    done = await run_here("check", settings={**serve_settings, "s3_secret_key": "not-the-key"})
    (line,) = done.err.splitlines()
    assert done.code == 1
    assert "wrong keys" in line
    assert "not-the-key" not in line
