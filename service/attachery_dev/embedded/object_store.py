"""Runs the S3 server ministack as a process of its own, for development and tests.

ministack stores objects and their metadata at once, but the configuration of buckets, and users
with their keys, only at an orderly stop. Therefore the user's key is created in a short first run
that stops in order, so every later run has the key, even after a `kill -9`. And if the parent
process dies, the server is stopped, not killed: that takes a tenth of a second (three if uploads
stall), keeps the buckets' configuration, and never leaves an object without its metadata.
"""

from __future__ import annotations

import asyncio
import importlib.util
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from attachery_dev.embedded.access_key import (
    OK,
    REGION,
    AccessKey,
    create_key,
    is_accepted,
    keep_key,
    new_root_key,
    read_key,
)
from attachery_dev.embedded.errors import EmbeddedServerError, reported
from attachery_dev.embedded.folder import DataFolder, claimed_folder
from attachery_dev.embedded.process import (
    LOOPBACK,
    Command,
    Ready,
    ServerProcess,
    StopStep,
    clean_environment,
    start_on_free_port,
)

START_SECONDS = 60.0
ANSWER_SECONDS = 1.0

# It waits up to three seconds for uploads in progress before it stores its state.
STOP_STEPS = (StopStep(signal.SIGTERM, 10.0),)


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """The endpoint of the S3 server, and the key with all permissions."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the server: its root key, and a random word that identifies its responses."""

    folder: DataFolder
    root: AccessKey
    word: str


@asynccontextmanager
async def running_object_store(
    data_dir: Path, port: int | None = None
) -> AsyncIterator[ObjectStore]:
    """Runs an S3 server on the folder and on loopback; yields its endpoint and key.

    Buckets, objects and the key persist; a multipart upload in progress does not. Uses `port` if it
    is free, else one chosen by the system. The folder belongs to this server alone. Raises
    EmbeddedServerError if the folder is in use or the server does not start.
    """
    if importlib.util.find_spec("ministack") is None:
        raise EmbeddedServerError("embedded object storage needs the distribution attachery-dev")
    async with claimed_folder(data_dir) as folder, AsyncExitStack() as stack:
        key_file = folder.path / "access_key.json"
        key = read_key(key_file) or await _issue_key(folder, key_file)
        endpoint = await _serve_key(stack, folder, key, port)
        if endpoint is None:
            key = await _issue_key(folder, key_file)
            endpoint = await _serve_key(stack, folder, key, port)
        if endpoint is None:
            raise EmbeddedServerError("object storage has lost the key that it created")
        yield ObjectStore(endpoint=endpoint, access_key=key.key_id, secret_key=key.secret)


async def _serve_key(
    stack: AsyncExitStack, folder: DataFolder, key: AccessKey, port: int | None
) -> str | None:
    """Runs the server until the stack closes; stops it and returns None if it refuses the key."""
    endpoint = await stack.enter_async_context(_serving(_new_run(folder), port))
    if await asyncio.to_thread(is_accepted, endpoint, key):
        return endpoint
    await stack.aclose()
    return None


async def _issue_key(folder: DataFolder, key_file: Path) -> AccessKey:
    """Runs the server once to create a key, which an orderly stop stores."""
    run = _new_run(folder)
    async with _serving(run) as endpoint:
        key = await asyncio.to_thread(create_key, endpoint, run.root)
    with reported(f"write {key_file}"):
        keep_key(key_file, key)
    return key


def _new_run(folder: DataFolder) -> Run:
    return Run(folder=folder, root=new_root_key(), word=secrets.token_hex(16))


@asynccontextmanager
async def _serving(run: Run, preferred: int | None = None) -> AsyncIterator[str]:
    server, port = await _start(run, preferred)
    try:
        yield f"http://{LOOPBACK}:{port}"
    finally:
        await server.stop(*STOP_STEPS)


async def _start(run: Run, preferred: int | None) -> tuple[ServerProcess, int]:
    def command_on(port: int) -> Command:
        return _server(run, port)

    def ready_on(port: int) -> Ready:
        return lambda _: _is_ready(port, run.word)

    return await start_on_free_port(command_on, ready_on, within=START_SECONDS, preferred=preferred)


def _server(run: Run, port: int) -> Command:
    return Command(
        name="the object store",
        # By module rather than script, so that PATH does not matter; -P keeps its working
        # directory, the data folder, out of the module search path.
        arguments=(sys.executable, "-P", "-m", "ministack"),
        environment=_environment(run, port),
        folder=run.folder,
        death_signal=signal.SIGTERM,
    )


def _environment(run: Run, port: int) -> dict[str, str]:
    path = run.folder.path
    return clean_environment(
        AUTH="true",
        AWS_ACCESS_KEY_ID=run.root.key_id,
        AWS_SECRET_ACCESS_KEY=run.root.secret,
        BIND_HOST=LOOPBACK,
        # If it finds a Docker daemon, it removes the containers of every ministack on the machine.
        DOCKER_HOST=f"unix://{path / 'no-docker.sock'}",
        GATEWAY_PORT=str(port),
        IOT_MTLS_ENABLED="0",  # else it listens on 8883 too
        LOG_LEVEL="WARNING",
        MINISTACK_EDITION=run.word,  # the health response contains it
        MINISTACK_REGION=REGION,
        PERSIST_STATE="1",
        S3_DATA_DIR=str(path / "objects"),
        S3_PERSIST="1",
        SERVICES="s3,iam,sts",
        SFTP_ENABLED="0",
        STATE_DIR=str(path / "state"),
        TMPDIR=str(path),  # for its pid file
    )


async def _is_ready(port: int, word: str) -> bool:
    """Whether this run of the server, and not another on its port, answers its health check."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await _get(port, "/_ministack/health")
    except OSError:  # refused, reset or timed out (TimeoutError is an OSError)
        return False
    return f" {OK} ".encode() in answer[:16] and word.encode() in answer


async def _get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nConnection: close\r\n\r\n".encode()
        )
        return await reader.read()
    finally:
        writer.close()
