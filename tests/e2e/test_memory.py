"""The service's memory does not grow with the file, even when it has to read it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from awscrt import checksums

from attachery.v1.resources_pb2 import UploadTarget
from attachery_client import AttacheryClient

SMALL, LARGE = 2**20, 100 * 2**20


@pytest.fixture
async def dev(tmp_path: Path) -> AsyncIterator[tuple[int, dict[str, str]]]:
    """Process id and ready file of a whole `attachery dev`."""
    ready = tmp_path / "ready.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "attachery_service",
        "dev",
        "--listen=127.0.0.1:0",
        f"--data-dir={tmp_path / 'data'}",
        f"--ready-file={ready}",
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(30):
            while not ready.exists():
                assert process.returncode is None
                await asyncio.sleep(0.02)
        yield process.pid, json.loads(ready.read_text())
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 30) == 0


@pytest.mark.exhaustive
async def test_a_100_mib_file_costs_the_service_no_more_memory_than_a_small_one(
    dev: tuple[int, dict[str, str]],
) -> None:
    pid, ready = dev
    async with AttacheryClient(ready["listen"], api_key=ready["api_key"]) as client:
        await _upload(client, SMALL)
        before = _peak_memory(pid)
        await _upload(client, LARGE)
        growth = _peak_memory(pid) - before
    assert growth < LARGE // 4


async def _upload(client: AttacheryClient, size: int) -> None:
    """Uploads by a form, with digests that the service must compute from the whole object."""
    body = bytes(size)
    started = await client.start_upload_session(
        tenant_id="demo", filename="zeros", content_type="application/octet-stream"
    )
    await _send(started.target, body)
    completed = await client.complete_upload_session(
        started.session.attachment_id,
        tenant_id="demo",
        checksums={
            "sha256": hashlib.sha256(body).hexdigest(),
            "crc64nvme": f"{checksums.crc64nvme(body):016x}",
        },
        timeout=60,
    )
    assert completed.attachment.size_bytes == size


async def _send(target: UploadTarget, body: bytes) -> None:
    form = aiohttp.FormData()
    for name, value in target.form_fields.items():
        form.add_field(name, value)
    form.add_field("file", io.BytesIO(body), filename="file")
    async with (
        aiohttp.ClientSession() as http,
        http.post(target.url, data=form, headers=dict(target.headers)) as answer,
    ):
        assert answer.status < 300


def _peak_memory(pid: int) -> int:
    """Bytes of resident memory at their highest."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
