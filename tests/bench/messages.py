"""Requests as bytes, made before the clock starts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from attachery.v1 import attachments_pb2, upload_sessions_pb2
from bench import http1, http2, stand_in
from bench.servers import TENANT, start_message

UPLOADS: Final = "/attachery.v1.UploadSessionService/"
ATTACHMENTS: Final = "/attachery.v1.AttachmentService/"


def uploads(method: str, message: Message, key: str) -> http2.Request:
    return http2.request(UPLOADS + method, message.SerializeToString(), key)


def attachments(method: str, message: Message, key: str) -> http2.Request:
    return http2.request(ATTACHMENTS + method, message.SerializeToString(), key)


def start(key: str, tenant_id: str = TENANT, *, sized: bool = True) -> http2.Request:
    return uploads("StartUploadSession", start_message(tenant_id, sized=sized), key)


def gets(key: str, ids: Iterable[str]) -> list[http2.Request]:
    return [
        uploads(
            "GetUploadSession",
            upload_sessions_pb2.GetUploadSessionRequest(tenant_id=TENANT, attachment_id=each),
            key,
        )
        for each in ids
    ]


def completes(key: str, ids: Iterable[str], *, idempotent: bool = False) -> list[http2.Request]:
    """`idempotent`: with a request id, whose outcome the service stores."""
    return [
        uploads(
            "CompleteUploadSession",
            upload_sessions_pb2.CompleteUploadSessionRequest(
                tenant_id=TENANT, attachment_id=each, request_id=each if idempotent else ""
            ),
            key,
        )
        for each in ids
    ]


def batch_complete(key: str, ids: Sequence[str]) -> http2.Request:
    items = [
        upload_sessions_pb2.BatchCompleteUploadSessionsRequest.Item(attachment_id=each)
        for each in ids
    ]
    message = upload_sessions_pb2.BatchCompleteUploadSessionsRequest(tenant_id=TENANT, items=items)
    return uploads("BatchCompleteUploadSessions", message, key)


def resolve(
    key: str, ids: Sequence[str], *, hold_ttl: str = "", hold_owner: str = ""
) -> http2.Request:
    """`hold_ttl`, such as 600s: with a hold; only where `offers_holds`."""
    message = attachments_pb2.ResolveAttachmentsRequest(tenant_id=TENANT, attachment_ids=ids)
    if hold_ttl:
        ParseDict({"hold_ttl": hold_ttl, "hold_owner": hold_owner}, message)
    return attachments("ResolveAttachments", message, key)


def offers_holds() -> bool:
    """Whether the contract has holds."""
    return "hold_ttl" in attachments_pb2.ResolveAttachmentsRequest.DESCRIPTOR.fields_by_name


def list_sessions(key: str, size: int) -> http2.Request:
    message = upload_sessions_pb2.ListUploadSessionsRequest(tenant_id=TENANT, page_size=size)
    return uploads("ListUploadSessions", message, key)


def downloads(key: str, ids: Iterable[str]) -> list[http2.Request]:
    return [
        attachments(
            "CreateDownloadUrl",
            attachments_pb2.CreateDownloadUrlRequest(tenant_id=TENANT, attachment_id=each),
            key,
        )
        for each in ids
    ]


def peer_start(key: str) -> bytes:
    told = {
        "filename": "quarterly-report.pdf",
        "content_type": stand_in.CONTENT_TYPE,
        "size_bytes": stand_in.SIZE,
    }
    return http1.request("POST", f"/v1/{TENANT}/uploads", json.dumps(told).encode(), key)


def peer_gets(key: str, ids: Iterable[str]) -> list[bytes]:
    return [http1.request("GET", f"/v1/{TENANT}/uploads/{each}", b"", key) for each in ids]


def peer_completes(key: str, ids: Iterable[str]) -> list[bytes]:
    return [
        http1.request("POST", f"/v1/{TENANT}/uploads/{each}/complete", b"", key) for each in ids
    ]
