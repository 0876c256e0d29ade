"""The validated request of BatchCompleteUploadSessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from msgspec import Struct

from attachery_service.domain.idempotency import RequestKey, given, request_key
from attachery_service.usecases.uploads.upload_verifier import ExtraConstraints

METHOD: Final = "BatchCompleteUploadSessions"

MAX_ITEMS: Final = 100


class BatchCommand(Struct, frozen=True):
    """The constraints of each item by its attachment id, in the order of the request."""

    tenant_id: str
    items: Mapping[UUID, ExtraConstraints]
    atomic: bool
    request: RequestKey | None


def batch_key(
    request_id: str | None,
    items: Mapping[UUID, ExtraConstraints],
    subject: str | None,
    *,
    atomic: bool,
) -> RequestKey | None:
    payload = {"items": [_payload(*item) for item in items.items()], "atomic": atomic}
    return request_key(METHOD, request_id, payload, subject)


def _payload(attachment_id: UUID, extras: ExtraConstraints) -> Mapping[str, object]:
    return given(
        {
            "attachment_id": attachment_id,
            "checksums": extras.checksums.known(),
            "size": extras.size,
        }
    )
