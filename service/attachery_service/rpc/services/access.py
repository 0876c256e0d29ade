"""AccessService: credentials and their rights."""

from __future__ import annotations

from attachery.v1 import access_pb2 as pb
from attachery_service.rpc.context import CallContext
from attachery_service.rpc.messages.callers import caller_message


class AccessServicer:
    """Answers from the principal of the call."""

    async def GetCaller(
        self, request: pb.GetCallerRequest, context: CallContext
    ) -> pb.GetCallerResponse:
        return caller_message(context.principal)
