"""The attachments of Amazon Connect's Participant Service in front of Attachery.

    python examples/gateways/connect.py --listen HOST:PORT --target HOST:PORT

The tenant is the contact. A ParticipantToken is an API key of this tenant with the scope
`connections.create`; its name is the participant. CreateParticipantConnection exchanges it for a
ConnectionToken, which every other operation needs. Both are sent as `X-Amz-Bearer`. The signature
that AWS's SDKs add is ignored: this API has none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from attachery_client.errors import AttacheryError
from attachery_client.status import from_status
from shared import Call, Gateway, iso, refused, status_of, value_of

PURPOSE = "connect"
CONNECTION_TTL = timedelta(hours=24)
CREDENTIALS = "CONNECTION_CREDENTIALS"
CONNECTION_TYPES = {CREDENTIALS, "WEBSOCKET", "WEBRTC_CONNECTION"}
URL_SECONDS = range(5, 301)

ACCESS_DENIED = ("AccessDeniedException", 403)
CONFLICT = ("ConflictException", 409)
FAULT = ("InternalServerException", 500)
INVALID = ("ValidationException", 400)

# By the HTTP status of the service's error. Connect has no exception for an unknown attachment.
EXCEPTIONS = {
    401: ACCESS_DENIED,
    402: ("ServiceQuotaExceededException", 402),
    403: ACCESS_DENIED,
    409: CONFLICT,
    429: ("ThrottlingException", 429),
    500: FAULT,
    503: FAULT,
    504: FAULT,
}
# Only CompleteAttachmentUpload declares a conflict, GetAttachment does not.
EXCEPTION_OF_REASON = {
    "UPLOAD_NOT_READY": INVALID,
    "NO_SUCH_ROUTE": ("UnknownOperationException", 404),
}


async def create_participant_connection(call: Call) -> Response:
    types = value_of(await call.json(), "Type", list, [])
    if not set(map(str, types)) <= CONNECTION_TYPES:
        raise refused(400, "INVALID_TYPE", "Type has an unknown value.", "Type")
    if CREDENTIALS not in types:
        raise refused(400, "INVALID_TYPE", f"Type must contain {CREDENTIALS}.", "Type")
    caller = await call.client.get_caller()
    connection = await call.client.create_connection_token(
        subject=subject_of(caller.name),
        ttl=CONNECTION_TTL,
        purposes=[PURPOSE],
        scopes=["attachments.read"],
    )
    expiry = iso(connection.expire_time)
    credentials = {"ConnectionToken": connection.token, "Expiry": expiry}
    return JSONResponse({"ConnectionCredentials": credentials})


async def start_attachment_upload(call: Call) -> Response:
    body = await call.json()
    started = await call.client.start_upload_session(
        filename=value_of(body, "AttachmentName", str),
        content_type=value_of(body, "ContentType", str),
        size_bytes=value_of(body, "AttachmentSizeInBytes", int),
        purpose=PURPOSE,
        request_id=client_token(body),
    )
    response: dict[str, object] = {"AttachmentId": started.session.attachment_id}
    if started.HasField("target"):  # a repeated call finds no target once the upload is complete
        response["UploadMetadata"] = {
            "Url": started.target.url,
            "UrlExpiry": iso(started.target.expire_time),
            "HeadersToInclude": dict(started.target.headers),
        }
    return JSONResponse(response)


async def complete_attachment_upload(call: Call) -> Response:
    """Completes all of the attachments or none; a repeated ClientToken changes nothing."""
    body = await call.json()
    ids = value_of(body, "AttachmentIds", list)
    if not ids or not all(isinstance(each, str) for each in ids):
        raise refused(400, "INVALID_TYPE", "AttachmentIds must be a list of ids.", "AttachmentIds")
    completed = await call.client.batch_complete_upload_sessions(
        ids, atomic=True, request_id=client_token(body)
    )
    errors = [from_status(result.status) for result in completed.results]
    for error in errors:
        if error is not None and error.reason != "BATCH_ABORTED":
            raise error
    return JSONResponse({})


async def get_attachment(call: Call) -> Response:
    body = await call.json()
    attachment_id = value_of(body, "AttachmentId", str)
    seconds = value_of(body, "UrlExpiryInSeconds", int, URL_SECONDS[-1])
    if seconds not in URL_SECONDS:
        rule = "UrlExpiryInSeconds must be 5 to 300."
        raise refused(400, "OUT_OF_RANGE", rule, "UrlExpiryInSeconds")
    found = await call.client.get_attachment(attachment_id)
    download = await call.client.create_download_url(
        attachment_id, ttl=timedelta(seconds=seconds), disposition=disposition_of(body)
    )
    return JSONResponse(
        {
            "Url": download.url,
            "UrlExpiry": iso(download.expire_time),
            "AttachmentSizeInBytes": found.attachment.size_bytes,
        }
    )


def client_token(body: Mapping[str, Any]) -> str:
    """The id of the request, case-sensitive. To the service, an empty one is none."""
    token = value_of(body, "ClientToken", str)
    if not token:
        raise refused(400, "INVALID_REQUEST_ID", "ClientToken must not be empty.", "ClientToken")
    return token


def disposition_of(body: Mapping[str, Any]) -> Any:
    wanted = value_of(body, "UrlContentDisposition", str, "ATTACHMENT")
    if wanted not in ("ATTACHMENT", "INLINE"):
        rule = "UrlContentDisposition must be INLINE or ATTACHMENT."
        raise refused(400, "INVALID_DISPOSITION", rule, "UrlContentDisposition")
    return wanted.lower()


def subject_of(name: str) -> str:
    """The name of the key, or its digest if a subject cannot have that name."""
    if re.fullmatch(r"[\x21-\x7e]{1,128}", name):
        return name
    return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def bearer_token(request: Request) -> str | None:
    """`X-Amz-Bearer`; "?" for a value that no credential has."""
    token = request.headers.get("x-amz-bearer")
    return token if token is None or re.fullmatch(r"[\x21-\x7e]+", token) else "?"


def refusal(error: AttacheryError, request_id: str) -> Response:
    default = EXCEPTIONS.get(status_of(error), INVALID)
    name, status = EXCEPTION_OF_REASON.get(error.reason, default)
    first = error.violations[0] if error.violations else None
    message = (first and first.description) or error.message
    headers = {"x-amzn-errortype": name, "x-amzn-requestid": request_id}
    return JSONResponse({"Message": message}, status, headers)


GATEWAY = Gateway(
    routes=[
        ("POST", "/participant/connection", create_participant_connection),
        ("POST", "/participant/start-attachment-upload", start_attachment_upload),
        ("POST", "/participant/complete-attachment-upload", complete_attachment_upload),
        ("POST", "/participant/attachment", get_attachment),
    ],
    refusal=refusal,
    credential=bearer_token,
)

if __name__ == "__main__":
    GATEWAY.run()
