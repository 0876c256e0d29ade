"""`attachery …` as processes, each in an environment of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import hot_paths

SOURCES = f"{Path(__file__).parents[2] / 'service'}:{Path(__file__).parents[2] / 'generated'}"
_POLL = 0.01


async def eventually(condition: Callable[[], bool], *, within: float = 15) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        await asyncio.sleep(_POLL)


@dataclass(frozen=True)
class Process:
    """A started command; its output goes to two files, so that it never waits for a reader."""

    popen: subprocess.Popen[bytes]
    out: Path
    err: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def has_ended(self) -> bool:
        return self.popen.poll() is not None

    @property
    def errors(self) -> str:
        return self.err.read_text()

    def send(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    async def ended(self, *, within: float = 30) -> int:
        """Waits for the end; returns the exit code."""
        await eventually(lambda: self.has_ended, within=within)
        return self.popen.returncode

    async def stopped(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        return await self.ended()

    def log(self) -> list[dict[str, Any]]:
        """The log; every line must be one JSON object."""
        lines = [json.loads(line) for line in self.errors.splitlines()]
        assert all(isinstance(line, dict) for line in lines)
        return lines

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.log() if line["event"] == name]

    async def logged(self, name: str) -> dict[str, Any]:
        """The first event of this name."""
        await eventually(lambda: self.has_ended or bool(self.events(name)))
        found = self.events(name)
        assert found, self.errors
        return found[0]


@contextmanager
def started(
    folder: Path,
    *arguments: str | Path,
    settings: Mapping[str, object] | None = None,
    program: Sequence[str] = ("-m", "attachery_service"),
    installed: Path | None = None,
) -> Iterator[Process]:
    """Starts `attachery` with these arguments, and settings by their name without `ATTACHERY_`.

    `program`: arguments of Python that run the command line in another way. `installed`: the
    Python of another environment, which runs the release that is installed there.
    """
    out, err = folder / "out.txt", folder / "err.txt"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        popen = subprocess.Popen(
            [installed or sys.executable, *program, *arguments],
            env=_environment(settings or {}, from_sources=installed is None),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        yield Process(popen, out, err)
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.wait()


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def refused_with(self, code: int) -> str:
        """The single line of a refusal, which must not be a traceback."""
        assert (self.code, self.out) == (code, ""), self
        (line,) = self.err.splitlines()
        assert line.startswith("attachery: ")
        return line


async def ran(
    folder: Path, *arguments: str | Path, settings: Mapping[str, object] | None = None
) -> Done:
    with started(folder, *arguments, settings=settings) as process:
        code = await process.ended()
        return Done(code, process.out.read_text(), process.errors)


def family(parent: int) -> set[int]:
    """The process and its descendants, from /proc."""
    direct = {pid for pid, its_parent in _parents() if its_parent == parent}
    return direct.union(*(family(child) for child in direct))


def is_alive(pid: int) -> bool:
    return any(pid == other for other, _ in _parents())


def _parents() -> Iterator[tuple[int, int]]:
    """Each process that is not a zombie, with its parent."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            yield int(entry.parent.name), int(parent)


def _environment(settings: Mapping[str, object], *, from_sources: bool) -> dict[str, str]:
    """Basic variables, the settings, and variables with their full name (`AWS_…`, `http_proxy`)."""
    named = {_variable(name): str(value) for name, value in settings.items()}
    measured = {name: os.environ[name] for name in os.environ if name.startswith("COVERAGE_")}
    always = {"PATH": os.defpath, "LANG": "C.UTF-8", **measured}
    own = {"PYTHONPATH": SOURCES, **hot_paths.settings()} if from_sources else {}
    return {**always, **own, **named}


def _variable(setting: str) -> str:
    is_full_name = setting.isupper() or setting.startswith("attachery_")
    is_full_name = is_full_name or setting.endswith("_proxy")
    return setting if is_full_name else f"ATTACHERY_{setting.upper()}"
