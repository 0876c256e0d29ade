"""PostEverywhere's media API in front of Attachery: upload, complete, get.

    python examples/gateways/posteverywhere.py --listen HOST:PORT --target HOST:PORT

The tenant is the one of the key. Images, videos and documents have a purpose each.
"""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from starlette.responses import JSONResponse, Response

from attachery.v1 import resources_pb2 as pb
from attachery_client.errors import AttacheryError
from shared import Call, Gateway, iso, status_of, value_of

# A session without its bytes is neither ready nor failed; GET shows it as in PostEverywhere's SDK.
STATUSES = {
    pb.UPLOAD_SESSION_STATE_PENDING: "uploading",
    pb.UPLOAD_SESSION_STATE_READY: "ready",
}

NEXT_STEPS = {
    "uploading": "Upload the file, then call POST /v1/media/{id}/complete.",
    "ready": 'Media is ready. Attach it to a post by passing "media_ids": ["{id}"] '
    "to POST /v1/posts.",
    "failed": "The upload has failed. Start again with POST /v1/media/upload.",
}

# PostEverywhere documents 400, 401, 404, 429 and 500. 403 remains, for a key without the scope.
SIMILAR_STATUS = {402: 400, 409: 400, 410: 400, 413: 400, 415: 400, 422: 400, 503: 500, 504: 500}

FIELDS = {"size_bytes": "size"}


async def upload(call: Call) -> Response:
    """Without a size, the target is the form or PUT that the purpose sets for that case."""
    body = await call.json()
    content_type = value_of(body, "content_type", str)
    started = await call.client.start_upload_session(
        filename=value_of(body, "filename", str),
        content_type=content_type,
        size_bytes=None if body.get("size") is None else value_of(body, "size", int),
        purpose=type_of(content_type),
    )
    media, target = media_of(started.session), started.target
    return succeeded(
        call,
        {
            "media_id": media["media_id"],
            "media_ids": media["media_ids"],
            "upload_url": target.url,
            "upload_method": method_of(target),
            "expires_in": target.ttl.seconds,
            "max_size": started.session.max_size_bytes,
            "next_step": media["next_step"],
        },
    )


async def complete(call: Call) -> Response:
    completed = await call.client.complete_upload_session(id_of(call))
    return succeeded(call, media_of(completed.session))


async def get(call: Call) -> Response:
    found = await call.client.get_upload_session(id_of(call))
    return succeeded(call, media_of(found.session))


def media_of(session: pb.UploadSession) -> dict[str, object]:
    """Attachery does not measure images and videos, so their dimensions are unknown."""
    status = STATUSES.get(session.state, "failed")
    media_id = session.attachment_id
    return {
        "media_id": media_id,
        "media_ids": [media_id],
        "status": status,
        "type": type_of(session.content_type),
        "width": None,
        "height": None,
        "duration": None,
        "size": session.size_bytes or session.declared_size_bytes,
        "content_type": session.content_type,
        "created_at": iso(session.create_time),
        "next_step": NEXT_STEPS[status].replace("{id}", media_id),
    }


def type_of(content_type: str) -> str:
    """The type of media, which is also its purpose."""
    kind = content_type.partition("/")[0].lower()
    return kind if kind in ("image", "video") else "document"


def method_of(target: pb.UploadTarget) -> dict[str, object]:
    """`headers` and `fields` are what the signature needs beyond PostEverywhere's own members."""
    is_form = bool(target.form_fields)
    own_type = next((v for k, v in target.headers.items() if k.lower() == "content-type"), None)
    return {
        "method": target.method,
        "content_type": "multipart/form-data" if is_form else own_type,
        "field_name": "file" if is_form else None,
        "headers": dict(target.headers),
        "fields": dict(target.form_fields),
    }


def id_of(call: Call) -> str:
    return str(call.request.path_params["media_id"])


def succeeded(call: Call, data: dict[str, object]) -> Response:
    return JSONResponse({"data": data, "error": None, "meta": meta_of(call.request_id)})


def refusal(error: AttacheryError, request_id: str) -> Response:
    status = status_of(error)
    violations = {FIELDS.get(v.field, v.field): v.description for v in error.violations}
    message = error.message if error.reason else error.summary  # gRPC's own has addresses
    failure = {
        "message": next(iter(violations.values()), "") or message,
        "code": (error.reason or error.code.name).lower(),
        "retryable": error.retryable,
        "details": {**error.facts, "next_action": error.next_action, "fields": violations},
    }
    body = {"data": None, "error": failure, "meta": meta_of(request_id)}
    return JSONResponse(body, SIMILAR_STATUS.get(status, status))


def meta_of(request_id: str) -> dict[str, str]:
    now = Timestamp()
    now.GetCurrentTime()
    return {"request_id": request_id, "timestamp": iso(now)}


GATEWAY = Gateway(
    routes=[
        ("POST", "/v1/media/upload", upload),
        ("POST", "/v1/media/{media_id}/complete", complete),
        ("GET", "/v1/media/{media_id}", get),
    ],
    refusal=refusal,
)

if __name__ == "__main__":
    GATEWAY.run()
