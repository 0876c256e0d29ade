"""`attachery dev`: one command starts everything, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from attachery.v1.resources_pb2 import UPLOAD_SESSION_STATE_READY as READY
from attachery_dev.ready_file import require_writable, written
from attachery_service.cli.ready_file import Ready
from support.commands import run
from support.process_fixtures import BODY, Dev, running_dev
from support.processes import SOURCES, Process, eventually, family, is_alive, ran, started
from support.store_fixtures import StoreUnderTest

pytestmark = pytest.mark.xdist_group("dev")  # they share one server

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
    """Returns the id of an attachment that went through the whole flow."""
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


def test_the_ready_file_is_complete_and_private(dev: Dev) -> None:
    assert set(dev.ready) == KEYS
    assert stat.S_IMODE((dev.data_dir / "ready.json").stat().st_mode) == 0o600
    assert dev.ready["tenant_id"] == TENANT
    assert all(isinstance(value, str) and value for value in dev.ready.values())
    for address in (dev.ready["listen"], dev.ready["metrics"]):
        assert address.startswith("127.0.0.1:")
        assert not address.endswith(":0")
    assert stat.S_IMODE(dev.ready_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(dev.data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((dev.data_dir / "api_key").stat().st_mode) == 0o600


def test_it_prints_the_next_commands_and_all_addresses(dev: Dev) -> None:
    said = dev.process.out.read_text()
    assert f"ATTACHERY={dev.listen} KEY={dev.ready['api_key']}" in said
    assert dev.ready["api_key"] not in dev.process.errors
    assert f"{Path(sys.executable).with_name('grpcurl')} -plaintext" in said
    assert f"http://{dev.ready['metrics']}/metrics" in said
    assert str(dev.data_dir) in said
    assert "make demo" in said


def test_it_shows_the_steps_of_its_first_start(dev: Dev) -> None:
    for step in ("starting PostgreSQL", "starting object storage", "migrating the database"):
        assert dev.process.events(step)


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:5173", True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost", True),
        ("https://localhost:8443", True),
        ("https://app.example", False),
        ("http://localhost.example:5173", False),
    ],
)
async def test_pages_of_this_machine_may_upload(dev: Dev, origin: str, allowed: bool) -> None:
    url = f"{dev.ready['s3_endpoint']}/{dev.ready['s3_bucket']}/key"
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type, if-none-match",
    }
    async with aiohttp.ClientSession() as http, http.options(url, headers=asked) as answer:
        assert (answer.status == 200) is allowed
        assert ("Access-Control-Allow-Origin" in answer.headers) is allowed


@pytest.mark.exhaustive
async def test_operators_commands_find_it_from_the_folder_above(
    dev: Dev, new_folder: Callable[[], Path], database_url: str
) -> None:
    folder = new_folder()
    (folder / ".attachery").symlink_to(dev.data_dir)
    assert json.loads((dev.data_dir / "ready.json").read_text()) == dev.ready
    for arguments in (("keys", "list"), ("check",), ("audit",), ("bucket", "setup", "--dry-run")):
        done = await ran(folder, *arguments)
        assert done.code == 0, done
        said = "attachery: using the running 'attachery dev' of .attachery/ready.json"
        assert done.err.splitlines() == [said]
    explicit = {"database_url": database_url, "s3_bucket": "elsewhere"}
    done = await ran(folder, "keys", "list", settings=explicit)
    assert (done.code, done.out) == (0, "")
    assert "using the settings of the environment" in done.err


@pytest.mark.exhaustive
async def test_a_ready_file_of_a_killed_run_is_reported(
    dev: Dev, new_folder: Callable[[], Path]
) -> None:
    folder = new_folder()
    (folder / ".attachery").mkdir()
    shutil.copy(dev.data_dir / "ready.json", folder / ".attachery")
    done = await ran(folder, "keys", "list")
    assert "was killed: start it again" in done.refused_with(1)


def at_terminal(folder: Path, until: str) -> str:
    """Returns the output of `dev` at a terminal where Ctrl-C is pressed once `until` is shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "attachery_service", "dev", "--listen", "127.0.0.1:0"],
        cwd=folder,
        env={"PATH": os.defpath, "PYTHONPATH": SOURCES, "NO_COLOR": "1"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown, pressed = "", False
    with suppress(OSError):  # EIO: the other end has closed
        while part := os.read(ours, 65536).decode():
            shown += part
            if until in shown and not pressed:
                pressed = True
                os.killpg(process.pid, signal.SIGINT)
    os.close(ours)
    assert process.wait() == 0, shown
    return shown.replace("\r\n", "\n")


@pytest.mark.exhaustive
async def test_at_a_terminal_it_logs_for_humans_and_ends_with_one_line(
    new_folder: Callable[[], Path],
) -> None:
    shown = await asyncio.to_thread(at_terminal, new_folder(), "the data stays")
    for word in ("starting PostgreSQL", "[info", "serving", "make demo"):
        assert word in shown
    assert '"event"' not in shown
    (after,) = shown.partition("the data stays.")[2].strip().split("\n")
    assert "draining" in after
    shown = await asyncio.to_thread(at_terminal, new_folder(), "migrating")
    (after,) = shown.partition("migrating the database")[2].strip().split("\n")
    assert "stopped before it served" in after


async def imported(process: Process, library: str) -> None:
    """Waits until a process has begun to use a shared library."""
    maps = Path(f"/proc/{process.pid}/maps")
    await eventually(lambda: process.has_ended or library in maps.read_text(), within=60)


async def reached(process: Process, step: str) -> None:
    """Waits until a process has logged a step."""
    await eventually(lambda: process.has_ended or step in process.errors, within=60)


@pytest.mark.parametrize(
    ("wait", "moment"),
    [
        (imported, "pydantic_core"),
        (imported, "cygrpc"),
        (reached, "starting PostgreSQL"),
        (reached, "starting object storage"),
        (reached, "migrating the database"),
        (reached, "starting the service"),
    ],
)
@pytest.mark.exhaustive
async def test_ctrl_c_at_any_moment_of_the_first_start_ends_with_one_line(
    new_folder: Callable[[], Path], wait: Callable[[Process, str], Awaitable[None]], moment: str
) -> None:
    """As a terminal does it: for the whole process group."""
    with started(new_folder(), "dev", "--listen", "127.0.0.1:0") as process:
        await wait(process, moment)
        servers = family(process.pid)
        before = len(process.errors.splitlines())
        os.killpg(process.pid, signal.SIGINT)
        assert await process.ended() in {0, 130}
        await gone(servers)
        assert "Traceback" not in process.errors
        last = process.errors.splitlines()[before:]
        assert last[-1] == "attachery: interrupted" or "stopped" in last[-1] or "drain" in last[-1]
        steps = ("starting", "migrating", "serving")
        assert [line for line in last[:-1] if not any(step in line for step in steps)] == []


async def test_a_taken_address_is_reported_before_anything_is_created(
    dev: Dev, new_folder: Callable[[], Path]
) -> None:
    folder = new_folder()
    for flag in ("--listen", "--metrics-listen"):
        addresses = {"--listen": "127.0.0.1:0", flag: dev.listen}
        options = [word for pair in addresses.items() for word in pair]
        done = await ran(folder, "dev", "--data-dir", folder / "data", *options)
        line = done.refused_with(1)
        assert f"cannot listen on {dev.listen}" in line
        assert flag in line
    assert not (folder / "data").exists()


async def test_its_key_has_all_rights_in_its_tenant_only(dev: Dev) -> None:
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
        async with first.client() as client:
            url = (await client.create_download_url(attachment_id, tenant_id=TENANT)).url
        await stop(first, signal.SIGTERM)
    async with running_dev(tmp_path) as second:
        assert second.ready["api_key"] == first.ready["api_key"]
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            assert await answer.read() == BODY  # the URL was signed before the restart
        assert await content(second, attachment_id) == BODY
        later_id = await upload(second)
        await kill(second)
    await stop_while_starting(tmp_path, second)
    async with running_dev(tmp_path) as third:
        assert third.ready["api_key"] == first.ready["api_key"]
        assert await content(third, attachment_id) == BODY
        assert await content(third, later_id) == BODY
        await stop(third, signal.SIGINT)
    address = urlsplit(third.ready["s3_endpoint"])
    with socket.create_server((str(address.hostname), address.port or 0)):
        async with running_dev(tmp_path) as fourth:
            assert fourth.ready["s3_endpoint"] != third.ready["s3_endpoint"]
            (told,) = [line for line in fourth.process.log() if line["level"] == "warning"]
            assert told["taken"] == address.port


async def stop(dev: Dev, number: signal.Signals) -> None:
    servers = family(dev.process.pid)
    assert len(servers) >= 2
    assert await dev.process.stopped(number) == 0
    await gone(servers)
    assert not dev.ready_file.exists()
    assert not (dev.data_dir / "ready.json").exists()
    assert {line["level"] for line in dev.process.log()} == {"info"}


async def kill(dev: Dev) -> None:
    servers = family(dev.process.pid)
    dev.process.send(signal.SIGKILL)
    await dev.process.ended()
    await gone(servers)
    assert dev.ready_file.exists()


async def stop_while_starting(folder: Path, killed: Dev) -> None:
    """A start removes the ready file of a killed run, and can be stopped before it is ready."""
    options = ("--data-dir", killed.data_dir, "--ready-file", killed.ready_file)
    with started(folder, "dev", *options) as process:
        await eventually(lambda: process.has_ended or not killed.ready_file.exists())
        await eventually(lambda: process.has_ended or bool(family(process.pid)))
        servers = family(process.pid)
        assert await process.stopped(signal.SIGINT) == 0
        await gone(servers)
        assert process.out.read_text() == ""
        (line,) = process.log()
        assert line["event"] == "stopped before it served"


def test_it_works_in_a_folder_that_only_its_owner_enters(dev: Dev) -> None:
    above = dev.data_dir.parent
    assert stat.S_IMODE(above.stat().st_mode) == 0o700
    assert above.stat().st_uid == os.getuid()


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.exhaustive
async def test_a_stopped_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    with started(tmp_path, "demo", __file__, settings={"TMPDIR": tmp_path}) as process:
        await eventually(lambda: process.has_ended or bool(family(process.pid)))
        servers = family(process.pid)
        assert await process.stopped() == 130
        await gone(servers)
        assert process.errors == "attachery: interrupted\n"
    assert names_in(tmp_path) == {"out.txt", "err.txt"}


@pytest.mark.exhaustive
async def test_a_demo_refuses_a_file_it_cannot_use_before_it_starts_anything(
    tmp_path: Path, new_folder: Callable[[], Path]
) -> None:
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"12345")
    for name, said in (
        ("gone", "No such file"),
        (".", "is not a regular file"),
        ("pipe", "is not a regular file"),
        ("empty", "is empty"),
        ("large", "has 5 bytes, the largest upload is 4"),
    ):
        folder = new_folder()
        settings = {"TMPDIR": folder, "max_size": 4}
        done = await ran(folder, "demo", tmp_path / name, settings=settings)
        assert said in done.refused_with(1)
        assert names_in(folder) == {"out.txt", "err.txt"}


@pytest.mark.exhaustive
async def test_a_demo_streams_and_separates_passed_from_reported_checks(
    tmp_path: Path,
) -> None:
    size = 300 * 2**20
    file = tmp_path / "page.png"
    file.write_bytes(b"GIF89a")
    os.truncate(file, size)  # sparse
    with started(tmp_path, "demo", file, settings={"max_size": "1GiB"}) as process:
        await eventually(
            lambda: process.has_ended or "compare" in process.out.read_text(), within=90
        )
        peak = peak_memory(process.pid)
        assert await process.ended() == 0, process.errors
        said = process.out.read_text()
    assert peak < size
    passed, _, others = said.partition("READY; passed: ")[2].partition("; ")
    assert "exists" in passed
    assert "detected_content_type" not in passed
    assert others.startswith("detected_content_type reported (expected image/png, found ")
    assert f"was downloaded unchanged: {size} bytes" in said


def peak_memory(pid: int) -> int:
    """The peak memory of a running process, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.mark.exhaustive
async def test_a_proxy_is_bypassed_for_the_embedded_servers(tmp_path: Path) -> None:
    unreachable = {"http_proxy": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}
    done = await ran(tmp_path, "demo", __file__, settings={"TMPDIR": tmp_path, **unreachable})
    assert (done.code, done.err) == (0, "")


@pytest.mark.exhaustive
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


@pytest.mark.exhaustive
async def test_operator_errors_are_reported_in_one_line(
    dev: Dev, new_folder: Callable[[], Path], object_store: StoreUnderTest
) -> None:
    here = new_folder()
    wrong: list[tuple[int, str, tuple[str | Path, ...]]] = [
        (1, "in use by process", ("--data-dir", dev.data_dir, "--ready-file", dev.ready_file)),
        (1, dev.listen, ("--data-dir", here / "d", "--listen", dev.listen)),
        (1, "no credentials", ("--data-dir", here / "e", "--s3-endpoint", object_store.endpoint)),
        (2, "postgresql://", ("--data-dir", here / "f", "--database-url", "mysql://h/n")),
        (1, "no folder", ("--data-dir", here / "g", "--ready-file", here / "none" / "r.json")),
        (1, "no folder", ("--data-dir", here / "g", "--ready-file", Path(__file__) / "r.json")),
        (1, "is a folder", ("--data-dir", here / "g", "--ready-file", here)),
    ]
    runs = (
        ran(new_folder(), "dev", "--listen", "127.0.0.1:0", *arguments) for _, _, arguments in wrong
    )
    for (code, said, _), done in zip(wrong, await asyncio.gather(*runs), strict=True):
        assert said in done.refused_with(code)
    assert dev.ready_file.exists()
    assert list(here.iterdir()) == []


def test_a_ready_file_may_be_in_a_folder_that_the_start_creates(tmp_path: Path) -> None:
    for folder in (tmp_path / "new" / "data", tmp_path / "new", tmp_path):
        require_writable(folder / "r.json", tmp_path / "new" / "data")


def test_ready_files_that_cannot_all_be_written_leave_none_behind(tmp_path: Path) -> None:
    ready = Ready(**dict.fromkeys(KEYS, "secret"))
    (tmp_path / "folder").mkdir()
    for second in (tmp_path / "missing" / "r.json", tmp_path / "folder"):
        with (
            pytest.raises(OSError, match=second.name),
            written(ready, tmp_path / "ready.json", second),
        ):
            pass
        assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.sample(3)
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
    ],
)
def test_wrong_arguments_exit_with_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as refused:
        run(arguments)
    assert refused.value.code == 2
    assert "attachery" in capsys.readouterr().err
