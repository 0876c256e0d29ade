"""`attachery demo FILE`: one real file through the whole flow, each step with its duration."""

from __future__ import annotations

import argparse
import asyncio
import mimetypes
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from attachery.v1.resources_pb2 import UploadTarget
from attachery.v1.upload_sessions_pb2 import VerificationCheck
from attachery_client import AttacheryClient
from attachery_service.cli.dev import TENANT, DevOptions, running_dev
from attachery_service.cli.ready_file import Ready
from attachery_service.cli.signals import stop_signals
from attachery_service.logs import configure_logs

_STOPPED = 130


async def run(options: argparse.Namespace) -> int:
    """Starts everything in a temporary folder, and leaves nothing behind."""
    configure_logs("warning")
    with stop_signals():
        await _run(options.file)
        return 0
    return _STOPPED


async def _run(file: Path) -> None:
    content = await asyncio.to_thread(file.read_bytes)
    with tempfile.TemporaryDirectory(prefix="attachery-demo-") as folder:
        asked = DevOptions(listen="127.0.0.1:0", metrics_listen=None, data_dir=Path(folder))
        started = time.perf_counter()
        async with running_dev(asked) as ready:
            _print("serve", f"on {ready.listen}, with Postgres and object storage", started)
            await _flow(ready, file.name, content)
    print(f"\n{file.name} came back exactly as it was sent: {len(content)} bytes.")


async def _flow(ready: Ready, filename: str, content: bytes) -> None:
    content_type = mimetypes.guess_type(filename)[0] or "application/octet-stream"
    async with (
        AttacheryClient(ready.listen, api_key=ready.api_key) as client,
        aiohttp.ClientSession() as http,
    ):
        with _step("start") as said:
            started = await client.start_upload_session(
                tenant_id=TENANT,
                filename=filename,
                content_type=content_type,
                size_bytes=len(content),
            )
            attachment_id = started.session.attachment_id
            said.append(f"session {attachment_id}, PENDING")
        with _step("upload") as said:
            await _upload(http, started.target, content)
            said.append(f"{started.target.method} {len(content)} bytes, straight to the store")
        with _step("complete") as said:
            completed = await client.complete_upload_session(attachment_id, tenant_id=TENANT)
            passed = [VerificationCheck.Kind.Name(c.kind)[5:].lower() for c in completed.checks]
            said.append(f"READY; checked {', '.join(passed)}")
        with _step("resolve") as said:
            resolved = await client.resolve_attachments(
                [attachment_id], tenant_id=TENANT, include_download_urls=True
            )
            result = resolved.results[0]
            said.append(f"{result.attachment.filename}, {result.attachment.size_bytes} bytes")
        with _step("download") as said:
            downloaded = await _download(http, result.download.url)
            said.append(f"{len(downloaded)} bytes")
        with _step("compare") as said:
            _require_same(content, downloaded)
            said.append("the same")


async def _upload(http: aiohttp.ClientSession, target: UploadTarget, content: bytes) -> None:
    async with http.request(
        target.method, target.url, data=content, headers=dict(target.headers)
    ) as answer:
        answer.raise_for_status()


async def _download(http: aiohttp.ClientSession, url: str) -> bytes:
    async with http.get(url) as answer:
        answer.raise_for_status()
        return await answer.read()


def _require_same(sent: bytes, received: bytes) -> None:
    if sent != received:
        raise OSError("what came back is not what was sent")


@contextmanager
def _step(name: str) -> Iterator[list[str]]:
    started, said = time.perf_counter(), list[str]()
    yield said
    _print(name, " ".join(said), started)


def _print(name: str, text: str, started: float) -> None:
    print(f"{name:<10}{(time.perf_counter() - started) * 1000:8.1f} ms  {text}", flush=True)
