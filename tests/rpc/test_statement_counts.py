"""The number of statements of a call with an unknown id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from attachery.v1 import attachments_pb2 as apb
from attachery.v1 import upload_sessions_pb2 as upb
from attachery_service.postgres.database import Database
from attachery_service.postgres.queries import Query
from support.failures import failure
from support.service_fixtures import TENANT, ServiceUnderTest

UNKNOWN = "01890000-0000-7000-8000-000000000000"

Call = Callable[[ServiceUnderTest, Any], Awaitable[Any]]


def _get(service: ServiceUnderTest, who: Any) -> Awaitable[Any]:
    return service.uploads.GetUploadSession(
        upb.GetUploadSessionRequest(**who), metadata=service.metadata
    )


def _complete(service: ServiceUnderTest, who: Any) -> Awaitable[Any]:
    return service.uploads.CompleteUploadSession(
        upb.CompleteUploadSessionRequest(**who), metadata=service.metadata
    )


def _cancel(service: ServiceUnderTest, who: Any) -> Awaitable[Any]:
    return service.uploads.CancelUploadSession(
        upb.CancelUploadSessionRequest(**who), metadata=service.metadata
    )


def _get_attachment(service: ServiceUnderTest, who: Any) -> Awaitable[Any]:
    return service.attachments.GetAttachment(
        apb.GetAttachmentRequest(**who), metadata=service.metadata
    )


def _download(service: ServiceUnderTest, who: Any) -> Awaitable[Any]:
    return service.attachments.CreateDownloadUrl(
        apb.CreateDownloadUrlRequest(**who), metadata=service.metadata
    )


def _delete(service: ServiceUnderTest, who: Any) -> Awaitable[Any]:
    return service.attachments.DeleteAttachment(
        apb.DeleteAttachmentRequest(**who), metadata=service.metadata
    )


def _update(service: ServiceUnderTest, who: Any) -> Awaitable[Any]:
    request = apb.UpdateAttachmentRequest(update_mask=FieldMask(paths=["content_id"]), **who)
    return service.attachments.UpdateAttachment(request, metadata=service.metadata)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (_get, 1),
        (_complete, 1),
        (_get_attachment, 1),
        (_download, 1),
        (_update, 1),
        # The conditional change, then the read that explains why it changed nothing.
        (_cancel, 2),
        (_delete, 2),
    ],
)
async def test_an_unknown_id_needs_no_repeated_statement(
    service: ServiceUnderTest, monkeypatch: pytest.MonkeyPatch, call: Call, expected: int
) -> None:
    statements: list[str] = []

    def noted(real: Any) -> Any:
        async def run(self: Database, statement: Query, **values: object) -> Any:
            if "upload_sessions" in statement.text:
                statements.append(statement.text)
            return await real(self, statement, **values)

        return run

    monkeypatch.setattr(Database, "row", noted(Database.row))
    monkeypatch.setattr(Database, "rows", noted(Database.rows))
    refused = await failure(call(service, {"tenant_id": TENANT, "attachment_id": UNKNOWN}))
    assert refused.reason == "ATTACHMENT_NOT_FOUND"
    assert len(statements) == len(set(statements)) == expected
