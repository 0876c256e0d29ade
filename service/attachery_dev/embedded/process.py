"""Starts an embedded server, waits until it is ready, and stops it.

Servers are spawned in the caller's thread, never in a worker thread: the kernel's parent-death
signal follows the spawning thread, so a server started from a thread pool would die with the pool.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from attachery_dev.embedded.errors import EmbeddedServerError, PortTakenError, reported
from attachery_dev.embedded.folder import POLL_SECONDS, DataFolder

CHILD = Path(__file__).with_name("child.py")
LOOPBACK = "127.0.0.1"
PORT_ATTEMPTS = 5
KILL_SECONDS = 5.0
TOLD_BYTES = 8192
TELLING = re.compile(r"FATAL|PANIC|[Ee]rror|cannot")


@dataclass(frozen=True, slots=True)
class User:
    """The user that a server runs as if this process is root."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to run in a data folder; `death_signal` is sent to it if this process dies."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    folder: DataFolder
    death_signal: signal.Signals = signal.SIGKILL
    user: User | None = None


@dataclass(frozen=True, slots=True)
class StopStep:
    """A signal, and the seconds that a process has to end after it."""

    signal: signal.Signals
    seconds: float


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A spawned command, and the offset of its output in the log."""

    command: Command
    popen: subprocess.Popen[bytes]
    log_start: int

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def has_ended(self) -> bool:
        return self.popen.poll() is not None

    async def ended(self, *, within: float) -> bool:
        """Waits for the end; returns whether it came in time."""
        deadline = time.monotonic() + within
        while not self.has_ended:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True

    async def stop(self, *steps: StopStep) -> None:
        """Sends each signal until the process has ended; kills the rest, also if cancelled."""
        try:
            for step in steps:
                if not self.has_ended:
                    self.popen.send_signal(step.signal)
                    await self.ended(within=step.seconds)
        finally:
            self.kill()

    def kill(self) -> None:
        """Kills all processes of the session."""
        if not self.has_ended:
            # Includes the programs that it has started, which would continue to write.
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(KILL_SECONDS)

    def failure(self, what: str) -> EmbeddedServerError:
        """Describes the failure in one line, with the end of the log."""
        log = self.command.folder.log
        output = _written_since(log, self.log_start)
        kind = PortTakenError if "already in use" in output else EmbeddedServerError
        return kind(f"{self.command.name} {what}: {_telling(output)} (log: {log})")


Ready = Callable[[ServerProcess], Awaitable[bool]]


async def start(command: Command, *, ready: Ready, within: float) -> ServerProcess:
    """Spawns a server and waits until `ready` returns True.

    Raises EmbeddedServerError, and leaves no process, if it ends first or takes too long.
    """
    process = _spawn(command)
    try:
        await _until_ready(process, ready, within)
    except BaseException:
        process.kill()
        raise
    return process


async def start_on_free_port(
    command_on: Callable[[int], Command],
    ready_on: Callable[[int], Ready],
    *,
    within: float,
    preferred: int | None = None,
) -> tuple[ServerProcess, int]:
    """Starts a server on the preferred port if that is free, else on one chosen by the system.

    Retries if another process takes the port first.
    """
    for attempt in range(PORT_ATTEMPTS):
        wanted = preferred if attempt == 0 and preferred and is_free(preferred) else None
        port = wanted or free_port()
        with suppress(PortTakenError):
            return await start(command_on(port), ready=ready_on(port), within=within), port
    raise EmbeddedServerError(f"found no free port in {PORT_ATTEMPTS} attempts")


async def run(command: Command, *, within: float, stdin: bytes = b"") -> None:
    """Runs a program to its end; raises EmbeddedServerError if it fails or takes too long."""
    process = _spawn(command, stdin)
    try:
        if not await process.ended(within=within):
            raise process.failure(f"took more than {within:.0f} s")
    finally:
        process.kill()
    if process.popen.returncode != 0:
        raise process.failure(f"failed ({process.popen.returncode})")


def free_port() -> int:
    """Returns a loopback port that is free at this moment."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
    return port


def is_free(port: int) -> bool:
    """Whether no process listens on this loopback port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except (OSError, OverflowError):
            return False
    return True


def clean_environment(**settings: str) -> dict[str, str]:
    """Builds an environment of the settings and basic variables only: no AWS_* and no PG*."""
    environment = {"LANG": "C.UTF-8", "PATH": os.defpath, "TZ": "UTC"}
    # A Python built with a shared library does not start without it.
    if libraries := os.environ.get("LD_LIBRARY_PATH"):
        environment["LD_LIBRARY_PATH"] = libraries
    return environment | settings


async def _until_ready(process: ServerProcess, ready: Ready, within: float) -> None:
    deadline = time.monotonic() + within
    while not await ready(process):
        if process.has_ended:
            raise process.failure(f"ended while starting ({process.popen.returncode})")
        if time.monotonic() > deadline:
            raise process.failure(f"is not ready after {within:.0f} s")
        await asyncio.sleep(POLL_SECONDS)


def _spawn(command: Command, stdin: bytes = b"") -> ServerProcess:
    log = command.folder.log
    with (
        reported(f"start {command.name}"),
        _appended(log) as output,
        _pipe(stdin) as given,
        interrupts_blocked(),
    ):
        log_start = log.stat().st_size
        popen = subprocess.Popen(  # noqa: S603
            _child_arguments(command),
            env=dict(command.environment),
            cwd=command.folder.path,
            stdin=given,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(command.folder.server_lock,),
            # The terminal's Ctrl-C is for this process, which stops the servers after their users.
            start_new_session=True,
            umask=0o077,
        )
        return ServerProcess(command, popen, log_start)


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Blocks SIGINT here and in a program started here.

    A child belongs to the terminal's process group until its session is new; a Ctrl-C in between
    would end it, and its failure would hide the interruption.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _child_arguments(command: Command) -> list[str]:
    user = (str(command.user.uid), str(command.user.gid)) if command.user else ("-", "-")
    lifeline = (str(os.getpid()), str(int(command.death_signal)))
    return [sys.executable, "-I", "-S", str(CHILD), *lifeline, *user, *command.arguments]


@contextmanager
def _appended(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _pipe(data: bytes) -> Iterator[int]:
    """Returns a descriptor to read the few bytes from; they fit into the pipe's buffer."""
    readable, writable = os.pipe()
    try:
        os.write(writable, data)
        os.close(writable)
        yield readable
    finally:
        os.close(readable)


def _written_since(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - TOLD_BYTES))
        return file.read().decode(errors="replace")


def _telling(output: str) -> str:
    """Returns the last line with a reason and the line before it, which often has the cause."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    reasons = [number for number, line in enumerate(lines) if TELLING.search(line)]
    last = reasons[-1] if reasons else len(lines) - 1
    return " / ".join(lines[max(last - 1, 0) : last + 1]) or "it said nothing"
