"""Connection tokens for tests, and the service as their holders call it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from attachery.v1 import access_pb2 as pb
from support.service_fixtures import ServiceUnderTest

READ = ("attachments.read",)


async def create(
    service: ServiceUnderTest, subject: str, **fields: Any
) -> pb.CreateConnectionTokenResponse:
    """Creates a token for the purpose `default`, with changes of `fields`."""
    values = {"subject": subject, "purposes": ["default"], **fields}
    request = pb.CreateConnectionTokenRequest(**values)
    return await service.access.CreateConnectionToken(request, metadata=service.metadata)


async def revoke(service: ServiceUnderTest, subject: str) -> pb.RevokeConnectionTokensResponse:
    request = pb.RevokeConnectionTokensRequest(subject=subject)
    return await service.access.RevokeConnectionTokens(request, metadata=service.metadata)


def bearing(service: ServiceUnderTest, credential: str) -> ServiceUnderTest:
    """The service as the holder of this credential calls it."""
    holder = replace(service, api_key=credential)
    holder.metadata = (*holder.metadata, ("x-request-id", "same"))
    return holder


async def connected(service: ServiceUnderTest, subject: str, **fields: Any) -> ServiceUnderTest:
    """The service as a participant calls it."""
    return bearing(service, (await create(service, subject, **fields)).token)
