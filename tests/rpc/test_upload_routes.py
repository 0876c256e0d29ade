"""Routes: recommended ways for a file, as data of its purpose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attachery.v1.upload_sessions_pb2 import GetUploadPolicyRequest, GetUploadPolicyResponse
from support.failures import failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

FILE = """
[avatar]
max_size = 1000000

[video]
max_size = 5000000000

[chat]
routes = [{ name = "inline", max_size = 10 }, { name = "post", max_size = 20 }]

[nowhere]
routes = []
"""


async def policy(service: ServiceUnderTest, **fields: Any) -> GetUploadPolicyResponse:
    request = GetUploadPolicyRequest(**{"tenant_id": TENANT, **fields})
    return await service.uploads.GetUploadPolicy(request, metadata=service.metadata)


@pytest.fixture
async def service(make_service: MakeService, tmp_path: Path) -> ServiceUnderTest:
    path = tmp_path / "purposes.toml"
    path.write_text(FILE, encoding="utf-8")
    return await make_service(purposes=path)


async def test_a_policy_shows_its_routes_and_recommends_none_without_a_size(
    service: ServiceUnderTest,
) -> None:
    answer = await policy(service)
    assert not answer.HasField("route")
    assert [(route.name, route.max_size_bytes) for route in answer.policy.routes] == [
        ("json", 2_100_000),
        ("multipart", 24_000_000),
        ("upload_session", 157_286_400),
    ]


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("purpose", "size", "route"),
    [
        ("avatar", 1_000_000, ("json", 1_000_000)),
        ("avatar", 1_000_001, None),
        ("video", 5_000_000_000, ("upload_session", 5_000_000_000)),
        ("video", 5_000_000_001, None),
        ("chat", 10, ("inline", 10)),
        ("chat", 11, ("post", 20)),
        ("chat", 21, None),
        ("nowhere", 1, None),
    ],
)
async def test_no_route_takes_more_than_its_purpose(
    service: ServiceUnderTest, purpose: str, size: int, route: tuple[str, int] | None
) -> None:
    answer = await policy(service, purpose=purpose, size_bytes=size)
    found = (answer.route.name, answer.route.max_size_bytes) if answer.HasField("route") else None
    assert found == route


@pytest.mark.bad_input
@pytest.mark.parametrize("size", [0, -1, 5 * 2**40 + 1, 2**63 - 1])
async def test_an_invalid_size_is_refused(service: ServiceUnderTest, size: int) -> None:
    refused = await failure(policy(service, size_bytes=size))
    assert refused.violations == [("size_bytes", "SIZE_OUT_OF_RANGE")]
