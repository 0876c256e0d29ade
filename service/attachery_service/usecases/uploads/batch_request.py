"""The request of BatchCompleteUploadSessions, as it came and validated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from attachery_service.domain import inputs
from attachery_service.domain.checksums import Algorithm
from attachery_service.domain.idempotency import RequestKey, given, request_key
from attachery_service.usecases.uploads.upload_verifier import Demands

METHOD = "BatchCompleteUploadSessions"

MAX_ITEMS = 100


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One item as it came."""

    attachment_id: str
    checksums: Mapping[Algorithm, str]
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCompleteRequest:
    """The request as it came."""

    tenant_id: str
    request_id: str
    items: Sequence[BatchItem]
    atomic: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """The request, validated: what each item demands, by attachment id."""

    tenant_id: str
    items: Mapping[UUID, Demands]
    atomic: bool
    request: RequestKey | None


def read_batch(request: BatchCompleteRequest) -> Batch:
    """Validate the request. Raises InvalidRequest."""
    reader = inputs.Reader()
    reader.take("tenant_id", "INVALID_TENANT_ID", inputs.tenant_id, request.tenant_id)
    request_id = reader.take(
        "request_id", "INVALID_REQUEST_ID", inputs.request_id, request.request_id
    )
    items = _read_items(reader, request.items)
    reader.done()
    payload = {"items": [_payload(*item) for item in items.items()], "atomic": request.atomic}
    key = request_key(METHOD, request_id, payload)
    return Batch(request.tenant_id, items, request.atomic, key)


def _read_items(reader: inputs.Reader, items: Sequence[BatchItem]) -> dict[UUID, Demands]:
    count = len(items)
    if not count:
        reader.refuse("items", "INVALID_ITEMS", "must hold at least one item")
    if count > MAX_ITEMS:
        rule = f"must hold at most {MAX_ITEMS} items"
        reader.refuse("items", "BATCH_TOO_LARGE", rule, maxCount=MAX_ITEMS, actualCount=count)
        return {}
    read: dict[UUID, Demands] = {}
    for number, item in enumerate(items):
        field = f"items[{number}]"
        attachment_id = reader.take(
            f"{field}.attachment_id",
            "INVALID_ATTACHMENT_ID",
            inputs.attachment_id,
            item.attachment_id,
        )
        if attachment_id in read:
            rule = "must not stand twice in one batch"
            reader.refuse(f"{field}.attachment_id", "DUPLICATE_ATTACHMENT_ID", rule)
        checksums = inputs.checksums(reader, f"{field}.checksums", item.checksums)
        size = inputs.size(reader, item.size, inputs.MAX_SIZE, f"{field}.size_bytes", min_size=0)
        read[attachment_id] = Demands(checksums, size)
    return read


def _payload(attachment_id: UUID, demands: Demands) -> Mapping[str, object]:
    return given(
        {
            "attachment_id": attachment_id,
            "checksums": demands.checksums.known(),
            "size": demands.size,
        }
    )
