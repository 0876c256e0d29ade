"""Whole files in one call."""
# ruff: noqa: ASYNC109 - gRPC callers expect a deadline per call

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, overload

from attachery.v1.resources_pb2 import Attachment
from attachery.v1.upload_sessions_pb2 import StartUploadSessionResponse
from attachery_client.calls import Calls
from attachery_client.errors import AttacheryError
from attachery_client.fields import DispositionName, new_request_id
from attachery_client.transfer import (
    DEFAULT_DIGESTS,
    Body,
    Digest,
    Transfer,
    guess_content_type,
    read_body,
    replacing,
    time_limit,
    verify,
)

_CANCEL_SECONDS = 2.0


class Files(Calls):
    """The plain calls, and with them the transfer of bytes."""

    async def upload(
        self,
        source: Path | str | bytes,
        *,
        tenant_id: str = "",
        filename: str | None = None,
        content_type: str | None = None,
        checksums: Iterable[Digest] = DEFAULT_DIGESTS,
        content_id: str = "",
        disposition: DispositionName | None = None,
        is_inline: bool | None = None,
        purpose: str = "",
        metadata: Mapping[str, str] | None = None,
        ttl: timedelta | None = None,
        object_retention: timedelta | None = None,
        metadata_retention: timedelta | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Attachment:
        """Starts a session, sends the bytes, completes it: the attachment.

        - `source`: a path, or the bytes themselves. A file is read twice, for its digests and to
          be sent, a chunk at a time.
        - `filename`: by default the path's last part; bytes need one.
        - `content_type`: by default guessed from the name, else `application/octet-stream`.
        - `checksums`: the digests to compute and declare, of `md5` and `sha256` (alone by default);
          `()` leaves only the size to verify.
        - `timeout`: seconds for the whole; by default the bytes have as long as the target works,
          and each call has its own deadline.
        - `request_id`: if yours, the whole can be repeated with it after any failure. Without one,
          a session is cancelled if the transfer of its bytes fails.

        Raises TransferFailed, DeadlineExceeded, MissingExtra, OSError for the file, and the errors
        of the calls: an empty file is refused by the service (InvalidRequest, SIZE_OUT_OF_RANGE).
        """
        transfer = self._connection.channel.transfer
        async with time_limit(timeout, "the upload"):
            body = await asyncio.to_thread(read_body, source, checksums)
            name = _name_of(body, filename)
            repeatable_id = request_id or new_request_id()
            started = await self.start_upload_session(
                tenant_id=tenant_id,
                filename=name,
                content_type=content_type or guess_content_type(name),
                size_bytes=body.size,
                checksums=body.digests,
                content_id=content_id,
                disposition=disposition,
                is_inline=is_inline,
                purpose=purpose,
                metadata=metadata,
                ttl=ttl,
                object_retention=object_retention,
                metadata_retention=metadata_retention,
                request_id=repeatable_id,
            )
            await self._send(transfer, started, body, cancel_on_failure=request_id is None)
            return await self._complete(started, repeatable_id)

    @overload
    async def download(
        self,
        attachment_id: str,
        destination: None = None,
        *,
        tenant_id: str = "",
        timeout: float | None = None,
    ) -> bytes: ...

    @overload
    async def download(
        self,
        attachment_id: str,
        destination: Path | str,
        *,
        tenant_id: str = "",
        timeout: float | None = None,
    ) -> Path: ...

    async def download(
        self,
        attachment_id: str,
        destination: Path | str | None = None,
        *,
        tenant_id: str = "",
        timeout: float | None = None,
    ) -> bytes | Path:
        """Downloads an attachment's bytes: into memory, or to a file, and returns the file's path.

        The file appears (or is replaced) only once its size, and its SHA-256 where the service
        knows it, are those of the attachment. `timeout`: seconds for the whole download,
        unlimited by default.

        Raises TransferFailed, DeadlineExceeded, MissingExtra, OSError for the file, UploadNotReady,
        ObjectPurged, AttachmentNotFound and the errors of every call.
        """
        async with time_limit(timeout, "the download"):
            if destination is None:
                memory = BytesIO()
                await self._receive(attachment_id, tenant_id, memory)
                return memory.getvalue()
            path = Path(destination)
            async with replacing(path) as file:
                await self._receive(attachment_id, tenant_id, file)
            return path

    async def _complete(self, started: StartUploadSessionResponse, request_id: str) -> Attachment:
        session = started.session
        completed = await self.complete_upload_session(
            session.attachment_id, tenant_id=session.tenant_id, request_id=request_id
        )
        return completed.attachment

    async def _send(
        self,
        transfer: Transfer,
        started: StartUploadSessionResponse,
        body: Body,
        *,
        cancel_on_failure: bool,
    ) -> None:
        # A repeated Start returns no target if the first attempt reached Complete.
        if not started.HasField("target"):
            return
        try:
            async with time_limit(started.target.ttl.seconds or None, "the transfer"):
                await transfer.send(started.target, body)
        except BaseException:
            if cancel_on_failure:
                await self._cancel(started.session.tenant_id, started.session.attachment_id)
            raise

    async def _cancel(self, tenant_id: str, attachment_id: str) -> None:
        """Ignores a failure: a session that is not cancelled expires."""
        with suppress(AttacheryError):
            await self.cancel_upload_session(
                attachment_id, tenant_id=tenant_id, timeout=_CANCEL_SECONDS
            )

    async def _receive(self, attachment_id: str, tenant_id: str, sink: BinaryIO) -> None:
        transfer = self._connection.channel.transfer
        got = await self.get_attachment(attachment_id, tenant_id=tenant_id)
        download = await self.create_download_url(attachment_id, tenant_id=tenant_id)
        await transfer.fetch(download.url, sink)
        await asyncio.to_thread(verify, sink, got.attachment)


def _name_of(body: Body, filename: str | None) -> str:
    """Raises ValueError for bytes without a name."""
    name = body.filename if filename is None else filename
    if not name:
        raise ValueError("bytes need a filename")
    return name
