"""Nylas' attachment uploads, attachments and drafts in front of Attachery.

    python examples/gateways/nylas.py --listen HOST:PORT --target HOST:PORT

A grant is a tenant. A draft's attachments are a hold; its text is in the memory of this process.
"""

from __future__ import annotations

import base64
import logging
import uuid
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeAlias

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import JSONResponse, RedirectResponse, Response

from attachery.v1 import resources_pb2 as pb
from attachery_client import from_status
from attachery_client.errors import AttacheryError, HoldNotFound
from shared import Call, Gateway, iso, object_of, refused, status_of, value_of

JSON_LIMIT, FORM_LIMIT = 3_000_000, 25_000_000  # of the whole body
HOLD_TTL = timedelta(days=7)  # the maximum; every access to a draft begins it anew

# By the number of the state. CANCELLED is failed; DELETED, of which the bytes are gone, is ready.
STATUSES = ("", "uploading", "ready", "failed", "failed", "expired", "ready")
TYPES = {401: "unauthorized", 403: "forbidden", 404: "not_found", 500: "internal_error"}
MESSAGES = {
    "UPLOAD_ALREADY_COMPLETED": "upload session is already complete",
    "UPLOAD_EXPIRED": "upload session has expired",
    "OBJECT_NOT_UPLOADED": "uploaded object not found in storage",
}
UNKNOWN = ("TENANT_DENIED", "INVALID_TENANT_ID", "INVALID_HOLD_OWNER")
Draft: TypeAlias = tuple[str, str, str]  # name of the principal, grant, id
File: TypeAlias = dict[str, Any]  # the arguments of its upload
TEXTS: dict[Draft, dict[str, Any]] = {}
logging.getLogger("python_multipart").setLevel(logging.ERROR)  # warns of each malformed form


async def create_session(call: Call) -> Response:
    body = await call.json()
    started = await call.client.start_upload_session(
        **call.request.path_params,
        filename=value_of(body, "filename", str),
        content_type=value_of(body, "content_type", str),
        size_bytes=None if body.get("size") is None else value_of(body, "size", int),
        purpose="nylas",
    )
    target = {name: getattr(started.target, name) for name in ("method", "url")}
    headers = {"headers": dict(started.target.headers)}
    return data_of(call, session_of(started.session) | target | headers)


async def get_session(call: Call) -> Response:
    found = await call.client.get_upload_session(**call.request.path_params)
    return data_of(call, session_of(found.session))


async def complete_session(call: Call) -> Response:
    """Completes with a new request id, so that a repeated completion is a conflict."""
    await call.json()
    completed = await call.client.complete_upload_session(**call.request.path_params)
    names, session = ("attachment_id", "grant_id", "status"), session_of(completed.session)
    return data_of(call, {name: session[name] for name in names})


async def find_attachment(call: Call) -> Response:
    found = await call.client.get_attachment(**call.request.path_params)
    return data_of(call, attachment_of(found.attachment))


async def download_attachment(call: Call) -> Response:
    download = await call.client.create_download_url(**call.request.path_params)
    return RedirectResponse(download.url, 302)


async def create_draft(call: Call) -> Response:
    draft = await draft_of(call)
    text, listed = await message_of(call, "")
    await replace(call, draft, listed or [])
    TEXTS[draft] = text
    return await shown(call, draft)


async def get_draft(call: Call) -> Response:
    return await shown(call, await existing_draft(call))


async def update_draft(call: Call) -> Response:
    draft = await existing_draft(call)
    text, listed = await message_of(call, TEXTS.get(draft, {}).get("body", ""))
    if listed is not None:
        await replace(call, draft, listed)
    TEXTS[draft] = TEXTS.get(draft, {}) | text
    return await shown(call, draft)


async def draft_of(call: Call) -> Draft:
    """The draft of the path, or a new one."""
    caller, path = await call.client.get_caller(), call.request.path_params
    return caller.name, path["tenant_id"], f"draft-{path.get('draft', uuid.uuid4())}"


async def existing_draft(call: Call) -> Draft:
    """Extends the hold of the draft, which is all that is left of it after a restart."""
    draft = _, grant, owner = await draft_of(call)
    try:
        await call.client.extend_hold(tenant_id=grant, hold_owner=owner, ttl=HOLD_TTL)
    except HoldNotFound:
        if draft not in TEXTS:
            raise refused(404, "DRAFT_NOT_FOUND", "There is no such draft.") from None
    return draft


async def replace(call: Call, draft: Draft, listed: list[str | File]) -> None:
    """Makes these the attachments of the draft, all or none."""
    _, grant, owner = draft
    ids = [one if isinstance(one, str) else await upload(call, grant, one) for one in listed]
    resolved = await call.client.resolve_attachments(
        ids, tenant_id=grant, hold_ttl=HOLD_TTL, hold_owner=owner, hold_mode="replace"
    )
    errors = [error for one in resolved.results if (error := from_status(one.status))]
    if errors:
        raise min(errors, key=lambda error: error.reason == "BATCH_ABORTED")


async def upload(call: Call, grant: str, file: File) -> str:
    return (await call.client.upload(**file, tenant_id=grant, purpose="nylas")).attachment_id


async def shown(call: Call, draft: Draft) -> Response:
    _, grant, owner = draft
    found: list[dict[str, Any]] = []
    with suppress(HoldNotFound):
        hold = await call.client.get_hold(tenant_id=grant, hold_owner=owner)
        resolved = await call.client.resolve_attachments(hold.attachment_ids, tenant_id=grant)
        found = [attachment_of(one.attachment) for one in resolved.results if not one.status.code]
    own = {"object": "draft", "id": owner, "grant_id": grant, "attachments": found}
    return data_of(call, TEXTS.get(draft, {}) | own)


async def message_of(call: Call, body: str) -> tuple[dict[str, Any], list[str | File] | None]:
    """The text, and the attachments if the request lists any; `body` is the text so far."""
    if call.request.headers.get("content-type", "").startswith("multipart/form-data"):
        message, files = await form_of(call, body)
    else:
        message, files = await call.json(JSON_LIMIT), []
    is_listed = bool(files) or message.get("attachments") is not None
    listed = value_of(message, "attachments", list, [])
    message.pop("attachments", None)
    return message, [*map(listed_of, listed), *files] if is_listed else None


async def form_of(call: Call, body: str) -> tuple[dict[str, Any], list[File]]:
    """The message, and the files. Each has its name as content id, which the body shows or not."""
    parser = MultiPartParser(call.request.headers, limited(call), max_part_size=FORM_LIMIT)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise refused(400, "INVALID_BODY", error.message) from None
    text, files = form.get("message", "{}"), list[File]()
    message = object_of(await text.read() if isinstance(text, UploadFile) else text)
    shown_by = str(message.get("body", body))
    for name, part in form.multi_items():
        if name != "message" and isinstance(part, UploadFile):
            disposition = "inline" if f"cid:{name}" in shown_by else "attachment"
            own = {"filename": part.filename, "content_type": part.content_type}
            own |= {"content_id": name, "disposition": disposition}
            files.append(own | {"source": await part.read()})
    return message, files


async def limited(call: Call) -> AsyncGenerator[bytes, None]:
    """Reads a body that is too large to its end, so that its sender reads the refusal."""
    size = 0
    async for chunk in call.request.stream():
        size += len(chunk)
        if size <= FORM_LIMIT:
            yield chunk
    if size > FORM_LIMIT:
        raise refused(413, "BODY_TOO_LARGE", f"The body is larger than {FORM_LIMIT} bytes.")


def listed_of(one: Any) -> str | File:
    """An item of a JSON list. With a content id it is inline, unless it says otherwise."""
    if not isinstance(one, dict):
        raise refused(400, "INVALID_TYPE", "An attachment must be an object.", "attachments")
    if "content" not in one:
        return value_of(one, "id", str)
    disposition = value_of(one, "content_disposition", str, "").partition(";")[0]
    return {
        "source": base64.b64decode(value_of(one, "content", str), validate=True),
        "filename": value_of(one, "filename", str),
        "content_type": value_of(one, "content_type", str),
        "content_id": value_of(one, "content_id", str, ""),
        "disposition": disposition.strip().lower() or None,
        "is_inline": None if one.get("is_inline") is None else value_of(one, "is_inline", bool),
    }


def session_of(session: pb.UploadSession) -> dict[str, Any]:
    end = session.expire_time if session.HasField("expire_time") else session.object_purge_time
    own = {name: getattr(session, name) for name in ("attachment_id", "filename", "content_type")}
    own |= {"size": session.declared_size_bytes, "max_size": session.max_size_bytes}
    status = STATUSES[session.state]
    return own | {"grant_id": session.tenant_id, "status": status, "expires_at": iso(end)}


def attachment_of(one: pb.Attachment) -> dict[str, Any]:
    names = ("filename", "content_type", "content_id", "content_disposition", "is_inline")
    own = {"id": one.attachment_id, "grant_id": one.tenant_id, "size": one.size_bytes}
    return own | {name: getattr(one, name) for name in names}


def data_of(call: Call, data: dict[str, Any]) -> Response:
    return JSONResponse({"request_id": call.request_id, "data": data})


def refusal(error: AttacheryError, request_id: str) -> Response:
    status = 404 if error.reason in UNKNOWN else min(status_of(error), 500)
    rule = error.violations[0].description if error.violations else ""
    message = MESSAGES.get(error.reason) or rule or error.message
    body: dict[str, Any] = {"type": TYPES.get(status, "invalid_request"), "message": message}
    if body["type"] == "unauthorized":
        body["provider_error"] = {"reason": error.reason, "metadata": error.facts}
    return JSONResponse({"request_id": request_id, "error": body}, status)


GRANT = "/v3/grants/{tenant_id}"
GATEWAY = Gateway(
    routes=[
        ("POST", f"{GRANT}/attachment-uploads", create_session),
        ("GET", f"{GRANT}/attachment-uploads/{{attachment_id}}", get_session),
        ("POST", f"{GRANT}/attachment-uploads/{{attachment_id}}/complete", complete_session),
        ("GET", f"{GRANT}/attachments/{{attachment_id}}", find_attachment),
        ("GET", f"{GRANT}/attachments/{{attachment_id}}/download", download_attachment),
        ("POST", f"{GRANT}/drafts", create_draft),
        ("GET", f"{GRANT}/drafts/draft-{{draft}}", get_draft),
        ("PUT", f"{GRANT}/drafts/draft-{{draft}}", update_draft),
    ],
    refusal=refusal,
)

if __name__ == "__main__":
    GATEWAY.run()
