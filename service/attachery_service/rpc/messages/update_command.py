"""The command of UpdateAttachment from its message."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from attachery.v1 import attachments_pb2
from attachery_service.domain import declarations, inputs
from attachery_service.domain.idempotency import RequestKey, request_key
from attachery_service.domain.updates import PATHS, Update
from attachery_service.domain.validation import Validator
from attachery_service.rpc.messages.convert import read_disposition
from attachery_service.rpc.messages.request_fields import read_attachment_ref
from attachery_service.rpc.messages.times import given_timedelta
from attachery_service.usecases.attachments.update_attachment import METHOD, UpdateCommand
from attachery_service.usecases.uploads.lookup import AttachmentRef

_Request = attachments_pb2.UpdateAttachmentRequest

# A path that an error may repeat: the name of a field.
_NAME: Final = re.compile(r"[A-Za-z0-9_.*]{1,64}")


def update_command(request: _Request) -> UpdateCommand:
    """Validates all but the limits of the retentions, which depend on the session's purpose.

    Raises InvalidRequest.
    """
    validator = Validator()
    ref = read_attachment_ref(validator, request)
    request_id = inputs.request_id(validator, request.request_id)
    _check_mask(validator, request)
    update = _update(validator, request)
    validator.raise_if_invalid()
    return UpdateCommand(ref, update, _request_key(request_id, ref, update))


def _check_mask(validator: Validator, request: _Request) -> None:
    named = request.update_mask.paths
    wrong = _first_wrong(named)
    if wrong is not None or not named:
        rule = f"must name at least one of {', '.join(PATHS)}, each once"
        facts = {"path": wrong} if wrong and _NAME.fullmatch(wrong) else {}
        validator.reject("update_mask", "INVALID_UPDATE_MASK", rule, **facts)
    given = {field.name for field, _ in request.ListFields()}
    for path in PATHS:
        if path in given and path not in named:
            rule = "must be named by update_mask, or left out"
            validator.reject(path, "INVALID_UPDATE_MASK", rule, path=path)


def _first_wrong(paths: Sequence[str]) -> str | None:
    """Returns the first path that cannot be updated, or that occurred before."""
    seen = set[str]()
    for path in paths:
        if path not in PATHS or path in seen:
            return path
        seen.add(path)
    return None


def _update(validator: Validator, request: _Request) -> Update:
    paths = frozenset(PATHS) & frozenset(request.update_mask.paths)
    metadata = dict(request.metadata) if "metadata" in paths else None
    update = Update(
        paths=paths,
        filename=declarations.filename(validator, request.filename)
        if "filename" in paths
        else None,
        content_id=declarations.content_id(validator, request.content_id),
        disposition=read_disposition(validator, request.disposition),
        is_inline=request.is_inline if request.HasField("is_inline") else None,
        metadata=metadata,
        object_retention=given_timedelta(request, "object_retention"),
        metadata_retention=given_timedelta(request, "metadata_retention"),
        expected_revision=_expected_revision(validator, request),
    )
    declarations.check_metadata(validator, metadata or {})
    return update


def _expected_revision(validator: Validator, request: _Request) -> int | None:
    if not request.HasField("expected_revision"):
        return None
    if request.expected_revision < 1:
        validator.reject("expected_revision", "INVALID_REVISION", "must be 1 or more")
    return request.expected_revision


def _request_key(request_id: str | None, ref: AttachmentRef, update: Update) -> RequestKey | None:
    payload = {
        "attachment_id": ref.attachment_id,
        "update_mask": sorted(update.paths),
        "filename": update.filename,
        "content_id": update.content_id,
        "disposition": update.disposition,
        # May be False, which would count as not given.
        "is_inline": None if update.is_inline is None else str(update.is_inline),
        "metadata": update.metadata,
        "object_retention": update.object_retention,
        "metadata_retention": update.metadata_retention,
        "expected_revision": update.expected_revision,
    }
    return request_key(METHOD, request_id, payload)
