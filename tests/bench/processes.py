"""Starts measured programs as processes that end with this one, in any case."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from attachery_dev.embedded.process import CHILD
from bench import cores

ROOT: Final = Path(__file__).parents[2]
_PYTHONPATH: Final = os.pathsep.join(str(ROOT / part) for part in ("service", "generated", "tests"))
# The output of the bench's servers, and the log of `attachery serve`.
_READY: Final = re.compile(
    r'^(?:port |.*"listen": ?"127\.0\.0\.1:)(\d+)|"event": ?"sweeping"', re.MULTILINE
)
_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 10.0
_POLL: Final = 0.002
_TOLD: Final = 2_000
_LONGEST_LOG: Final = 32 * 2**20


class ServerFailedError(Exception):
    """A server did not start."""


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that is ready.

    `port`: on loopback, 0 if it does not listen; `start_seconds`: until it was ready.
    """

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    port: int
    start_seconds: float

    @property
    def pid(self) -> int:
        return self.popen.pid

    def shorten_log(self) -> None:
        """Drops the lines of calls, which would fill a disk in an hour."""
        if self.log.stat().st_size > _LONGEST_LOG:
            os.truncate(self.log, 0)


@asynccontextmanager
async def running(
    name: str,
    arguments: Sequence[str],
    folder: Path,
    *,
    settings: Mapping[str, object] | None = None,
    on: AbstractSet[int] = cores.MEASURED,
) -> AsyncIterator[ServerProcess]:
    """Runs `python -m ARGUMENTS` during the block. Raises ServerFailedError."""
    log, began = folder / f"{name}.log", time.perf_counter()
    log.unlink(missing_ok=True)
    popen = _spawn(arguments, log, settings or {}, on)
    try:
        port = await _port(name, popen, log)
        yield ServerProcess(name, popen, log, port, time.perf_counter() - began)
    finally:
        _stop(popen)


async def output(
    arguments: Sequence[str], folder: Path, *, on: AbstractSet[int] = cores.MEASURED
) -> str:
    """Returns the output of `python -m ARGUMENTS`. Raises ServerFailedError if it fails."""
    name = arguments[0]
    log = folder / f"{name}.out"
    log.unlink(missing_ok=True)
    popen = _spawn(arguments, log, {}, on)
    try:
        while popen.poll() is None:  # noqa: ASYNC110
            await asyncio.sleep(_POLL)
    finally:
        if popen.poll() is None:
            _stop(popen)
    said = _text(log)
    if popen.returncode != 0:
        raise ServerFailedError(f"{name} failed:\n{said[-_TOLD:]}")
    return said


def _spawn(
    arguments: Sequence[str], log: Path, settings: Mapping[str, object], on: AbstractSet[int]
) -> subprocess.Popen[bytes]:
    lifeline = (str(CHILD), str(os.getpid()), str(int(signal.SIGKILL)), "-", "-")
    command = [sys.executable, "-I", "-S", *lifeline, sys.executable, "-P", "-m", *arguments]
    with log.open("ab") as output, cores.on(on):
        return subprocess.Popen(
            command,
            env=_environment(settings),
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # The terminal's Ctrl-C is for this process.
            start_new_session=True,
        )


def _environment(settings: Mapping[str, object]) -> dict[str, str]:
    named = {f"ATTACHERY_{name.upper()}": str(value) for name, value in settings.items()}
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONPATH": _PYTHONPATH, **named}


async def _port(name: str, popen: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and popen.poll() is None:
        if found := _READY.search(_text(log)):
            return int(found[1] or 0)
        await asyncio.sleep(_POLL)
    raise ServerFailedError(f"{name} did not start:\n{_text(log)[-_TOLD:]}")


def _text(log: Path) -> str:
    return log.read_text(errors="replace")


def _stop(popen: subprocess.Popen[bytes]) -> None:
    """Stops it in order, so that it ends its own children; kills it otherwise."""
    popen.terminate()
    try:
        popen.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(popen.pid, signal.SIGKILL)
        popen.wait()
