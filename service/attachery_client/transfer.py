"""The transfer of bytes between this process and storage: sources, sinks and failures."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal, Protocol
from uuid import uuid4

from attachery.v1.resources_pb2 import Attachment, UploadTarget
from attachery_client.errors import AttacheryError, DeadlineExceeded

Digest = Literal["md5", "sha256"]
DEFAULT_DIGESTS: tuple[Digest, ...] = ("sha256",)

_CHUNK = 1024 * 1024
# Extensions that files of another type share: subtitles (AAC), translation catalogues (PowerPoint),
# pictures (mail). The service may refuse a wrong type, but not a generic one.
_AMBIGUOUS_EXTENSIONS = (".ass", ".pot", ".art")

_COMPRESSED_TYPES = {"gzip": "application/gzip", "bzip2": "application/x-bzip2"}


class MissingExtra(ImportError):
    """An optional part of the client was used whose dependencies are not installed."""


class TransferFailed(AttacheryError):
    """The bytes could not be moved to or from storage.

    - `status`: the HTTP status of storage's response; None without a response.
    - `store_code`: the error code in the response, such as `AccessDenied`; empty without one.

    Neither contains the URL, which is a credential.
    """

    summary = "The bytes could not be moved to or from storage."
    reason = "TRANSFER_FAILED"

    def __init__(
        self, message: str = "", *, status: int | None = None, store_code: str = ""
    ) -> None:
        facts = {"status": str(status or ""), "storeCode": store_code}
        super().__init__(message, facts={name: fact for name, fact in facts.items() if fact})
        self.status = status
        self.store_code = store_code


class ProxyFailed(TransferFailed):
    """The HTTP proxy between this process and storage did not let the request through.

    `status` is the proxy's answer; None if it did not answer. `may_pass`: False where the
    environment names a proxy that can never be used.
    """

    summary = "The HTTP proxy between this process and storage refused the request."
    reason = "PROXY_FAILED"

    def __init__(self, message: str, *, status: int | None = None, may_pass: bool = True) -> None:
        super().__init__(message, status=status)
        self.may_pass = may_pass


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes to upload: opened anew for each attempt; size in bytes; hexadecimal digests."""

    open: Callable[[], BinaryIO]
    size: int
    filename: str
    digests: dict[str, str]


class Transfer(Protocol):
    """Transfers bytes by signed URL.

    Both methods retry transient failures, and raise TransferFailed.
    """

    async def send(self, target: UploadTarget, body: Body) -> None:
        """Sends the bytes as the target requires."""

    async def fetch(self, url: str, sink: BinaryIO) -> None:
        """Writes the bytes to the sink, from its beginning."""

    async def close(self) -> None:
        """Drops the connections."""


def open_transfer() -> Transfer:
    """A transfer over HTTP. Raises MissingExtra where aiohttp is not installed."""
    try:
        from attachery_client.http import HttpTransfer  # noqa: PLC0415 - needs an extra
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "upload and download need aiohttp, of the extra attachery-client[transfer]"
        ) from error
    return HttpTransfer()


def read_body(source: Path | str | bytes, algorithms: Iterable[Digest]) -> Body:
    """The size and digests of a file or of bytes before it is sent. Blocks while it reads."""
    if isinstance(source, bytes):
        return Body(lambda: BytesIO(source), len(source), "", _digests(BytesIO(source), algorithms))
    path = Path(source)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        return Body(lambda: path.open("rb"), size, path.name, _digests(file, algorithms))


def guess_content_type(filename: str) -> str:
    """The type for the extension of the name; for a compressed file, that of the compression.

    `application/octet-stream` for an unknown or ambiguous extension.
    """
    if filename.lower().endswith(_AMBIGUOUS_EXTENSIONS):
        return "application/octet-stream"
    kind, compression = mimetypes.guess_type(filename)
    if compression is not None:
        kind = _COMPRESSED_TYPES.get(compression)
    return kind or "application/octet-stream"


def verify(file: BinaryIO, attachment: Attachment) -> None:
    """Raises TransferFailed unless the file holds the attachment's bytes. Blocks while it reads."""
    size = file.seek(0, os.SEEK_END)
    if size != attachment.size_bytes:
        raise TransferFailed(f"{size} bytes arrived of {attachment.size_bytes}")
    expected = attachment.checksums.sha256
    if expected and _digests(file, ["sha256"]) != {"sha256": expected}:
        raise TransferFailed("the bytes that arrived have another SHA-256 than the attachment")


@asynccontextmanager
async def replacing(destination: Path) -> AsyncIterator[BinaryIO]:
    """Writes a file that replaces `destination` if the block succeeds, else is removed."""
    # Beside the destination, so that the last step is a rename within one file system.
    part = destination.with_name(f".{uuid4().hex}.part")
    try:
        with await asyncio.to_thread(part.open, "xb+") as file:
            yield file
        await asyncio.to_thread(part.replace, destination)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@asynccontextmanager
async def time_limit(seconds: float | None, doing: str) -> AsyncIterator[None]:
    """Raises DeadlineExceeded if the block takes longer; None for no limit."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceeded(f"{doing} took longer than {seconds:g} s") from None


def _digests(file: BinaryIO, algorithms: Iterable[Digest]) -> dict[str, str]:
    hashes = {name: hashlib.new(name, usedforsecurity=name != "md5") for name in algorithms}
    file.seek(0)
    while hashes and (chunk := file.read(_CHUNK)):
        for digest in hashes.values():
            digest.update(chunk)
    return {name: digest.hexdigest() for name, digest in hashes.items()}
