"""Runs `make run` as in the README: starts it, uses it, stops it with Ctrl-C, and repeats that.

    .venv/bin/python tests/fresh/try_run.py

Run it in a checkout whose data folder does not exist yet. The service uses a free port.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attachery_client import AttacheryClient

_DATA = Path(".attachery")
_START_SECONDS = 180.0
_STOP_SECONDS = 30.0
_CONTENT = Path("README.md")


@contextmanager
def _running() -> Iterator[dict[str, Any]]:
    """Runs the service for the block, and stops it with Ctrl-C; yields its ready file."""
    service = subprocess.Popen(["make", "run", "LISTEN=127.0.0.1:0"], start_new_session=True)
    try:
        yield json.loads(_ready_file(service).read_text(encoding="utf-8"))
        os.killpg(service.pid, signal.SIGINT)  # as a terminal does: to the process group
        service.wait(_STOP_SECONDS)
    finally:
        if service.poll() is None:
            os.killpg(service.pid, signal.SIGKILL)
    left = _processes_of(service.pid)
    assert not left, f"make run left {left}"


def _ready_file(service: subprocess.Popen[bytes]) -> Path:
    end, file = time.monotonic() + _START_SECONDS, _DATA / "ready.json"
    while not file.exists():
        assert service.poll() is None, f"make run ended with {service.returncode}"
        assert time.monotonic() < end, f"make run was not ready within {_START_SECONDS} s"
        time.sleep(0.1)
    return file


def _processes_of(session: int) -> list[str]:
    """The command lines of this session's running processes."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except (OSError, ValueError):
            continue  # ended meanwhile
    return found


def _client(ready: dict[str, Any]) -> AttacheryClient:
    return AttacheryClient(ready["listen"], api_key=ready["api_key"])


async def _upload(ready: dict[str, Any]) -> str:
    async with _client(ready) as client:
        attachment = await client.upload(_CONTENT, tenant_id=ready["tenant_id"])
        return attachment.attachment_id


async def _download(ready: dict[str, Any], attachment_id: str) -> bytes:
    async with _client(ready) as client:
        return await client.download(attachment_id, tenant_id=ready["tenant_id"])


def main() -> None:
    assert not _DATA.exists(), f"{_DATA} exists"
    with _running() as ready:
        attachment_id = asyncio.run(_upload(ready))
    with _running() as ready:
        assert asyncio.run(_download(ready, attachment_id)) == _CONTENT.read_bytes()
    print("make run: uploaded, ended by Ctrl-C, started again, downloaded", file=sys.stderr)


if __name__ == "__main__":
    main()
