"""Valid updates: the mask names each given field, and each field keeps the rule of Start."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from attachery.v1.resources_pb2 import Attachment
from support.failures import failure
from support.service_fixtures import ServiceUnderTest
from support.updating import update

pytestmark = pytest.mark.bad_input

UNKNOWN = "01890000-0000-7000-8000-000000000000"
PATHS = (
    "filename",
    "content_id",
    "disposition",
    "is_inline",
    "metadata",
    "object_retention",
    "metadata_retention",
)
FIXED = sorted(set(Attachment.DESCRIPTOR.fields_by_name) - set(PATHS))


@pytest.fixture
def service(shared_service: ServiceUnderTest) -> ServiceUnderTest:
    return shared_service


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("filename", "", "INVALID_FILENAME"),
        ("content_id", "a b", "INVALID_CONTENT_ID"),
        ("metadata", {"": ""}, "INVALID_METADATA"),
        ("expected_revision", 0, "INVALID_REVISION"),
        ("filename", "a/b", "INVALID_FILENAME"),
        ("filename", "é" * 256, "INVALID_FILENAME"),
        ("content_id", "<>", "INVALID_CONTENT_ID"),
        ("content_id", "a" * 129, "INVALID_CONTENT_ID"),
        ("disposition", 7, "INVALID_DISPOSITION"),
        ("metadata", {str(n): "" for n in range(51)}, "INVALID_METADATA"),
        ("metadata", {"k": "v" * 513}, "INVALID_METADATA"),
        ("expected_revision", -1, "INVALID_REVISION"),
        ("expected_revision", -(2**63), "INVALID_REVISION"),
        ("request_id", "x" * 501, "INVALID_REQUEST_ID"),
        ("attachment_id", "x", "INVALID_ATTACHMENT_ID"),
    ],
)
async def test_a_bad_field_of_an_update_is_refused_with_its_reason(
    service: ServiceUnderTest, field: str, value: Any, reason: str
) -> None:
    sent = {"attachment_id": UNKNOWN, "is_inline": True, field: value}
    refused = await failure(update(service, **sent))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.violations == [(field, reason)]
    assert refused.facts["httpStatus"] == "400"


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("object_retention", timedelta(0)),
        ("metadata_retention", timedelta(hours=23, minutes=59)),
        ("object_retention", timedelta(days=30, seconds=1)),
        ("object_retention", Duration(seconds=2**62)),
        ("object_retention", timedelta(milliseconds=999)),
        ("object_retention", Duration(seconds=60, nanos=-1)),
        ("metadata_retention", timedelta(days=365, seconds=1)),
        ("metadata_retention", Duration(seconds=-(2**62))),
    ],
)
async def test_a_retention_outside_of_the_policy_is_refused(
    service: ServiceUnderTest, field: str, value: Any
) -> None:
    attachment_id = await service.ready()
    refused = await failure(update(service, attachment_id, **{field: value}))
    assert refused.violations == [(field, f"INVALID_{field.upper()}")]
    assert (await service.get(attachment_id)).revision == 2


@pytest.mark.sample(6)
@pytest.mark.parametrize(
    ("mask", "path"),
    [
        ([], None),
        (["*"], "*"),
        (["content_type"], "content_type"),
        (["is_inline", "is_inline"], "is_inline"),
        (["metadata.key"], "metadata.key"),
        (["isInline"], "isInline"),
        (["filename "], None),
        ([""], None),
        (["x" * 65], None),
        (["a\nb"], None),
        (["FILENAME"], "FILENAME"),
        (["update_mask"], "update_mask"),
        (["expected_revision"], "expected_revision"),
        *(([name], name) for name in FIXED if name != "content_type"),
    ],
)
async def test_a_mask_names_only_fields_that_can_be_updated_each_once(
    service: ServiceUnderTest, mask: Sequence[str], path: str | None
) -> None:
    refused = await failure(update(service, UNKNOWN, mask))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.violations == [("update_mask", "INVALID_UPDATE_MASK")]
    assert refused.facts.get("path") == path
    assert all(name in refused.facts["rule"] for name in PATHS)


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metadata", {"a": "1"}),
        ("is_inline", False),
        ("filename", "a"),
        ("content_id", "a"),
        ("disposition", 1),
        ("object_retention", timedelta(hours=1)),
        ("metadata_retention", timedelta(days=1)),
    ],
)
async def test_a_field_that_is_given_must_be_named(
    service: ServiceUnderTest, field: str, value: Any
) -> None:
    attachment_id = await service.ready()
    mask = ["disposition" if field == "filename" else "filename"]
    named = {} if field == "filename" else {"filename": "renamed"}
    refused = await failure(update(service, attachment_id, mask, **named, **{field: value}))
    assert refused.violations == [(field, "INVALID_UPDATE_MASK")]
    assert refused.facts["path"] == field
    assert (await service.get(attachment_id)).revision == 2


async def test_all_violations_of_an_update_are_reported_together_in_field_order(
    service: ServiceUnderTest,
) -> None:
    refused = await failure(
        update(
            service,
            "x",
            ["filename", "size_bytes"],
            request_id="\n",
            filename="",
            metadata={"": ""},
            expected_revision=0,
        )
    )
    assert refused.violations == [
        ("attachment_id", "INVALID_ATTACHMENT_ID"),
        ("request_id", "INVALID_REQUEST_ID"),
        ("update_mask", "INVALID_UPDATE_MASK"),
        ("metadata", "INVALID_UPDATE_MASK"),
        ("filename", "INVALID_FILENAME"),
        ("expected_revision", "INVALID_REVISION"),
    ]


async def test_a_mask_of_many_paths_is_refused_like_one(
    service: ServiceUnderTest,
) -> None:
    refused = await failure(update(service, UNKNOWN, [""] * 500_000))
    assert refused.violations == [("update_mask", "INVALID_UPDATE_MASK")]
