"""`attachery keys` and `attachery check`, on a running `attachery dev`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from attachery_client import AttacheryClient
from attachery_client.errors import AttacheryError
from attachery_service.domain.credentials import ApiKey
from attachery_service.domain.identity import Scope
from support.commands import run
from support.process_fixtures import Dev, RunHere, ServeSettings
from support.processes import Done, ran

pytestmark = pytest.mark.xdist_group("dev")  # they share one server

NewKey = Callable[..., Awaitable[ApiKey]]


def told_key(done: Done) -> ApiKey:
    """The key in the printed line."""
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


async def use_of(dev: Dev, key: ApiKey) -> str:
    """Empty if the key works in tenant `t`, else the error."""
    async with dev.client(key.text) as client:
        return await may_start(client, "t")


async def may_start(client: AttacheryClient, tenant_id: str) -> str:
    """Empty if a Start succeeds, else the error."""
    try:
        await client.start_upload_session(
            tenant_id=tenant_id, filename="a.txt", content_type="text/plain", size_bytes=1
        )
    except AttacheryError as error:
        return error.reason
    return ""


async def test_a_new_key_works_at_once_within_its_rights(dev: Dev, new_key: NewKey) -> None:
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


IN_T = ("--tenant", "t", "--scope", "uploads.create")


async def test_list_shows_every_key_and_no_secret(
    dev: Dev, new_key: NewKey, run_here: RunHere
) -> None:
    one = await new_key("--name", "one", *IN_T, "--tenant", "a")
    anyone = await new_key("--name", "any", "--all-tenants", "--scope", "uploads.read")
    await run_here("keys", "revoke", "--ready-file", dev.ready_file, one.key_id)
    done = await run_here("keys", "list", "--ready-file", dev.ready_file)
    assert (done.code, done.err) == (0, "")
    listed = {line["id"]: line for line in map(json.loads, done.out.splitlines())}
    line = listed[one.key_id]
    created, revoked = (
        datetime.fromisoformat(line.pop(name)) for name in ("create_time", "revoke_time")
    )
    assert created < revoked <= datetime.now(UTC)
    assert line == {
        "id": one.key_id,
        "name": "one",
        "tenants": ["a", "t"],
        "scopes": ["uploads.create"],
        "expire_time": None,
    }
    assert (listed[anyone.key_id]["tenants"], listed[anyone.key_id]["revoke_time"]) == ("*", None)
    assert list(listed).index(one.key_id) < list(listed).index(anyone.key_id)
    for key in (one, anyone, ApiKey.parse(dev.ready["api_key"])):
        assert key is not None
        assert key.secret not in done.out
        assert key.secret_digest.hex() not in done.out


async def test_revoke_ends_a_key_and_is_idempotent(
    dev: Dev, new_key: NewKey, run_here: RunHere
) -> None:
    key = await new_key("--name", "n", *IN_T)
    revoke = ("keys", "revoke", "--ready-file", dev.ready_file, key.key_id)
    assert await run_here(*revoke) == Done(0, "", "")
    assert await use_of(dev, key) == "CREDENTIALS_INVALID"
    first = await run_here("keys", "list", "--ready-file", dev.ready_file)
    assert await run_here(*revoke) == Done(0, "", "")
    assert await run_here("keys", "list", "--ready-file", dev.ready_file) == first


async def test_rotate_gives_the_same_principal_another_key_and_ends_the_old_one(
    dev: Dev, new_key: NewKey, run_here: RunHere
) -> None:
    old = await new_key("--name", "n", *IN_T)
    rotate = ("keys", "rotate", "--ready-file", dev.ready_file)
    new = told_key(await run_here(*rotate, old.key_id))
    assert await use_of(dev, old) == "CREDENTIALS_INVALID"
    assert await use_of(dev, new) == ""
    async with dev.client(new.text) as client:
        assert await may_start(client, "another") == "TENANT_DENIED"
    assert "or it was revoked" in (await run_here(*rotate, old.key_id)).refused_with(1)


async def test_with_an_overlap_the_old_key_works_until_it_is_over(
    dev: Dev, new_key: NewKey, run_here: RunHere
) -> None:
    old, later = await new_key("--name", "n", *IN_T), await new_key("--name", "m", *IN_T)
    for key in (old, later):
        rotate = ("keys", "rotate", "--ready-file", dev.ready_file, "--overlap", "3600")
        told_key(await run_here(*rotate, key.key_id))
    assert await use_of(dev, old) == ""
    # An hour later, for a key that no call has cached yet.
    connection = await asyncpg.connect(dev.ready["database_url"])
    await connection.execute(
        "UPDATE api_keys SET revoke_time = revoke_time - interval '1 hour' WHERE key_id = $1",
        later.key_id,
    )
    await connection.close()
    assert await use_of(dev, later) == "CREDENTIALS_INVALID"
    # Revoking takes effect at once.
    await run_here("keys", "revoke", "--ready-file", dev.ready_file, old.key_id)
    assert "or it was revoked" in (await run_here(*rotate[:4], old.key_id)).refused_with(1)


async def times_of(dev: Dev, run_here: RunHere, key: ApiKey) -> tuple[datetime, datetime]:
    """When the key was created, and when it expires."""
    done = await run_here("keys", "list", "--ready-file", dev.ready_file)
    listed = {line["id"]: line for line in map(json.loads, done.out.splitlines())}
    created, expires = (listed[key.key_id][name] for name in ("create_time", "expire_time"))
    return datetime.fromisoformat(created), datetime.fromisoformat(expires)


async def test_a_key_with_a_lifetime_ends_after_it(
    dev: Dev, new_key: NewKey, run_here: RunHere
) -> None:
    key = await new_key("--name", "n", *IN_T, "--ttl", "36h")
    created, expires = await times_of(dev, run_here, key)
    assert expires - created == timedelta(hours=36)
    # The rotation of a key does not prolong it, unless a lifetime is given.
    rotate = ("keys", "rotate", "--ready-file", dev.ready_file, "--overlap", "60")
    new = told_key(await run_here(*rotate, key.key_id))
    assert (await times_of(dev, run_here, new))[1] == expires
    longer = told_key(await run_here(*rotate, new.key_id, "--ttl", "90d"))
    created, expires = await times_of(dev, run_here, longer)
    assert expires - created == timedelta(days=90)
    connection = await asyncpg.connect(dev.ready["database_url"])
    await connection.execute(
        "UPDATE api_keys SET expire_time = now() WHERE key_id = $1", longer.key_id
    )
    await connection.close()
    assert await use_of(dev, longer) == "CREDENTIALS_INVALID"
    assert "or has expired" in (await run_here(*rotate, longer.key_id)).refused_with(1)


@pytest.mark.parametrize("ttl", ["0", "-1", "soon", "3651d", "nan"])
async def test_a_lifetime_that_cannot_be_meant_is_refused(
    ttl: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--name", "n", "--tenant", "t", "--scope", "uploads.read"]
    with pytest.raises(SystemExit) as refused:
        run(["keys", "create", *options, f"--ttl={ttl}"])
    assert refused.value.code == 2
    assert "--ttl: must be a time above 0 and up to 3650 days" in capsys.readouterr().err


async def test_an_unknown_key_is_reported_in_one_line(dev: Dev, run_here: RunHere) -> None:
    for verb in ("revoke", "rotate"):
        done = await run_here("keys", verb, "--ready-file", dev.ready_file, "0" * 16)
        assert f"there is no key '{'0' * 16}'" in done.refused_with(1)
    # The log must not contain a key that was pasted as a whole by mistake.
    key = ApiKey.generate()
    done = await run_here("keys", "revoke", "--ready-file", dev.ready_file, key.text)
    assert key.secret not in done.refused_with(1)


@pytest.mark.parametrize("overlap", ["-1", "soon", "1e3", "31622401", "nan"])
async def test_an_overlap_that_cannot_be_meant_is_refused(
    dev: Dev, overlap: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        run(["keys", "rotate", "0" * 16, f"--overlap={overlap}"])
    assert refused.value.code == 2
    assert "--overlap: must be 0 to 31622400 seconds" in capsys.readouterr().err


async def test_operator_errors_are_reported_in_one_line(
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


async def test_check_shows_the_state_of_the_dependencies(dev: Dev, tmp_path: Path) -> None:
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
