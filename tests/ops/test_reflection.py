"""Reflection, in the version of new tools and in that of older ones."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2 as pb

from service_fixtures import MakeService, ServiceUnderTest

VERSIONS = ["v1", "v1alpha"]
SERVICES = {
    "attachery.v1.AdminService",
    "attachery.v1.AttachmentService",
    "attachery.v1.UploadSessionService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
}
DETAILS = ["ErrorInfo", "RequestInfo", "BadRequest", "PreconditionFailure", "RetryInfo"]


def reflection(channel: grpc.aio.Channel, version: str) -> Any:
    return channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        pb.ServerReflectionRequest.SerializeToString,
        pb.ServerReflectionResponse.FromString,
    )()


async def ask(
    service: ServiceUnderTest, version: str, **request: Any
) -> pb.ServerReflectionResponse:
    stream = reflection(service.channel, version)
    await stream.write(pb.ServerReflectionRequest(**request))
    await stream.done_writing()
    answer: pb.ServerReflectionResponse = await stream.read()
    assert await stream.read() is grpc.aio.EOF
    return answer


def files(answer: pb.ServerReflectionResponse) -> list[descriptor_pb2.FileDescriptorProto]:
    found = answer.file_descriptor_response.file_descriptor_proto
    return [descriptor_pb2.FileDescriptorProto.FromString(file) for file in found]


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_services_are_listed(service: ServiceUnderTest, version: str) -> None:
    answer = await ask(service, version, list_services="")
    assert {found.name for found in answer.list_services_response.service} == SERVICES


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_service_comes_with_all_files_it_needs(
    service: ServiceUnderTest, version: str
) -> None:
    found = files(
        await ask(service, version, file_containing_symbol="attachery.v1.AttachmentService")
    )
    names = {file.name for file in found}
    assert found[0].name == "attachery/v1/attachments.proto"
    assert names >= {dependency for file in found for dependency in file.dependency}


@pytest.mark.parametrize("version", VERSIONS)
async def test_tools_can_read_the_details_of_errors(
    service: ServiceUnderTest, version: str
) -> None:
    for detail in DETAILS:
        found = files(await ask(service, version, file_containing_symbol=f"google.rpc.{detail}"))
        assert detail in {message.name for file in found for message in file.message_type}


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_unknown_symbol_is_not_found_and_the_stream_goes_on(
    service: ServiceUnderTest, version: str
) -> None:
    stream = reflection(service.channel, version)
    await stream.write(pb.ServerReflectionRequest(file_containing_symbol="no.such.Thing"))
    assert (await stream.read()).error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    await stream.write(pb.ServerReflectionRequest(list_services=""))
    assert (await stream.read()).list_services_response.service
    stream.cancel()


async def test_it_can_be_turned_off(make_service: MakeService) -> None:
    service = await make_service(reflection=False)
    for version in VERSIONS:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(service, version, list_services="")
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
