"""Updates attachments through the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from attachery.v1 import attachments_pb2 as pb
from attachery.v1 import resources_pb2
from support.service_fixtures import TENANT, ServiceUnderTest

_OTHERS = {"tenant_id", "request_id", "expected_revision"}


def updating(
    attachment_id: str, mask: Sequence[str] | None = None, **fields: Any
) -> pb.UpdateAttachmentRequest:
    """Builds a request; without a `mask`, it names the given fields."""
    paths = [name for name in fields if name not in _OTHERS] if mask is None else mask
    values = {"tenant_id": TENANT, "update_mask": FieldMask(paths=paths), **fields}
    return pb.UpdateAttachmentRequest(attachment_id=attachment_id, **values)


async def update(
    service: ServiceUnderTest,
    attachment_id: str,
    mask: Sequence[str] | None = None,
    **fields: Any,
) -> resources_pb2.Attachment:
    request = updating(attachment_id, mask, **fields)
    answer = await service.attachments.UpdateAttachment(request, metadata=service.metadata)
    return answer.attachment


async def facts_of_updates(service: ServiceUnderTest, attachment_id: str) -> list[str]:
    """The facts of the updates in the history, in order, as they are stored."""
    rows = await service.database.fetch(
        "SELECT facts FROM session_events WHERE attachment_id = $1 AND facts->>'cause' = 'update'"
        " ORDER BY revision",
        attachment_id,
    )
    return [row["facts"] for row in rows]
