"""Commands of AccessService from their messages. All functions raise InvalidRequest."""

from __future__ import annotations

from collections.abc import Mapping

from attachery.v1 import access_pb2
from attachery_service.domain import connection_tokens, inputs
from attachery_service.domain.policy import Policy
from attachery_service.domain.validation import Validator
from attachery_service.rpc.messages.times import given_timedelta
from attachery_service.usecases.identity.connection_tokens import CreateCommand, SubjectRef


def create_token_command(
    request: access_pb2.CreateConnectionTokenRequest, policies: Mapping[str, Policy]
) -> CreateCommand:
    validator = Validator()
    ref = _read_subject_ref(validator, request)
    ttl = given_timedelta(request, "ttl")
    limits = (connection_tokens.MIN_TTL, connection_tokens.MAX_TTL)
    inputs.duration(validator, "ttl", "INVALID_TTL", ttl, limits)
    purposes = connection_tokens.purposes(validator, request.purposes, policies)
    scopes = connection_tokens.scopes(validator, request.scopes)
    validator.raise_if_invalid()
    return CreateCommand(
        ref=ref,
        ttl=connection_tokens.DEFAULT_TTL if ttl is None else ttl,
        purposes=purposes,
        scopes=scopes,
    )


def subject_ref(request: access_pb2.RevokeConnectionTokensRequest) -> SubjectRef:
    validator = Validator()
    ref = _read_subject_ref(validator, request)
    validator.raise_if_invalid()
    return ref


def _read_subject_ref(
    validator: Validator,
    request: access_pb2.CreateConnectionTokenRequest | access_pb2.RevokeConnectionTokensRequest,
) -> SubjectRef:
    tenant_id = inputs.tenant_id(validator, request.tenant_id)
    return SubjectRef(tenant_id, inputs.subject(validator, request.subject))
