"""A data folder: claimed by one starting process, and locked by its server while that runs.

There are two locks. `owner.lock` belongs to the starting process: if it is taken, the folder is in
use. `server.lock` is inherited by the server and by every process that it forks, so if it is free,
no server uses the files, regardless of a pid file. After a `kill -9` of the starting process, the
first is free at once and the second a moment later.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from attachery_dev.embedded.errors import EmbeddedServerError, reported
from attachery_service.cli.ready_file import OWNER_LOCK

# A killed process keeps its locks until the kernel has removed it.
DYING_OWNER_SECONDS = 0.5
PREVIOUS_SERVER_SECONDS = 15.0
POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A claimed folder; `server_lock` is inherited by the server's processes."""

    path: Path
    server_lock: int

    @property
    def log(self) -> Path:
        return self.path / "server.log"


@asynccontextmanager
async def claimed_folder(path: Path) -> AsyncIterator[DataFolder]:
    """Creates the folder if needed and claims it; one folder serves one server.

    Raises EmbeddedServerError if another process uses it, if a server of a dead process does not
    end in time, or if the folder is not writable.
    """
    with ExitStack() as stack:
        with reported(f"use the data folder {path}"):
            path = _made(path)
            owner = stack.enter_context(_lock_file(path / OWNER_LOCK))
            server = stack.enter_context(_lock_file(path / "server.lock"))
        if not await _locked(owner, within=DYING_OWNER_SECONDS):
            raise EmbeddedServerError(f"the data folder {path} is in use by {_holder(owner)}")
        if not await _locked(server, within=PREVIOUS_SERVER_SECONDS):
            raise EmbeddedServerError(f"the server of an earlier run still uses {path}")
        folder = DataFolder(path=path, server_lock=server)
        with reported(f"use the data folder {path}"):
            _sign(owner)
            _rotate(folder.log)
        yield folder


def write_secret(path: Path, text: str) -> None:
    """Writes the text to a file that only its owner can read: all of it or nothing."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _made(path: Path) -> Path:
    path = path.absolute()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


@contextmanager
def _lock_file(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def _locked(descriptor: int, *, within: float) -> bool:
    """Takes the lock; returns whether it became free in time."""
    deadline = time.monotonic() + within
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
        else:
            return True
        await asyncio.sleep(POLL_SECONDS)


def _sign(owner: int) -> None:
    os.ftruncate(owner, 0)
    os.pwrite(owner, f"process {os.getpid()}".encode(), 0)


def _holder(owner: int) -> str:
    return os.pread(owner, 40, 0).decode(errors="replace") or "another process"


def _rotate(log: Path) -> None:
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
