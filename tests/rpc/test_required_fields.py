"""The fields that the contract marks as REQUIRED are those that the service requires."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from attachery_service.rpc.methods import CONTRACT
from support.failures import failure
from support.service_fixtures import ServiceUnderTest

# A request needs one of these fields and another one, so neither is marked.
ONE_OF_TWO = {"hold_id", "hold_owner"}


def _methods() -> Iterator[MethodDescriptor]:
    for service in CONTRACT:
        yield from (method for method in service.methods if _required(method.input_type))


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
    shared_service: ServiceUnderTest, method: MethodDescriptor
) -> None:
    path = f"/{method.containing_service.full_name}/{method.name}"
    call: Any = shared_service.channel.unary_unary(path)
    refused = await failure(call(b"", metadata=shared_service.metadata))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    named = {field for field, _ in refused.violations}
    assert named - ONE_OF_TWO == _required(method.input_type)
