#!/usr/bin/env python3
"""Runs one part of CI: bounded in time, told line by line, with no process left behind.

    part.py SUMMARY SECONDS COMMAND...

Appends to the file SUMMARY how the command ended, when, and what pytest counted. The exit code is 0
if the command succeeded and every process that it started has ended; others are named and killed.
"""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

# Linux's prctl: orphans below us become our children; we get a signal when our parent dies.
_SET_CHILD_SUBREAPER = 36
_SET_DEATH_SIGNAL = 1

_TOO_LONG = 124
_SECONDS_TO_STOP = 20.0
_SECONDS_TO_VANISH = 5.0
_PYTEST_SUMMARY = re.compile(r"^=+ (.*\d+ (?:passed|failed|errors?|skipped)\b.* in .*) =+$")


def main(arguments: Sequence[str]) -> int:
    summary, seconds, *command = arguments
    _adopt_orphans()
    started = time.monotonic()
    say(f"\n== {shlex.join(command)}")
    try:
        code, counts = _run(command, float(seconds))
        left = _left_behind()
    finally:
        _kill_all()
    ended = {0: "ok", _TOO_LONG: f"too long (over {seconds} s)"}.get(code, f"failed ({code})")
    lines = [f"{time.monotonic() - started:6.0f} s  {shlex.join(command)}: {ended}"]
    lines += [f"          pytest: {count}" for count in counts]
    lines += [f"          left a process: {process}" for process in left]
    say(*lines)
    with Path(summary).open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
    return 0 if code == 0 and not left else 1


def say(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _adopt_orphans() -> None:
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for option, value in ((_SET_CHILD_SUBREAPER, 1), (_SET_DEATH_SIGNAL, int(signal.SIGTERM))):
        if prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def _run(command: Sequence[str], seconds: float) -> tuple[int, list[str]]:
    """Exit code, and pytest's last lines."""
    counts: list[str] = []
    process = subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    reader = threading.Thread(target=_tell, args=(process.stdout, counts), daemon=True)
    reader.start()
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        code = _TOO_LONG
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    # What outlives the command may hold its output open.
    reader.join(1.0)
    return code, counts


def _tell(output: IO[str], counts: list[str]) -> None:
    for line in output:
        sys.stdout.write(line)
        sys.stdout.flush()
        if found := _PYTEST_SUMMARY.match(line):
            counts.append(found[1])


def _left_behind() -> list[str]:
    """The processes that do not end by themselves."""
    deadline = time.monotonic() + _SECONDS_TO_VANISH
    while (left := dict(_descendants())) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [f"{pid} {name}" for pid, name in left.items()]


def _kill_all() -> None:
    """Those whose parents are killed come to us, so it takes a round per generation."""
    while left := dict(_descendants()):
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _descendants() -> Iterator[tuple[int, str]]:
    """Our children that still run, by id; buries those that do not."""
    for entry in Path("/proc").iterdir():
        try:
            before, _, after = (entry / "stat").read_text().rpartition(")")
            state, parent = after.split()[:2]
        except (OSError, ValueError):
            continue
        if not entry.name.isdecimal() or int(parent) != os.getpid():
            continue
        if state == "Z":
            os.waitpid(int(entry.name), 0)
        else:
            yield int(entry.name), before.partition("(")[2]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
