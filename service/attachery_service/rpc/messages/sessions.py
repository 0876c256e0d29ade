"""Sessions and attachments as messages, and the message that starts a session.

Messages are written field by field. Gain: an attachment takes 7 µs and a session 5, from keywords
14 and 12, because each nested message is created separately and copied (protobuf 7.36). There is no
switch; tests compare the messages with those from keywords.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from attachery.v1 import resources_pb2 as pb
from attachery.v1 import upload_sessions_pb2
from attachery_service.domain import declarations, inputs
from attachery_service.domain.checksums import NO_CHECKSUMS, Checksums
from attachery_service.domain.content_disposition import content_disposition
from attachery_service.domain.declarations import Declaration, Disposition
from attachery_service.domain.idempotency import request_key
from attachery_service.domain.new_session import StartCommand
from attachery_service.domain.policy import DEFAULT_PURPOSE, Policy
from attachery_service.domain.retention import check_retentions
from attachery_service.domain.sessions import (
    DeletedSession,
    FailedSession,
    PendingSession,
    ReadySession,
    UploadSession,
)
from attachery_service.domain.validation import Validator
from attachery_service.rpc.messages.convert import (
    DISPOSITIONS,
    STATES,
    read_disposition,
    sent_checksums,
)
from attachery_service.rpc.messages.times import given_timedelta, to_datetime, write_datetime
from attachery_service.usecases.uploads.start_upload_session import METHOD

_StartRequest = upload_sessions_pb2.StartUploadSessionRequest


def start_command(
    request: _StartRequest, policies: Mapping[str, Policy], subject: str | None
) -> StartCommand:
    """Validates a request in one pass. Raises InvalidRequest."""
    validator = Validator()
    tenant_id = inputs.tenant_id(validator, request.tenant_id)
    request_id = inputs.request_id(validator, request.request_id)
    # An unknown purpose is rejected below; until then the default policy applies.
    policy = policies.get(request.purpose) or policies[DEFAULT_PURPOSE]
    declaration = _declaration(validator, request, policy)
    purpose = inputs.purpose(validator, request.purpose, policies)
    declarations.check_metadata(validator, declaration.metadata)
    ttl = _ttl(validator, request, policy)
    object_retention = given_timedelta(request, "object_retention")
    metadata_retention = given_timedelta(request, "metadata_retention")
    check_retentions(validator, object_retention, metadata_retention, policy)
    validator.raise_if_invalid()
    expire_time = to_datetime(request.expire_time) if request.HasField("expire_time") else None
    payload = declaration.payload() | {
        # As sent, which may be False: the derived value is no part of the payload.
        "is_inline": str(request.is_inline) if request.HasField("is_inline") else None,
        "purpose": purpose,
        "ttl": ttl,
        "expire_time": expire_time,
        "object_retention": object_retention,
        "metadata_retention": metadata_retention,
        "auto_complete": request.auto_complete,
    }
    key = request_key(METHOD, request_id, payload, subject)
    return StartCommand(
        tenant_id=tenant_id,
        request=None if request.validate_only else key,
        declaration=declaration,
        purpose=purpose,
        policy=policy,
        ttl=ttl or policy.default_ttl,
        expire_time=expire_time,
        object_retention=object_retention or policy.object_retention,
        metadata_retention=metadata_retention or policy.metadata_retention,
        auto_complete=request.auto_complete,
        validate_only=request.validate_only,
    )


def _declaration(validator: Validator, request: _StartRequest, policy: Policy) -> Declaration:
    filename = declarations.filename(validator, request.filename)
    content_type = declarations.content_type(validator, request.content_type, policy)
    size, checksums = declarations.size_and_checksums(
        validator,
        request.size_bytes if request.HasField("size_bytes") else None,
        sent_checksums(request.checksums),
        policy,
    )
    content_id = declarations.content_id(validator, request.content_id)
    disposition = read_disposition(validator, request.disposition) or (
        Disposition.INLINE if content_id else Disposition.ATTACHMENT
    )
    is_inline = disposition is Disposition.INLINE
    return Declaration(
        filename=filename,
        content_type=content_type,
        size=size,
        checksums=checksums,
        content_id=content_id,
        disposition=disposition,
        is_inline=request.is_inline if request.HasField("is_inline") else is_inline,
        metadata=dict(request.metadata),
    )


def _ttl(validator: Validator, request: _StartRequest, policy: Policy) -> timedelta | None:
    ttl = given_timedelta(request, "ttl")
    if ttl is not None and request.HasField("expire_time"):
        rule = "must not be given together with expire_time"
        validator.reject("ttl", "INVALID_TTL", rule)
    limits = (policy.min_ttl, policy.max_ttl)
    return inputs.duration(validator, "ttl", "INVALID_TTL", ttl, limits)


def session_message(session: UploadSession) -> pb.UploadSession:
    message, declared = pb.UploadSession(), session.declaration
    message.attachment_id = str(session.attachment_id)
    message.tenant_id = session.tenant_id
    message.state = STATES[session.state]
    message.filename = declared.filename
    message.content_type = declared.content_type
    if declared.size is not None:
        message.declared_size_bytes = declared.size
    message.max_size_bytes = session.max_size
    if declared.checksums != NO_CHECKSUMS:
        _write_checksums(message.declared_checksums, declared.checksums)
    message.content_id = declared.content_id or ""
    message.disposition = DISPOSITIONS[declared.disposition]
    message.purpose = session.purpose
    if declared.metadata:
        message.metadata.update(declared.metadata)
    write_datetime(message.create_time, session.create_time)
    write_datetime(message.update_time, session.update_time)
    write_datetime(message.object_purge_time, session.object_purge_time)
    write_datetime(message.metadata_purge_time, session.metadata_purge_time)
    write_datetime(message.upload_url_expire_time, session.upload_url_expire_time)
    message.created_by = session.created_by
    message.revision = session.revision
    message.auto_complete = session.auto_complete
    message.is_inline = declared.is_inline
    message.subject = session.subject or ""
    _write_state(message, session)
    return message


def _write_state(message: pb.UploadSession, session: UploadSession) -> None:
    """Writes the fields that only sessions of one state have."""
    match session:
        case PendingSession():
            write_datetime(message.expire_time, session.expire_time)
        case FailedSession():
            message.failure.reason = session.failure.reason
            message.failure.metadata.update(session.failure.facts)
        case ReadySession() | DeletedSession():
            message.size_bytes = session.size
            write_datetime(message.complete_time, session.complete_time)
            if session.verified_checksums != NO_CHECKSUMS:
                _write_checksums(message.verified_checksums, session.verified_checksums)


def write_attachment(message: pb.Attachment, session: ReadySession | DeletedSession) -> None:
    """Writes an attachment, without its place in object storage."""
    declared = session.declaration
    message.attachment_id = str(session.attachment_id)
    message.tenant_id = session.tenant_id
    message.state = STATES[session.state]
    message.filename = declared.filename
    message.content_type = declared.content_type
    message.detected_content_type = session.detected_content_type or ""
    message.size_bytes = session.size
    if session.verified_checksums != NO_CHECKSUMS:
        _write_checksums(message.checksums, session.verified_checksums)
    message.content_id = declared.content_id or ""
    message.disposition = DISPOSITIONS[declared.disposition]
    message.is_inline = declared.is_inline
    message.content_disposition = content_disposition(declared.disposition, declared.filename)
    message.purpose = session.purpose
    if declared.metadata:
        message.metadata.update(declared.metadata)
    write_datetime(message.create_time, session.create_time)
    write_datetime(message.update_time, session.update_time)
    write_datetime(message.complete_time, session.complete_time)
    write_datetime(message.object_purge_time, session.object_purge_time)
    write_datetime(message.metadata_purge_time, session.metadata_purge_time)
    message.created_by = session.created_by
    message.revision = session.revision


def _write_checksums(message: pb.Checksums, checksums: Checksums) -> None:
    message.md5 = checksums.md5 or ""
    message.sha256 = checksums.sha256 or ""
    message.crc32c = checksums.crc32c or ""
    message.crc64nvme = checksums.crc64nvme or ""
