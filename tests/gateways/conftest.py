"""The Nylas gateway, and callers of two tenants. Only these tests import the vendor's client."""

from __future__ import annotations

import pytest

from support.gateway_fixtures import MakeGateway, RunningGateway
from support.nylas_calls import Caller, caller_of
from support.service_fixtures import ServiceUnderTest


@pytest.fixture(scope="session")
async def nylas_gateway(
    make_gateway: MakeGateway, gateway_service: ServiceUnderTest
) -> RunningGateway:
    return await make_gateway("nylas", gateway_service)


@pytest.fixture
def caller(nylas_gateway: RunningGateway, gateway_service: ServiceUnderTest) -> Caller:
    return caller_of(nylas_gateway, gateway_service.api_key)


@pytest.fixture
async def stranger(nylas_gateway: RunningGateway, gateway_service: ServiceUnderTest) -> Caller:
    """A caller of another tenant, with that tenant's own grant."""
    return caller_of(nylas_gateway, await gateway_service.new_key(tenants=["globex"]), "globex")
