"""Commands of the RPCs of holds from their messages. All functions raise InvalidRequest."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from attachery.v1 import attachments_pb2 as pb
from attachery_service.domain import inputs
from attachery_service.domain.holds import HOLD_TTLS, HoldFilter, HoldRef
from attachery_service.domain.identity import Principal
from attachery_service.domain.validation import Validator
from attachery_service.rpc.messages.request_fields import page_start
from attachery_service.rpc.messages.times import given_timedelta
from attachery_service.usecases.holds.get_hold import GetHoldCommand
from attachery_service.usecases.holds.list_holds import ListHoldsCommand

_HoldRequest = pb.GetHoldRequest | pb.ExtendHoldRequest | pb.ReleaseHoldRequest
_ID_PAGE: Final = (1000, 1000)
_HOLD_PAGE: Final = (50, 1000)


def hold_ref(request: pb.ReleaseHoldRequest, principal: Principal) -> HoldRef:
    validator = Validator()
    ref = _hold_ref(validator, request, principal)
    validator.raise_if_invalid()
    return ref


def extension(request: pb.ExtendHoldRequest, principal: Principal) -> tuple[HoldRef, timedelta]:
    """Returns the hold, and its time from now."""
    validator = Validator()
    ref = _hold_ref(validator, request, principal)
    # Without a default: a missing time is as invalid as a time of zero.
    ttl = given_timedelta(request, "ttl") or timedelta()
    inputs.duration(validator, "ttl", "INVALID_HOLD_TTL", ttl, HOLD_TTLS)
    validator.raise_if_invalid()
    return ref, ttl


def get_hold_command(request: pb.GetHoldRequest, principal: Principal) -> GetHoldCommand:
    validator = Validator()
    ref = _hold_ref(validator, request, principal)
    size = inputs.page_size(validator, request.page_size, *_ID_PAGE)
    validator.raise_if_invalid()
    listing: dict[str, object] = {"ids_of": repr(ref)}
    after = page_start(request.page_token, listing)
    return GetHoldCommand(ref=ref, page_size=size, after=after, listing=listing)


def list_holds_command(request: pb.ListHoldsRequest) -> ListHoldsCommand:
    validator = Validator()
    wanted = _hold_filter(validator, request)
    size = inputs.page_size(validator, request.page_size, *_HOLD_PAGE)
    validator.raise_if_invalid()
    listing: dict[str, object] = {"holds_of": repr(wanted)}
    after = page_start(request.page_token, listing)
    return ListHoldsCommand(wanted=wanted, page_size=size, after=after, listing=listing)


def _hold_filter(validator: Validator, request: pb.ListHoldsRequest) -> HoldFilter:
    tenant_id = inputs.tenant_id(validator, request.tenant_id)
    owner = inputs.hold_owner(validator, request.hold_owner)
    if not owner and not request.attachment_id:
        rule = "must be given without attachment_id"
        validator.reject("hold_owner", "INVALID_HOLD_OWNER", rule)
    given = request.attachment_id
    attachment_id = inputs.attachment_id(validator, given) if given else None
    return HoldFilter(tenant_id=tenant_id, owner=owner, attachment_id=attachment_id)


def _hold_ref(validator: Validator, request: _HoldRequest, principal: Principal) -> HoldRef:
    tenant_id = inputs.tenant_id(validator, request.tenant_id)
    owner = inputs.hold_owner(validator, request.hold_owner)
    if owner and request.hold_id:
        validator.reject("hold_owner", "INVALID_HOLD_OWNER", "must not stand with hold_id")
    hold_id = None if owner else inputs.hold_id(validator, request.hold_id)
    return HoldRef(tenant_id=tenant_id, hold_id=hold_id, owner=owner, created_by=principal.name)
