"""One file through every call that both releases have, by the installed client.

    flow.py TARGET API_KEY

A script of its own, because the environment of a release has no other part of these tests. Prints
what the caller has seen, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

from attachery_client import AttacheryClient, AttacheryError, BatchItem, from_status

TENANT = "acme"
BODY = b"hello\n"
FILE: dict[str, Any] = {"tenant_id": TENANT, "filename": "a.txt", "content_type": "text/plain"}
UNKNOWN_ID = "0190b5a0-0000-7000-8000-000000000000"


async def run(client: AttacheryClient) -> dict[str, object]:
    attachment_id = (await client.upload(BODY, **FILE)).attachment_id
    return {
        "downloaded": (await client.download(attachment_id, tenant_id=TENANT)).decode(),
        "attachment": await _attachment(client, attachment_id),
        "hold": await _hold(client, attachment_id),
        "batch": await _batch(client),
        "cancelled": await _cancelled(client),
        "listed": await _listed(client),
        "policy": (await client.get_upload_policy(tenant_id=TENANT)).policy.max_size_bytes > 0,
        "deleted": await _deleted(client, attachment_id),
        "errors": await _errors(client),
    }


async def _attachment(client: AttacheryClient, attachment_id: str) -> list[object]:
    found = (await client.get_attachment(attachment_id, tenant_id=TENANT)).attachment
    return [found.filename, found.size_bytes, found.checksums.sha256]


async def _hold(client: AttacheryClient, attachment_id: str) -> list[object]:
    minute = timedelta(minutes=1)
    resolved = await client.resolve_attachments(
        [attachment_id, UNKNOWN_ID], tenant_id=TENANT, include_download_urls=True, hold_ttl=minute
    )
    extended = await client.extend_hold(resolved.hold.hold_id, tenant_id=TENANT, ttl=2 * minute)
    await client.release_hold(resolved.hold.hold_id, tenant_id=TENANT)
    failed = from_status(resolved.results[1].status)
    return [
        resolved.results[0].attachment.attachment_id == attachment_id,
        type(failed).__name__,
        extended.hold.hold_id == resolved.hold.hold_id,
    ]


async def _batch(client: AttacheryClient) -> list[object]:
    started = await client.start_upload_session(size_bytes=len(BODY), **FILE)
    ids = [started.session.attachment_id, UNKNOWN_ID]
    batch = await client.batch_complete_upload_sessions(
        [ids[0], BatchItem(ids[1])], tenant_id=TENANT
    )
    return [type(from_status(result.status)).__name__ for result in batch.results]


async def _cancelled(client: AttacheryClient) -> int:
    started = await client.start_upload_session(size_bytes=len(BODY), **FILE)
    cancelled = await client.cancel_upload_session(started.session.attachment_id, tenant_id=TENANT)
    return cancelled.session.state


async def _listed(client: AttacheryClient) -> list[int]:
    first = await client.list_upload_sessions(tenant_id=TENANT, page_size=2)
    more = await client.list_upload_sessions(
        tenant_id=TENANT, page_size=2, page_token=first.next_page_token
    )
    return [session.state for page in (first, more) for session in page.sessions]


async def _deleted(client: AttacheryClient, attachment_id: str) -> int:
    await client.delete_attachment(attachment_id, tenant_id=TENANT)
    return (await client.get_upload_session(attachment_id, tenant_id=TENANT)).session.state


async def _errors(client: AttacheryClient) -> list[str]:
    return [
        await _error(client.get_upload_session(UNKNOWN_ID, tenant_id=TENANT)),
        await _error(client.get_upload_session(UNKNOWN_ID, tenant_id="other")),
        await _error(client.start_upload_session(**{**FILE, "filename": ""})),
        await _error(client.upload(b"", **FILE)),
    ]


async def _error(call: Awaitable[object]) -> str:
    try:
        await call
    except AttacheryError as error:
        return f"{type(error).__name__} {error.reason}"
    return "no error"


async def main() -> None:
    target, api_key = sys.argv[1:]
    async with AttacheryClient(target, api_key=api_key) as client:
        print(json.dumps(await run(client)))


if __name__ == "__main__":
    asyncio.run(main())
