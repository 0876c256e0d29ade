"""The fields that the contract marks as REQUIRED are those that the service requires."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from attachery.v1 import admin_pb2, attachments_pb2, upload_sessions_pb2
from support.failures import failure
from support.service_fixtures import MakeService

CONTRACT = (upload_sessions_pb2, attachments_pb2, admin_pb2)


def _methods() -> Iterator[MethodDescriptor]:
    for module in CONTRACT:
        for service in module.DESCRIPTOR.services_by_name.values():
            yield from service.methods


def _required(message: Descriptor) -> set[str]:
    behavior: Any = field_behavior_pb2.field_behavior
    return {
        field.name
        for field in message.fields
        if field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[behavior]
    }


@pytest.mark.bad_input
@pytest.mark.parametrize("method", list(_methods()), ids=lambda method: method.name)
async def test_an_empty_request_is_refused_for_each_required_field(
    make_service: MakeService, method: MethodDescriptor
) -> None:
    service = await make_service()
    key = await service.new_key(tenants=None)
    async with grpc.aio.insecure_channel(service.target) as channel:
        call: Any = channel.unary_unary(f"/{method.containing_service.full_name}/{method.name}")
        refused = await failure(call(b"", metadata=[("authorization", f"Bearer {key}")]))

    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert {field for field, _ in refused.violations} == _required(method.input_type)
