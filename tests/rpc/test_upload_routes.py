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

[mail]
max_size = 100
routes = [
    { name = "json", max_size = 40, base64 = true },
    { name = "form", max_size = 60 },
    { name = "each" },
]

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


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    ("fields", "total", "route"),
    [
        ({"sizes_bytes": [10, 20]}, 30, "form"),
        ({"size_bytes": 10, "sizes_bytes": [17]}, 27, "json"),
        ({"sizes_bytes": [1] * 10}, 10, "json"),
        ({"sizes_bytes": [1] * 11}, 11, "form"),
        ({"sizes_bytes": [1] * 11, "base64": True}, 44, "form"),
        ({"sizes_bytes": [30], "base64": True}, 40, "json"),
        ({"sizes_bytes": [60]}, 60, "form"),
        ({"sizes_bytes": [60], "base64": True}, 80, "each"),
        ({"sizes_bytes": [100, 100]}, 200, "each"),
        ({"sizes_bytes": [1, 101]}, 102, ""),
        ({"sizes_bytes": [5 * 2**40] * 1000}, 5000 * 2**40, ""),
        ({"base64": True}, None, ""),
    ],
)
async def test_a_message_takes_the_first_route_for_all_of_its_files(
    service: ServiceUnderTest, fields: dict[str, Any], total: int | None, route: str
) -> None:
    answer = await policy(service, purpose="mail", **fields)
    assert answer.route.name == route
    assert answer.HasField("route") == bool(route)
    assert (answer.total_size_bytes if answer.HasField("total_size_bytes") else None) == total


async def test_the_json_route_takes_a_message_whether_it_counts_base64_or_the_route_does(
    service: ServiceUnderTest,
) -> None:
    for base64 in (False, True):
        for size, route in ((2_100_000, "json"), (2_100_001, "multipart")):
            answer = await policy(service, size_bytes=size, base64=base64)
            assert answer.route.name == route


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("sizes", "violations"),
    [
        (
            [1, -1, 0],
            [("sizes_bytes[1]", "SIZE_OUT_OF_RANGE"), ("sizes_bytes[2]", "SIZE_OUT_OF_RANGE")],
        ),
        ([2**63 - 1] * 3, [(f"sizes_bytes[{n}]", "SIZE_OUT_OF_RANGE") for n in range(3)]),
        ([5 * 2**40 + 1], [("sizes_bytes[0]", "SIZE_OUT_OF_RANGE")]),
        ([1] * 1001, [("sizes_bytes", "BATCH_TOO_LARGE")]),
        ([-1] * 1000, [(f"sizes_bytes[{n}]", "SIZE_OUT_OF_RANGE") for n in range(20)]),
    ],
    ids=["negative", "overflow", "above the largest object", "too many", "all wrong"],
)
async def test_invalid_sizes_are_refused(
    service: ServiceUnderTest, sizes: list[int], violations: list[tuple[str, str]]
) -> None:
    refused = await failure(policy(service, sizes_bytes=sizes))
    assert refused.violations == violations
