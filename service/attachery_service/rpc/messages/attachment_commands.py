"""Commands of AttachmentService from their messages. All functions raise InvalidRequest."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from attachery.v1 import attachments_pb2
from attachery_service.domain import inputs
from attachery_service.domain.errors import AttacheryError, Violation
from attachery_service.domain.holds import HOLD_TTLS
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

MAX_IDS: Final = 1000
_DOWNLOAD_TTL: Final = timedelta(minutes=15)
_DOWNLOAD_TTLS: Final = (timedelta(seconds=1), timedelta(days=7))  # the limit of SigV4


def resolve_command(request: attachments_pb2.ResolveAttachmentsRequest) -> ResolveCommand:
    validator = Validator()
    tenant_id = inputs.tenant_id(validator, request.tenant_id)
    texts = list(request.attachment_ids)
    replaces = _replaces(validator, request.hold_mode)
    _check_count(validator, len(texts), min_count=0 if replaces else 1)
    ttl = given_timedelta(request, "download_ttl")
    inputs.duration(validator, "download_ttl", "INVALID_DOWNLOAD_TTL", ttl, _DOWNLOAD_TTLS)
    hold_ttl = given_timedelta(request, "hold_ttl")
    inputs.duration(validator, "hold_ttl", "INVALID_HOLD_TTL", hold_ttl, HOLD_TTLS)
    owner = inputs.hold_owner(validator, request.hold_owner)
    check = _check_replaced_hold if replaces else _check_added_hold
    check(validator, request)
    validator.raise_if_invalid()
    return ResolveCommand(
        tenant_id=tenant_id,
        ids={text: _id_or_error(text) for text in texts},
        order=texts,
        download_ttl=(ttl or _DOWNLOAD_TTL) if request.include_download_urls else None,
        all_or_nothing=request.all_or_nothing or replaces,
        hold_ttl=hold_ttl,
        hold_owner=owner,
        replaces=replaces,
    )


def _replaces(validator: Validator, mode: int) -> bool:
    if mode not in attachments_pb2.HoldMode.values():
        validator.reject("hold_mode", "INVALID_HOLD_MODE", "must be a mode this version knows")
    return mode == attachments_pb2.HOLD_MODE_REPLACE


def _check_added_hold(
    validator: Validator, request: attachments_pb2.ResolveAttachmentsRequest
) -> None:
    if request.hold_owner and not request.HasField("hold_ttl"):
        rule = "must not stand without hold_ttl"
        validator.reject("hold_owner", "INVALID_HOLD_OWNER", rule)


def _check_replaced_hold(
    validator: Validator, request: attachments_pb2.ResolveAttachmentsRequest
) -> None:
    if not request.hold_owner:
        rule = "must be given with HOLD_MODE_REPLACE"
        validator.reject("hold_owner", "INVALID_HOLD_OWNER", rule)
    if request.attachment_ids and not request.HasField("hold_ttl"):
        rule = "must be given with HOLD_MODE_REPLACE and ids"
        validator.reject("hold_ttl", "INVALID_HOLD_TTL", rule)


def _check_count(validator: Validator, count: int, *, min_count: int) -> None:
    field = "attachment_ids"
    if count < min_count:
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


def _id_or_error(text: str) -> UUID | AttacheryError:
    try:
        return parse_uuid(text)
    except RuleViolation as error:
        return invalid([Violation("attachment_ids", "INVALID_ATTACHMENT_ID", str(error))])
