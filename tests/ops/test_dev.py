"""`attachery dev`: one command, everything there, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from attachery.v1.resources_pb2 import UPLOAD_SESSION_STATE_READY as READY
from attachery_service.cli.main import run
from ops.conftest import BODY, Dev, running_dev
from ops.processes import eventually, family, is_alive, ran, started
from store_fixtures import StoreUnderTest

pytestmark = pytest.mark.xdist_group("dev")  # they share one

TENANT = "demo"
SCOPE = "uploads.read"
KEYS = {
    "listen",
    "tenant_id",
    "api_key",
    "s3_endpoint",
    "s3_bucket",
    "s3_access_key",
    "s3_secret_key",
    "database_url",
    "metrics",
}


async def upload(dev: Dev) -> str:
    """The id of an attachment that went through the whole flow."""
    async with dev.client() as client, aiohttp.ClientSession() as http:
        started = await client.start_upload_session(
            tenant_id=TENANT, filename="a.txt", content_type="text/plain", size_bytes=len(BODY)
        )
        target = started.target
        async with http.request(
            target.method, target.url, data=BODY, headers=dict(target.headers)
        ) as answer:
            answer.raise_for_status()
        attachment_id: str = started.session.attachment_id
        completed = await client.complete_upload_session(attachment_id, tenant_id=TENANT)
    assert completed.session.state == READY
    return attachment_id


async def content(dev: Dev, attachment_id: str) -> bytes:
    async with dev.client() as client, aiohttp.ClientSession() as http:
        download = await client.create_download_url(attachment_id, tenant_id=TENANT)
        async with http.get(download.url) as answer:
            answer.raise_for_status()
            return await answer.read()


async def gone(pids: set[int]) -> None:
    await eventually(lambda: not any(is_alive(pid) for pid in pids))


def test_the_ready_file_holds_what_callers_need_and_only_its_owner_reads_it(dev: Dev) -> None:
    assert set(dev.ready) == KEYS
    assert dev.ready["tenant_id"] == TENANT
    assert all(isinstance(value, str) and value for value in dev.ready.values())
    for address in (dev.ready["listen"], dev.ready["metrics"]):
        assert address.startswith("127.0.0.1:")
        assert not address.endswith(":0")
    assert stat.S_IMODE(dev.ready_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(dev.data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((dev.data_dir / "api_key").stat().st_mode) == 0o600


def test_it_says_what_to_paste_next(dev: Dev) -> None:
    said = dev.process.out.read_text()
    assert f"ATTACHERY={dev.listen} KEY={dev.ready['api_key']}" in said
    assert dev.ready["api_key"] not in dev.process.errors


async def test_its_key_may_do_everything_in_its_tenant_and_nothing_elsewhere(dev: Dev) -> None:
    attachment_id = await upload(dev)
    assert await content(dev, attachment_id) == BODY
    async with dev.client() as client:
        with pytest.raises(Exception, match="tenant"):
            await client.get_attachment(attachment_id, tenant_id="other")


async def test_only_loopback_is_listened_on(dev: Dev) -> None:
    for name in ("s3_endpoint", "database_url"):
        assert urlsplit(dev.ready[name]).hostname == "127.0.0.1"


async def test_stopped_or_killed_it_leaves_no_process_and_comes_back_with_key_and_data(
    tmp_path: Path,
) -> None:
    async with running_dev(tmp_path) as first:
        attachment_id = await upload(first)
        await stop(first, signal.SIGTERM)
    async with running_dev(tmp_path) as second:
        assert second.ready["api_key"] == first.ready["api_key"]
        assert await content(second, attachment_id) == BODY
        later_id = await upload(second)
        await kill(second)
    await stop_while_starting(tmp_path, second)
    async with running_dev(tmp_path) as third:
        assert third.ready["api_key"] == first.ready["api_key"]
        assert await content(third, attachment_id) == BODY
        assert await content(third, later_id) == BODY
        await stop(third, signal.SIGINT)


async def stop(dev: Dev, number: signal.Signals) -> None:
    servers = family(dev.process.pid)
    assert len(servers) >= 2
    assert await dev.process.stopped(number) == 0
    await gone(servers)
    assert not dev.ready_file.exists()
    assert {line["level"] for line in dev.process.log()} == {"info"}


async def kill(dev: Dev) -> None:
    servers = family(dev.process.pid)
    dev.process.send(signal.SIGKILL)
    await dev.process.ended()
    await gone(servers)
    assert dev.ready_file.exists()


async def stop_while_starting(folder: Path, killed: Dev) -> None:
    """A start removes what the killed one said, and can be stopped before it is ready."""
    options = ("--data-dir", killed.data_dir, "--ready-file", killed.ready_file)
    with started(folder, "dev", *options) as process:
        await eventually(lambda: process.has_ended or not killed.ready_file.exists())
        await eventually(lambda: process.has_ended or bool(family(process.pid)))
        servers = family(process.pid)
        assert await process.stopped(signal.SIGINT) == 0
        await gone(servers)
        assert (process.out.read_text(), process.errors) == ("", "")


def test_it_works_in_a_folder_that_only_its_owner_enters(dev: Dev) -> None:
    above = dev.data_dir.parent
    assert stat.S_IMODE(above.stat().st_mode) == 0o700
    assert above.stat().st_uid == os.getuid()


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_a_demo_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    with started(tmp_path, "demo", __file__, settings={"TMPDIR": tmp_path}) as process:
        await eventually(lambda: process.has_ended or bool(family(process.pid)))
        servers = family(process.pid)
        assert await process.stopped() == 130
        await gone(servers)
        assert process.errors == ""
    assert names_in(tmp_path) == {"out.txt", "err.txt"}


async def test_a_proxy_is_not_asked_for_the_embedded_servers(tmp_path: Path) -> None:
    unreachable = {"http_proxy": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}
    done = await ran(tmp_path, "demo", __file__, settings={"TMPDIR": tmp_path, **unreachable})
    assert (done.code, done.err) == (0, "")


async def test_given_servers_replace_the_embedded_ones(
    tmp_path: Path, empty_database_url: str, object_store: StoreUnderTest
) -> None:
    bucket = f"given-{os.getpid()}"
    given = ("--database-url", empty_database_url, "--s3-endpoint", object_store.endpoint)
    credentials: dict[str, object] = {
        "AWS_ACCESS_KEY_ID": object_store.access_key,
        "AWS_SECRET_ACCESS_KEY": object_store.secret_key,
    }
    async with running_dev(
        tmp_path, *given, "--s3-bucket", bucket, settings=credentials
    ) as running:
        assert family(running.process.pid) == set()
        assert running.ready["database_url"] == empty_database_url
        assert running.ready["s3_endpoint"] == object_store.endpoint
        assert running.ready["s3_bucket"] == bucket
        assert running.ready["s3_access_key"] == object_store.access_key
        assert running.ready["s3_secret_key"] == object_store.secret_key
        assert await content(running, await upload(running)) == BODY
        assert await running.process.stopped() == 0


async def test_what_an_operator_gets_wrong_is_told_in_one_line(
    dev: Dev, new_folder: Callable[[], Path], object_store: StoreUnderTest
) -> None:
    here = new_folder()
    wrong: list[tuple[int, str, tuple[str | Path, ...]]] = [
        (1, "in use by process", ("--data-dir", dev.data_dir, "--ready-file", dev.ready_file)),
        (1, dev.listen, ("--data-dir", here / "d", "--listen", dev.listen)),
        (1, "no credentials", ("--data-dir", here / "e", "--s3-endpoint", object_store.endpoint)),
        (2, "postgresql://", ("--data-dir", here / "f", "--database-url", "mysql://h/n")),
    ]
    runs = (
        ran(new_folder(), "dev", "--listen", "127.0.0.1:0", *arguments) for _, _, arguments in wrong
    )
    for (code, said, _), done in zip(wrong, await asyncio.gather(*runs), strict=True):
        assert said in done.refused_with(code)
    assert dev.ready_file.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("dev", "--listen", "50051"),
        ("dev", "--data-dir"),
        ("dev", "--unknown"),
        ("keys",),
        ("keys", "create", "--name", "n", "--tenant", "t"),
        ("keys", "create", "--name", "n", "--scope", SCOPE),
        ("keys", "create", "--tenant", "t", "--scope", SCOPE),
        ("keys", "create", "--name", "n", "--tenant", "t", "--scope", "everything"),
        ("keys", "create", "--name", "", "--tenant", "t", "--scope", SCOPE),
        (
            "keys",
            "create",
            "--name",
            "n",
            "--tenant",
            "t",
            "--all-tenants",
            "--scope",
            SCOPE,
        ),
        ("check", "--ready"),
        ("serve", "now"),
        (),
    ],
)
def test_wrong_arguments_exit_with_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as refused:
        run(arguments)
    assert refused.value.code == 2
    assert "attachery" in capsys.readouterr().err
