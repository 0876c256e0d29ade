"""Changes of the database and object storage for tests of audits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

from attachery.v1.attachments_pb2 import DeleteAttachmentRequest, ResolveAttachmentsRequest
from support.failures import failure
from support.service_fixtures import TENANT, ServiceUnderTest
from support.sweep_fixtures import opened_sweeper

BODY, OTHER = b"hello\n", b"HELLO\n"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

Plant = Callable[[ServiceUnderTest], Awaitable[str]]


async def column(service: ServiceUnderTest, attachment_id: str, name: str) -> Any:
    return await service.database.fetchval(
        f"SELECT {name} FROM upload_sessions WHERE attachment_id = $1",  # noqa: S608
        attachment_id,
    )


async def change(service: ServiceUnderTest, attachment_id: str, what: str) -> None:
    await service.database.execute(
        f"UPDATE upload_sessions SET {what} WHERE attachment_id = $1",  # noqa: S608
        attachment_id,
    )


async def put(service: ServiceUnderTest, key: str, body: bytes = BODY) -> str:
    await service.s3.put_object(Bucket=service.bucket, Key=key, Body=body)
    return key


async def put_again(service: ServiceUnderTest, attachment_id: str, body: bytes = BODY) -> str:
    """Puts bytes under the key of the session's upload."""
    return await put(service, await column(service, attachment_id, "upload_key"), body)


def key_of(service: ServiceUnderTest, *parts: str) -> str:
    return "/".join((service.settings.s3_prefix, *parts))


async def held(service: ServiceUnderTest) -> str:
    attachment_id = await service.ready(BODY)
    request = ResolveAttachmentsRequest(tenant_id=TENANT, attachment_ids=[attachment_id])
    request.hold_ttl.FromTimedelta(2 * HOUR)
    await service.attachments.ResolveAttachments(request, metadata=service.metadata)
    return attachment_id


async def deleted(service: ServiceUnderTest) -> str:
    attachment_id = await service.ready(BODY)
    request = DeleteAttachmentRequest(tenant_id=TENANT, attachment_id=attachment_id)
    await service.attachments.DeleteAttachment(request, metadata=service.metadata)
    await service.app.background.drain(5)
    return attachment_id


async def cancelled(service: ServiceUnderTest) -> str:
    started = await service.start(size_bytes=len(BODY))
    await service.cancel(started.session.attachment_id)
    await service.app.background.drain(5)
    attachment_id: str = started.session.attachment_id
    return attachment_id


async def everything(service: ServiceUnderTest) -> tuple[int, int]:
    """Creates sessions in every state with all possible objects; returns the numbers of both."""
    await service.start()
    uploaded = (await service.start(size_bytes=len(BODY))).session.attachment_id
    failed = (await service.start(size_bytes=len(BODY))).session.attachment_id
    expired = (await service.start(size_bytes=len(BODY))).session.attachment_id
    for each in (uploaded, failed, expired):
        await put_again(service, each)
    await failure(service.complete(failed, size_bytes=1))
    copied = await service.ready(BODY, size_bytes=None)
    await service.app.background.drain(5)
    over = await service.ready(BODY)
    for each in (expired, over):
        await service.age(each, HOUR + timedelta(minutes=1))
    # A copy that a Complete is creating, and one that another has just left.
    await put(service, key_of(service, TENANT, uploaded, "copy"))
    await put(service, key_of(service, TENANT, copied, "copy"))
    for each in (failed, copied, await cancelled(service), await deleted(service)):
        await put_again(service, each)
    await service.ready(BODY)
    await held(service)
    # Due for long enough to be swept, but not to be overdue.
    await change(service, failed, "due_time = now() - interval '4 minutes'")
    return 10, 12


async def missing(service: ServiceUnderTest) -> str:
    key: str = await column(service, await service.ready(BODY), "sealed_key")
    await service.s3.delete_object(Bucket=service.bucket, Key=key)
    return key


async def changed(service: ServiceUnderTest) -> str:
    return await put_again(service, await service.ready(BODY), OTHER)


async def orphan_without_a_session(service: ServiceUnderTest) -> str:
    return await put(service, key_of(service, TENANT, str(uuid4()), "nonce"))


async def orphan_of_another_form(service: ServiceUnderTest) -> str:
    return await put(service, key_of(service, TENANT, "a-b", "c", "d"))


async def orphan_beside_the_sealed_object(service: ServiceUnderTest) -> str:
    attachment_id = await service.ready(BODY)
    await service.age(attachment_id, timedelta(minutes=10))
    return await put(service, key_of(service, TENANT, attachment_id, "copy"))


async def put_after_the_last_sweep(service: ServiceUnderTest, attachment_id: str) -> str:
    await service.age(attachment_id, DAY)
    async with opened_sweeper(service.settings) as sweep:
        await sweep()
    return await put_again(service, attachment_id)


async def orphan_after_the_last_disposal(service: ServiceUnderTest) -> str:
    attachment_id = await cancelled(service)
    return await put_after_the_last_sweep(service, attachment_id)


async def orphan_of_a_deleted_attachment(service: ServiceUnderTest) -> str:
    attachment_id = await deleted(service)
    return await put_after_the_last_sweep(service, attachment_id)


async def overdue(service: ServiceUnderTest) -> str:
    attachment_id = await cancelled(service)
    await change(service, attachment_id, "due_time = now() - interval '6 minutes'")
    return attachment_id


async def late(service: ServiceUnderTest) -> str:
    attachment_id = await service.ready(BODY)
    await change(service, attachment_id, "due_time = object_purge_time + interval '1 second'")
    return attachment_id


async def miscounted(service: ServiceUnderTest) -> str:
    await service.ready(BODY)
    await service.database.execute(
        "UPDATE tenant_usage SET stored_bytes = stored_bytes + 5 WHERE shard = 3"
    )
    return ""


async def held_too_short(service: ServiceUnderTest) -> str:
    attachment_id = await held(service)
    await change(service, attachment_id, "held_until = NULL")
    return attachment_id


async def held_too_long(service: ServiceUnderTest) -> str:
    attachment_id = await held(service)
    await change(service, attachment_id, "held_until = held_until + interval '1 second'")
    return attachment_id


async def copied_rows(service: ServiceUnderTest, count: int) -> None:
    """Creates `count` more rows like the only one."""
    await service.database.execute(
        """
        INSERT INTO upload_sessions SELECT (jsonb_populate_record(s, to_jsonb(s)
            || jsonb_build_object('attachment_id', gen_random_uuid()))).*
        FROM upload_sessions AS s, generate_series(1, $1)
        """,
        count,
    )
