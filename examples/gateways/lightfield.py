"""Lightfield's file API in front of Attachery.

    python examples/gateways/lightfield.py --listen HOST:PORT --target HOST:PORT

The tenant is the one of the key. Lightfield's scopes are scopes of the key: `files:create` is
`uploads.create`, `uploads.complete` and `uploads.read`; `files:read` is `uploads.read` and
`attachments.read`.
"""

from __future__ import annotations

import re
from functools import partial

from starlette.responses import JSONResponse, Response

from attachery.v1 import resources_pb2 as pb
from attachery_client.errors import AttacheryError
from shared import Call, Gateway, iso, refused, status_of, value_of

PURPOSES = ("meeting_transcript", "knowledge_user", "knowledge_workspace", "email_attachment")
ANY_PURPOSE = "lightfield"

PAGE = 25
# The total is counted to this number, so no page lies beyond it.
MAX_OFFSET = 10_000

# Lightfield has no FAILED: wrong bytes end an upload as a cancellation does.
STATUSES = {
    pb.UPLOAD_SESSION_STATE_PENDING: "PENDING",
    pb.UPLOAD_SESSION_STATE_READY: "COMPLETED",
    pb.UPLOAD_SESSION_STATE_DELETED: "COMPLETED",
    pb.UPLOAD_SESSION_STATE_FAILED: "CANCELLED",
    pb.UPLOAD_SESSION_STATE_CANCELLED: "CANCELLED",
    pb.UPLOAD_SESSION_STATE_EXPIRED: "EXPIRED",
}

TYPES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "payload_too_large",
    415: "unsupported_media_type",
    422: "unprocessable_content",
    429: "too_many_requests",
    500: "internal_server_error",
    503: "service_unavailable",
    504: "gateway_timeout",
}
# Lightfield has no 402 and no 410.
SIMILAR_STATUS = {402: 422, 410: 409}
STATUS_OF_REASON = {"OBJECT_PURGED": 404}

PARAMS = {"content_type": "mimeType", "size_bytes": "sizeBytes", "checksums.md5": "md5"}


async def create(call: Call) -> Response:
    body = await call.json()
    purpose = value_of(body, "purpose", str, "")
    if purpose and purpose not in PURPOSES:
        raise refused(400, "INVALID_PURPOSE", f"purpose must be one of {PURPOSES}.", "purpose")
    started = await call.client.start_upload_session(
        filename=value_of(body, "filename", str),
        content_type=value_of(body, "mimeType", str),
        size_bytes=value_of(body, "sizeBytes", int),
        purpose=purpose or ANY_PURPOSE,
    )
    target = {"uploadUrl": started.target.url, "uploadHeaders": dict(started.target.headers)}
    return JSONResponse(file_of(started.session) | target)


async def complete(call: Call) -> Response:
    md5 = value_of(await call.json(), "md5", str, "")
    if md5 and not re.fullmatch("[0-9a-f]{32}", md5):
        raise refused(400, "INVALID_CHECKSUM", "md5 must be 32 lower-case hex digits.", "md5")
    completed = await call.client.complete_upload_session(
        id_of(call), checksums={"md5": md5} if md5 else None
    )
    return JSONResponse(file_of(completed.session))


async def cancel(call: Call) -> Response:
    """Only a pending file can be cancelled; the service would accept a cancelled one too."""
    await call.json()
    found = await call.client.get_upload_session(id_of(call))
    if found.session.state == pb.UPLOAD_SESSION_STATE_CANCELLED:
        raise refused(409, "UPLOAD_CANCELLED", "The upload was cancelled.")
    cancelled = await call.client.cancel_upload_session(id_of(call))
    return JSONResponse(file_of(cancelled.session))


async def retrieve(call: Call) -> Response:
    found = await call.client.get_upload_session(id_of(call))
    return JSONResponse(file_of(found.session))


async def url(call: Call) -> Response:
    download = await call.client.create_download_url(id_of(call))
    return JSONResponse({"url": download.url, "expiresAt": iso(download.expire_time)})


async def list_files(call: Call) -> Response:
    """The service has cursors, so the files before the offset are read and left out."""
    limit = number_of(call, "limit", PAGE, least=1, most=PAGE)
    offset = number_of(call, "offset", 0, least=0, most=MAX_OFFSET)
    end = offset + limit
    read = partial(call.client.list_upload_sessions, page_size=end)
    page = await read(include_total=True)
    total, sessions = page.total_count, list(page.sessions)
    while page.next_page_token and len(sessions) < end:
        page = await read(page_token=page.next_page_token)
        sessions += page.sessions
    files = [file_of(session) for session in sessions[offset:end]]
    return JSONResponse({"data": files, "object": "list", "totalCount": total})


def file_of(session: pb.UploadSession) -> dict[str, object]:
    """The eight fields of a file."""
    return {
        "id": session.attachment_id,
        "completedAt": iso(session.complete_time) if session.HasField("complete_time") else None,
        "createdAt": iso(session.create_time),
        "expiresAt": iso(session.expire_time) if session.HasField("expire_time") else None,
        "filename": session.filename,
        "mimeType": session.content_type,
        "sizeBytes": session.declared_size_bytes or session.size_bytes,
        "status": STATUSES[session.state],
    }


def id_of(call: Call) -> str:
    return str(call.request.path_params["id"])


def number_of(call: Call, name: str, default: int, *, least: int, most: int) -> int:
    """A number of the query. Raises AttacheryError."""
    text = call.request.query_params.get(name, str(default))
    if not re.fullmatch("[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise refused(400, "INVALID_PARAMETER", f"{name} must be {least} to {most}.", name)
    return int(text)


def refusal(error: AttacheryError, _: str) -> Response:
    status = status_of(error)
    status = STATUS_OF_REASON.get(error.reason) or SIMILAR_STATUS.get(status, status)
    first = error.violations[0] if error.violations else None
    message = error.message if error.reason else error.summary  # gRPC's own has addresses
    body = {"type": TYPES.get(status, "error"), "message": message}
    if first is not None and first.description:
        body["message"] = first.description
    if status in (400, 422):
        body["code"] = (error.reason or error.code.name).lower()
    if first is not None and first.field:
        body["param"] = PARAMS.get(first.field, first.field)
    return JSONResponse({"error": body}, status)


GATEWAY = Gateway(
    routes=[
        ("POST", "/v1/files", create),
        ("GET", "/v1/files", list_files),
        ("GET", "/v1/files/{id}", retrieve),
        ("GET", "/v1/files/{id}/url", url),
        ("POST", "/v1/files/{id}/complete", complete),
        ("POST", "/v1/files/{id}/cancel", cancel),
    ],
    refusal=refusal,
)

if __name__ == "__main__":
    GATEWAY.run()
