"""Takes, extends and releases holds through the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2

from attachery.v1 import attachments_pb2 as pb
from attachery.v1 import resources_pb2
from attachery_client.fields import duration
from support.service_fixtures import TENANT, ServiceUnderTest

HOUR = timedelta(hours=1)


async def take(
    service: ServiceUnderTest, *ids: str, **fields: Any
) -> pb.ResolveAttachmentsResponse:
    """Resolves with a hold of two hours, with changes of `fields`."""
    values = {"tenant_id": TENANT, "attachment_ids": ids, "hold_ttl": 2 * HOUR, **fields}
    request = pb.ResolveAttachmentsRequest(**values)
    return await service.attachments.ResolveAttachments(request, metadata=service.metadata)


async def held(service: ServiceUnderTest, *ids: str, **fields: Any) -> resources_pb2.Hold:
    return (await take(service, *ids, **fields)).hold


async def replace(
    service: ServiceUnderTest, *ids: str, **fields: Any
) -> pb.ResolveAttachmentsResponse:
    """Replaces the attachments of the hold of the owner `draft`."""
    own = {"hold_owner": "draft", "hold_mode": pb.HOLD_MODE_REPLACE}
    return await take(service, *ids, **{**own, **fields})


async def get_hold(service: ServiceUnderTest, **fields: Any) -> pb.GetHoldResponse:
    request = pb.GetHoldRequest(**{"tenant_id": TENANT, **fields})
    return await service.attachments.GetHold(request, metadata=service.metadata)


async def list_holds(service: ServiceUnderTest, **fields: Any) -> pb.ListHoldsResponse:
    request = pb.ListHoldsRequest(**{"tenant_id": TENANT, **fields})
    return await service.attachments.ListHolds(request, metadata=service.metadata)


async def extend(
    service: ServiceUnderTest,
    hold_id: str,
    ttl: timedelta | None,
    tenant_id: str = TENANT,
    hold_owner: str = "",
) -> resources_pb2.Hold:
    request = pb.ExtendHoldRequest(
        tenant_id=tenant_id, hold_id=hold_id, hold_owner=hold_owner, ttl=duration(ttl)
    )
    return (await service.attachments.ExtendHold(request, metadata=service.metadata)).hold


async def release(
    service: ServiceUnderTest,
    hold_id: str,
    tenant_id: str = TENANT,
    *,
    hold_owner: str = "",
    consumed: bool = False,
) -> resources_pb2.Hold:
    request = pb.ReleaseHoldRequest(
        tenant_id=tenant_id, hold_id=hold_id, hold_owner=hold_owner, consumed=consumed
    )
    return (await service.attachments.ReleaseHold(request, metadata=service.metadata)).hold


async def end(service: ServiceUnderTest, hold_id: str) -> None:
    """Moves a hold's end, and its effect on the rows, into the past."""
    await service.database.execute(
        "UPDATE holds SET create_time = create_time - interval '8 d',"
        " expire_time = expire_time - interval '8 d' WHERE hold_id = $1",
        hold_id,
    )
    await service.database.execute(
        "UPDATE held_attachments SET end_time = end_time - interval '8 d' WHERE hold_id = $1",
        hold_id,
    )
    await service.database.execute(
        "UPDATE upload_sessions SET held_until = held_until - interval '8 d' WHERE attachment_id"
        " IN (SELECT attachment_id FROM held_attachments WHERE hold_id = $1)",
        hold_id,
    )


async def get(service: ServiceUnderTest, attachment_id: str) -> resources_pb2.Attachment:
    request = pb.GetAttachmentRequest(tenant_id=TENANT, attachment_id=attachment_id)
    answer = await service.attachments.GetAttachment(request, metadata=service.metadata)
    return answer.attachment


async def state(service: ServiceUnderTest, attachment_id: str) -> str:
    name = resources_pb2.UploadSessionState.Name((await get(service, attachment_id)).state)
    return name.removeprefix("UPLOAD_SESSION_STATE_")


async def holds_stored(service: ServiceUnderTest) -> int:
    count: int = await service.database.fetchval("SELECT count(*) FROM holds")
    return count


def exactly(time: Timestamp) -> datetime:
    return time.ToDatetime(tzinfo=UTC)


def reasons(answer: pb.ResolveAttachmentsResponse) -> list[str]:
    """The reason of each result's status; empty if it is OK."""
    return [_reason(result) for result in answer.results]


def _reason(result: pb.ResolveAttachmentResult) -> str:
    info = error_details_pb2.ErrorInfo()
    for detail in result.status.details:
        if detail.type_url.endswith("ErrorInfo"):
            detail.Unpack(info)
    return info.reason
