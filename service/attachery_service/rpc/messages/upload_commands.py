"""Commands of UploadSessionService from their messages; `sessions` has that of Start.

All functions raise InvalidRequest. `subject`: of the connection token that the caller has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from attachery.v1 import upload_sessions_pb2
from attachery_service.domain import inputs
from attachery_service.domain.idempotency import request_key
from attachery_service.domain.pages import PageCursor
from attachery_service.domain.policy import DEFAULT_PURPOSE, Policy
from attachery_service.domain.sessions import SessionFilter, SessionState
from attachery_service.domain.validation import Validator
from attachery_service.rpc.messages.convert import STATES, sent_checksums
from attachery_service.rpc.messages.request_fields import (
    invalid_page_token,
    read_attachment_ref,
)
from attachery_service.rpc.messages.times import to_datetime
from attachery_service.usecases.uploads import cancel_upload_session, complete_upload_session
from attachery_service.usecases.uploads.batch_command import MAX_ITEMS, BatchCommand, batch_key
from attachery_service.usecases.uploads.cancel_upload_session import CancelCommand
from attachery_service.usecases.uploads.complete_upload_session import CompleteCommand
from attachery_service.usecases.uploads.get_upload_policy import MAX_SIZES, PolicyCommand
from attachery_service.usecases.uploads.list_upload_sessions import ListCommand
from attachery_service.usecases.uploads.upload_verifier import ExtraConstraints

_SESSION_PAGE: Final = (50, 1000)
_STATES: Final = {number: state for state, number in STATES.items()}


def complete_command(
    request: upload_sessions_pb2.CompleteUploadSessionRequest, subject: str | None
) -> CompleteCommand:
    validator = Validator()
    ref = read_attachment_ref(validator, request)
    request_id = inputs.request_id(validator, request.request_id)
    extras = _extras(validator, request)
    validator.raise_if_invalid()
    payload = {
        "attachment_id": ref.attachment_id,
        "checksums": extras.checksums.known(),
        "size": extras.size,
    }
    key = request_key(complete_upload_session.METHOD, request_id, payload, subject)
    is_dry_run = request.validate_only
    return CompleteCommand(ref, extras, None if is_dry_run else key, is_dry_run)


def batch_command(
    request: upload_sessions_pb2.BatchCompleteUploadSessionsRequest, subject: str | None
) -> BatchCommand:
    validator = Validator()
    tenant_id = inputs.tenant_id(validator, request.tenant_id)
    request_id = inputs.request_id(validator, request.request_id)
    items = _batch_items(validator, request.items)
    validator.raise_if_invalid()
    key = batch_key(request_id, items, subject, atomic=request.atomic)
    return BatchCommand(tenant_id, items, request.atomic, key)


def cancel_command(
    request: upload_sessions_pb2.CancelUploadSessionRequest, subject: str | None
) -> CancelCommand:
    validator = Validator()
    ref = read_attachment_ref(validator, request)
    request_id = inputs.request_id(validator, request.request_id)
    validator.raise_if_invalid()
    payload = {"attachment_id": ref.attachment_id}
    key = request_key(cancel_upload_session.METHOD, request_id, payload, subject)
    return CancelCommand(ref, key)


def list_command(request: upload_sessions_pb2.ListUploadSessionsRequest) -> ListCommand:
    validator = Validator()
    tenant_id = inputs.tenant_id(validator, request.tenant_id)
    size = inputs.page_size(validator, request.page_size, *_SESSION_PAGE)
    wanted = _session_filter(validator, request.filter)
    validator.raise_if_invalid()
    listing: dict[str, object] = {"tenant_id": tenant_id, "filter": repr(wanted)}
    after = PageCursor.of(request.page_token, listing) if request.page_token else None
    if request.page_token and after is None:
        raise invalid_page_token("must be the token of the page before, unchanged")
    return ListCommand(
        tenant_id=tenant_id,
        page_size=size,
        wanted=wanted,
        after=after,
        listing=listing,
        include_total=request.include_total,
    )


def policy_command(
    request: upload_sessions_pb2.GetUploadPolicyRequest, policies: Mapping[str, Policy]
) -> PolicyCommand:
    validator = Validator()
    tenant_id = inputs.tenant_id(validator, request.tenant_id)
    purpose = inputs.purpose(validator, request.purpose, policies)
    # An unknown purpose is rejected above; its size is still checked, by the default policy.
    policy = policies.get(purpose) or policies[DEFAULT_PURPOSE]
    sizes = _sizes(validator, request, policy)
    validator.raise_if_invalid()
    return PolicyCommand(tenant_id, purpose, sizes, request.base64)


def _sizes(
    validator: Validator, request: upload_sessions_pb2.GetUploadPolicyRequest, policy: Policy
) -> tuple[int, ...]:
    """Returns the sizes of all files of the message."""
    count = len(request.sizes_bytes)
    if count > MAX_SIZES:
        rule = f"must hold at most {MAX_SIZES} sizes"
        facts = {"maxCount": MAX_SIZES, "actualCount": count}
        validator.reject("sizes_bytes", "BATCH_TOO_LARGE", rule, **facts)
        return ()
    one = (request.size_bytes,) if request.HasField("size_bytes") else ()
    fields = ["size_bytes"] * len(one) + [f"sizes_bytes[{number}]" for number in range(count)]
    sizes = (*one, *request.sizes_bytes)
    for field, size in zip(fields, sizes, strict=True):
        inputs.size(validator, size, inputs.MAX_SIZE, field, min_size=policy.min_size)
    return sizes


def _extras(
    validator: Validator,
    item: upload_sessions_pb2.CompleteUploadSessionRequest
    | upload_sessions_pb2.BatchCompleteUploadSessionsRequest.Item,
    prefix: str = "",
) -> ExtraConstraints:
    sent = sent_checksums(item.checksums)
    checksums = inputs.checksums(validator, f"{prefix}checksums", sent)
    size = item.size_bytes if item.HasField("size_bytes") else None
    inputs.size(validator, size, inputs.MAX_SIZE, f"{prefix}size_bytes", min_size=0)
    return ExtraConstraints(checksums, size)


def _batch_items(
    validator: Validator,
    items: Sequence[upload_sessions_pb2.BatchCompleteUploadSessionsRequest.Item],
) -> dict[UUID, ExtraConstraints]:
    read: dict[UUID, ExtraConstraints] = {}
    count = len(items)
    if not count:
        validator.reject("items", "INVALID_ITEMS", "must hold at least one item")
    if count > MAX_ITEMS:
        rule = f"must hold at most {MAX_ITEMS} items"
        validator.reject("items", "BATCH_TOO_LARGE", rule, maxCount=MAX_ITEMS, actualCount=count)
        return read
    for number, item in enumerate(items):
        field = f"items[{number}].attachment_id"
        attachment_id = inputs.attachment_id(validator, item.attachment_id, field)
        if attachment_id in read:
            rule = "must not stand twice in one batch"
            validator.reject(field, "DUPLICATE_ATTACHMENT_ID", rule)
        read[attachment_id] = _extras(validator, item, f"items[{number}].")
    return read


def _session_filter(
    validator: Validator, sent: upload_sessions_pb2.ListUploadSessionsRequest.Filter
) -> SessionFilter:
    states: set[SessionState | None] = {_STATES.get(number) for number in sent.states}
    if None in states:
        validator.reject("filter.states", "INVALID_FILTER", "must be states this version knows")
    since, before = sent.create_time_from, sent.create_time_before
    return SessionFilter(
        states=tuple(sorted(state for state in states if state is not None)),
        purpose=sent.purpose or None,
        create_time_from=to_datetime(since) if sent.HasField("create_time_from") else None,
        create_time_before=to_datetime(before) if sent.HasField("create_time_before") else None,
    )
