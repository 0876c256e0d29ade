"""`attachery demo FILE`: take one real file through the whole flow, and time each step."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import stat
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from attachery.v1.resources_pb2 import UploadTarget
from attachery.v1.upload_sessions_pb2 import VerificationCheck
from attachery_client import AttacheryClient
from attachery_client import AttacheryError as ClientError
from attachery_dev.api_key import TENANT
from attachery_dev.running import running_dev
from attachery_dev.servers import DevOptions, settings_before_start
from attachery_service.app.parts import policies_of
from attachery_service.cli.errors import CommandError
from attachery_service.cli.ready_file import Ready
from attachery_service.cli.signals import stop_signals
from attachery_service.domain.policy import DEFAULT_PURPOSE, Policy
from attachery_service.observability.logs import configure_logs

_STOPPED = 130
_PART_BYTES = 2**18
_NO_LIMIT = aiohttp.ClientTimeout(total=None, sock_read=60)


class DemoError(CommandError):
    """The file cannot be used, or the downloaded file differs; the text says why."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """A file to upload. `size` in bytes, `sha256` in hex."""

    path: Path
    size: int
    sha256: str


def add_arguments(parser: ArgumentParser) -> None:
    parser.set_defaults(run=run)
    parser.add_argument("file", type=Path)


async def run(options: Namespace) -> int:
    """Run everything in a temporary folder, and remove it."""
    configure_logs("warning", human=sys.stderr.isatty())
    with stop_signals():
        await _run(options.file)
        return 0
    print("attachery: interrupted", file=sys.stderr)
    return _STOPPED


async def _run(file: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="attachery-demo-") as folder:
        asked = DevOptions(listen="127.0.0.1:0", metrics_listen=None, data_dir=Path(folder))
        policy = policies_of(settings_before_start(asked))[DEFAULT_PURPOSE]
        sample = await asyncio.to_thread(_examined, file, policy)
        started = time.perf_counter()
        async with running_dev(asked) as ready:
            _print("serve", f"on {ready.listen}, with PostgreSQL and object storage", started)
            try:
                await _flow(ready, sample, Path(folder) / "downloaded")
            except ClientError as error:
                raise DemoError(str(error)) from error
    print(f"\n{file.name} was downloaded unchanged: {sample.size} bytes.")


def _examined(file: Path, policy: Policy) -> _Sample:
    """Read the file once, before anything starts. Raises DemoError, OSError."""
    if not stat.S_ISREG(file.stat().st_mode):  # opening a pipe would block
        raise DemoError(f"{file} is not a regular file")
    with file.open("rb") as content:
        size = file.stat().st_size
        if size == 0:
            raise DemoError(f"{file} is empty")
        if size > policy.max_size:
            raise DemoError(
                f"{file} has {size} bytes, the largest upload is {policy.max_size}:"
                " ATTACHERY_MAX_SIZE sets another limit, up to 5GiB"
            )
        return _Sample(file, size, hashlib.file_digest(content, "sha256").hexdigest())


async def _flow(ready: Ready, sample: _Sample, download_to: Path) -> None:
    filename = sample.path.name
    async with (
        AttacheryClient(ready.listen, api_key=ready.api_key) as client,
        aiohttp.ClientSession(timeout=_NO_LIMIT) as http,
    ):
        with _step("start") as said:
            started = await client.start_upload_session(
                tenant_id=TENANT,
                filename=filename,
                content_type=mimetypes.guess_type(filename)[0] or "application/octet-stream",
                size_bytes=sample.size,
            )
            attachment_id = started.session.attachment_id
            said.append(f"session {attachment_id}, PENDING")
        with _step("upload") as said:
            await _upload(http, started.target, sample)
            said.append(f"{started.target.method} {sample.size} bytes, straight to object storage")
        with _step("complete") as said:
            completed = await client.complete_upload_session(attachment_id, tenant_id=TENANT)
            said.append(f"READY; {_describe(completed.checks)}")
        with _step("resolve") as said:
            resolved = await client.resolve_attachments(
                [attachment_id], tenant_id=TENANT, include_download_urls=True
            )
            result = resolved.results[0]
            said.append(f"{result.attachment.filename}, {result.attachment.size_bytes} bytes")
        with _step("download") as said:
            said.append(f"{await _download(http, result.download.url, download_to)} bytes")
        with _step("compare") as said:
            await asyncio.to_thread(_require_same, sample, download_to)
            said.append("the same")


def _describe(checks: Sequence[VerificationCheck]) -> str:
    """List the passed checks, and the failed ones that are reported only."""
    passed = [_name(c) for c in checks if c.outcome == VerificationCheck.OUTCOME_PASSED]
    others = [
        f"{_name(c)} {VerificationCheck.Outcome.Name(c.outcome)[8:].lower()}"
        f" (expected {c.expected or 'anything'}, found {c.actual or 'nothing'})"
        for c in checks
        if c.outcome != VerificationCheck.OUTCOME_PASSED
    ]
    return "; ".join([f"passed: {', '.join(passed)}", *others])


def _name(check: VerificationCheck) -> str:
    return VerificationCheck.Kind.Name(check.kind)[5:].lower()


async def _upload(http: aiohttp.ClientSession, target: UploadTarget, sample: _Sample) -> None:
    with sample.path.open("rb") as content:
        async with http.request(
            target.method, target.url, data=content, headers=dict(target.headers)
        ) as answer:
            answer.raise_for_status()


async def _download(http: aiohttp.ClientSession, url: str, to: Path) -> int:
    """Stream the body into a file; return its size in bytes."""
    size = 0
    async with http.get(url) as answer:
        answer.raise_for_status()
        with to.open("wb") as file:
            async for part in answer.content.iter_chunked(_PART_BYTES):
                size += file.write(part)
    return size


def _require_same(sample: _Sample, downloaded: Path) -> None:
    with downloaded.open("rb") as content:
        if hashlib.file_digest(content, "sha256").hexdigest() != sample.sha256:
            raise DemoError("the downloaded file differs from the uploaded one")


@contextmanager
def _step(name: str) -> Iterator[list[str]]:
    started, said = time.perf_counter(), list[str]()
    yield said
    _print(name, " ".join(said), started)


def _print(name: str, text: str, started: float) -> None:
    print(f"{name:<10}{(time.perf_counter() - started) * 1000:8.1f} ms  {text}", flush=True)
