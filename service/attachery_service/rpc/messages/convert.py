"""Conversion of values that several messages share."""

from __future__ import annotations

from collections.abc import Iterable

from attachery.v1 import resources_pb2 as pb
from attachery.v1 import upload_sessions_pb2
from attachery_service.domain.checks import Check, CheckKind, CheckMethod, CheckOutcome
from attachery_service.domain.checksums import Algorithm
from attachery_service.domain.declarations import Disposition
from attachery_service.domain.holds import Hold
from attachery_service.domain.policy import Policy, Route, Sniffing, UndeclaredSize
from attachery_service.domain.quota import Limits, Usage
from attachery_service.domain.sessions import SessionState, UploadSession
from attachery_service.domain.transfers import UploadTarget
from attachery_service.domain.validation import Validator
from attachery_service.rpc.messages.times import from_datetime, from_timedelta

_Check = upload_sessions_pb2.VerificationCheck
_Policy = upload_sessions_pb2.UploadPolicy

# Total maps (tested): every value of the domain has one in the contract.
STATES = {
    SessionState.PENDING: pb.UPLOAD_SESSION_STATE_PENDING,
    SessionState.READY: pb.UPLOAD_SESSION_STATE_READY,
    SessionState.FAILED: pb.UPLOAD_SESSION_STATE_FAILED,
    SessionState.CANCELLED: pb.UPLOAD_SESSION_STATE_CANCELLED,
    SessionState.EXPIRED: pb.UPLOAD_SESSION_STATE_EXPIRED,
    SessionState.DELETED: pb.UPLOAD_SESSION_STATE_DELETED,
}
DISPOSITIONS = {
    Disposition.ATTACHMENT: pb.DISPOSITION_ATTACHMENT,
    Disposition.INLINE: pb.DISPOSITION_INLINE,
}
KINDS = {kind: _Check.Kind.Value(f"KIND_{kind.name}") for kind in CheckKind}
METHODS = {method: _Check.Method.Value(f"METHOD_{method.name}") for method in CheckMethod}
SNIFFINGS = {sniffing: _Policy.Sniffing.Value(f"SNIFFING_{sniffing.name}") for sniffing in Sniffing}
UNDECLARED_SIZES = {
    each: _Policy.UndeclaredSize.Value(f"UNDECLARED_SIZE_{each.name}") for each in UndeclaredSize
}
OUTCOMES = {outcome: _Check.Outcome.Value(f"OUTCOME_{outcome.name}") for outcome in CheckOutcome}

_BY_NUMBER: dict[int, Disposition] = {number: each for each, number in DISPOSITIONS.items()}


def read_disposition(validator: Validator, number: int) -> Disposition | None:
    """Returns None for UNSPECIFIED."""
    disposition = _BY_NUMBER.get(number)
    if number and disposition is None:
        rule = "must be a disposition this version knows"
        validator.reject("disposition", "INVALID_DISPOSITION", rule)
    return disposition


def sent_checksums(message: pb.Checksums) -> dict[Algorithm, str]:
    return {
        Algorithm.MD5: message.md5,
        Algorithm.SHA256: message.sha256,
        Algorithm.CRC32C: message.crc32c,
        Algorithm.CRC64NVME: message.crc64nvme,
    }


def hold_message(hold: Hold) -> pb.Hold:
    return pb.Hold(
        hold_id=str(hold.hold_id),
        tenant_id=hold.tenant_id,
        owner=hold.owner,
        create_time=from_datetime(hold.create_time),
        expire_time=from_datetime(hold.expire_time),
        ttl=from_timedelta(hold.time_left),
        attachment_count=hold.attachment_count,
        release_time=from_datetime(hold.release_time),
        consumed=hold.consumed,
        created_by=hold.created_by,
    )


def target_message(session: UploadSession, target: UploadTarget) -> pb.UploadTarget:
    return pb.UploadTarget(
        method=target.method,
        url=target.url,
        headers=target.headers,
        form_fields=target.form_fields,
        expire_time=from_datetime(session.read_time + target.lifetime),
        ttl=from_timedelta(target.lifetime),
    )


def policy_message(purpose: str, policy: Policy) -> upload_sessions_pb2.UploadPolicy:
    return _Policy(
        purpose=purpose,
        max_size_bytes=policy.max_size,
        max_attachments=policy.max_attachments,
        allow_empty=policy.allow_empty,
        size_required=policy.size_required,
        undeclared_size=UNDECLARED_SIZES[policy.undeclared_size],
        checksum_required=policy.checksum_required,
        allowed_content_types=policy.allowed_content_types,
        sniffing=SNIFFINGS[policy.sniffing],
        default_ttl=from_timedelta(policy.default_ttl),
        min_ttl=from_timedelta(policy.min_ttl),
        max_ttl=from_timedelta(policy.max_ttl),
        object_retention=from_timedelta(policy.object_retention),
        metadata_retention=from_timedelta(policy.metadata_retention),
        max_object_retention=from_timedelta(policy.max_object_retention),
        max_metadata_retention=from_timedelta(policy.max_metadata_retention),
        terminal_on_mismatch=policy.terminal_on_mismatch,
        delete_when_consumed=policy.delete_when_consumed,
        routes=[route_message(policy, route) for route in policy.routes],
    )


def route_message(policy: Policy, route: Route) -> upload_sessions_pb2.UploadRoute:
    limit = policy.route_limit(route)
    return upload_sessions_pb2.UploadRoute(name=route.name, max_size_bytes=limit)


def usage_message(usage: Usage, limits: Limits, purpose: str) -> upload_sessions_pb2.UploadUsage:
    return upload_sessions_pb2.UploadUsage(
        pending_sessions=usage.pending_sessions,
        pending_bytes=usage.pending_bytes,
        stored_bytes=usage.stored_bytes,
        max_pending_sessions=limits.max_pending_sessions,
        max_pending_bytes=limits.max_pending_bytes,
        max_stored_bytes=limits.max_stored_bytes,
        attachments=usage.attachments,
        max_attachments=limits.max_attachments,
        purpose_attachments=usage.by_purpose.get(purpose, 0),
    )


def check_messages(checks: Iterable[Check]) -> list[upload_sessions_pb2.VerificationCheck]:
    return [
        _Check(
            kind=KINDS[check.kind],
            method=METHODS[check.method],
            outcome=OUTCOMES[check.outcome],
            expected=check.expected,
            actual=check.actual,
        )
        for check in checks
    ]
