"""AccessService: credentials and their rights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attachery.v1 import access_pb2 as pb
from attachery_service.domain.policy import Policy
from attachery_service.rpc.context import CallContext
from attachery_service.rpc.messages.access_commands import create_token_command, subject_ref
from attachery_service.rpc.messages.callers import caller_message
from attachery_service.rpc.messages.times import from_datetime, from_timedelta
from attachery_service.usecases.identity.connection_tokens import (
    CreateConnectionToken,
    RevokeConnectionTokens,
)


@dataclass(frozen=True, slots=True)
class AccessUseCases:
    """The use cases of the service's methods, and the purposes that tokens may name."""

    create_connection_token: CreateConnectionToken
    revoke_connection_tokens: RevokeConnectionTokens
    policies: Mapping[str, Policy]


class AccessServicer:
    """Runs the use case of each method; GetCaller is answered from the call's principal."""

    def __init__(self, usecases: AccessUseCases) -> None:
        self._usecases = usecases

    async def GetCaller(
        self, request: pb.GetCallerRequest, context: CallContext
    ) -> pb.GetCallerResponse:
        return caller_message(context.principal)

    async def CreateConnectionToken(
        self, request: pb.CreateConnectionTokenRequest, context: CallContext
    ) -> pb.CreateConnectionTokenResponse:
        command = create_token_command(request, self._usecases.policies)
        token = await self._usecases.create_connection_token(context.principal, command)
        return pb.CreateConnectionTokenResponse(
            token=token.text,
            expire_time=from_datetime(token.expire_time),
            ttl=from_timedelta(command.ttl),
        )

    async def RevokeConnectionTokens(
        self, request: pb.RevokeConnectionTokensRequest, context: CallContext
    ) -> pb.RevokeConnectionTokensResponse:
        revoke_time = await self._usecases.revoke_connection_tokens(subject_ref(request))
        return pb.RevokeConnectionTokensResponse(revoke_time=from_datetime(revoke_time))
