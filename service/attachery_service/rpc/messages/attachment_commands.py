"""Commands of AttachmentService from their messages. All functions raise InvalidRequest."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from attachery.v1 import attachments_pb2
from attachery_service.domain import inputs
from attachery_service.domain.errors import AttacheryError, Violation
from attachery_service.domain.holds import MAX_TTL, MIN_TTL
from attachery_service.domain.idempotency import request_key
from attachery_service.domain.identifiers import parse_uuid
from attachery_service.domain.validation import RuleViolation, Validator, invalid
from attachery_service.rpc.messages.convert import read_disposition
from attachery_service.rpc.messages.request_fields import (
    read_attachment_ref,
)
from attachery_service.rpc.messages.times import given_timedelta
from attachery_service.usecases.attachments import delete_attachment
from attachery_service.usecases.attachments.create_download_url import DownloadCommand
from attachery_service.usecases.attachments.delete_attachment import DeleteCommand
from attachery_service.usecases.attachments.resolve_attachments import ResolveCommand
from attachery_service.usecases.holds.lookup import HoldRef

MAX_IDS: Final = 1000
_HoldRequest = attachments_pb2.ExtendHoldRequest | attachments_pb2.ReleaseHoldRequest
_DOWNLOAD_TTL: Final = timedelta(minutes=15)
_DOWNLOAD_TTLS: Final = (timedelta(seconds=1), timedelta(days=7))  # the limit of SigV4


def resolve_command(request: attachments_pb2.ResolveAttachmentsRequest) -> ResolveCommand:
    validator = Validator()
    tenant_id = inputs.tenant_id(validator, request.tenant_id)
    texts = list(request.attachment_ids)
    _check_count(validator, len(texts))
    ttl = given_timedelta(request, "download_ttl")
    inputs.duration(validator, "download_ttl", "INVALID_DOWNLOAD_TTL", ttl, _DOWNLOAD_TTLS)
    hold_ttl = given_timedelta(request, "hold_ttl")
    inputs.duration(validator, "hold_ttl", "INVALID_HOLD_TTL", hold_ttl, (MIN_TTL, MAX_TTL))
    owner = inputs.hold_owner(validator, request.hold_owner)
    if owner and hold_ttl is None:
        rule = "must not stand without hold_ttl"
        validator.reject("hold_owner", "INVALID_HOLD_OWNER", rule)
    validator.raise_if_invalid()
    return ResolveCommand(
        tenant_id=tenant_id,
        ids={text: _id_or_error(text) for text in texts},
        order=texts,
        download_ttl=(ttl or _DOWNLOAD_TTL) if request.include_download_urls else None,
        all_or_nothing=request.all_or_nothing,
        hold_ttl=hold_ttl,
        hold_owner=owner,
    )


def _check_count(validator: Validator, count: int) -> None:
    field = "attachment_ids"
    if not count:
        validator.reject(field, "INVALID_ATTACHMENT_IDS", "must hold at least one id")
    if count > MAX_IDS:
        rule = f"must hold at most {MAX_IDS} ids"
        validator.reject(field, "BATCH_TOO_LARGE", rule, maxCount=MAX_IDS, actualCount=count)


def download_command(request: attachments_pb2.CreateDownloadUrlRequest) -> DownloadCommand:
    validator = Validator()
    ref = read_attachment_ref(validator, request)
    ttl = given_timedelta(request, "ttl")
    inputs.duration(validator, "ttl", "INVALID_TTL", ttl, _DOWNLOAD_TTLS)
    disposition = read_disposition(validator, request.disposition)
    validator.raise_if_invalid()
    return DownloadCommand(ref, ttl or _DOWNLOAD_TTL, disposition)


def delete_command(request: attachments_pb2.DeleteAttachmentRequest) -> DeleteCommand:
    validator = Validator()
    ref = read_attachment_ref(validator, request)
    request_id = inputs.request_id(validator, request.request_id)
    validator.raise_if_invalid()
    payload = {"attachment_id": ref.attachment_id, "force": request.force}
    key = request_key(delete_attachment.METHOD, request_id, payload)
    return DeleteCommand(ref, request.force, key)


def hold_ref(request: attachments_pb2.ReleaseHoldRequest) -> HoldRef:
    validator = Validator()
    ref = _hold_ref(validator, request)
    validator.raise_if_invalid()
    return ref


def extension(request: attachments_pb2.ExtendHoldRequest) -> tuple[HoldRef, timedelta]:
    """Returns the hold, and its time from now."""
    validator = Validator()
    ref = _hold_ref(validator, request)
    # Without a default: a missing time is as invalid as a time of zero.
    ttl = given_timedelta(request, "ttl") or timedelta()
    inputs.duration(validator, "ttl", "INVALID_HOLD_TTL", ttl, (MIN_TTL, MAX_TTL))
    validator.raise_if_invalid()
    return ref, ttl


def _hold_ref(validator: Validator, request: _HoldRequest) -> HoldRef:
    tenant_id = inputs.tenant_id(validator, request.tenant_id)
    return HoldRef(tenant_id, inputs.hold_id(validator, request.hold_id))


def _id_or_error(text: str) -> UUID | AttacheryError:
    try:
        return parse_uuid(text)
    except RuleViolation as error:
        return invalid([Violation("attachment_ids", "INVALID_ATTACHMENT_ID", str(error))])
