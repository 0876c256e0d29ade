"""Reflection, in the version of new tools and in that of older ones."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2 as pb

from attachery.v1 import (
    access_pb2,
    admin_pb2,
    attachments_pb2,
    errors_pb2,
    options_pb2,
    resources_pb2,
    upload_sessions_pb2,
)
from support.service_fixtures import MakeService, ServiceUnderTest

VERSIONS = ["v1", "v1alpha"]
MODULES = (
    access_pb2,
    admin_pb2,
    attachments_pb2,
    errors_pb2,
    options_pb2,
    resources_pb2,
    upload_sessions_pb2,
)
SERVICES = {
    "attachery.v1.AccessService",
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
async def test_a_method_comes_with_its_access_rules(
    service: ServiceUnderTest, version: str
) -> None:
    symbol = "attachery.v1.UploadSessionService.GetUploadSession"
    file, *imported = files(await ask(service, version, file_containing_symbol=symbol))
    (get,) = (m for m in file.service[0].method if m.name == "GetUploadSession")
    access = get.options.Extensions[options_pb2.access]
    assert (access.scope, access.accepts_session_token) == ("uploads.read", True)
    assert access.rate_category == options_pb2.RATE_CATEGORY_READ
    assert "attachery/v1/options.proto" in {each.name for each in imported}


@pytest.mark.parametrize("version", VERSIONS)
async def test_tools_can_read_the_details_of_errors(
    service: ServiceUnderTest, version: str
) -> None:
    for detail in DETAILS:
        found = files(await ask(service, version, file_containing_symbol=f"google.rpc.{detail}"))
        assert detail in {message.name for file in found for message in file.message_type}


SYMBOLS = {
    "attachery.v1.UploadSessionService": "attachery/v1/upload_sessions.proto",
    "attachery.v1.UploadSessionService.StartUploadSession": "attachery/v1/upload_sessions.proto",
    "attachery.v1.AttachmentService.ResolveAttachments": "attachery/v1/attachments.proto",
    "attachery.v1.AdminService.AuditAttachments": "attachery/v1/admin.proto",
    "attachery.v1.AccessService.GetCaller": "attachery/v1/access.proto",
    "grpc.health.v1.Health.Check": "grpc_health/v1/health.proto",
    "grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo": (
        "grpc_reflection/v1alpha/reflection.proto"
    ),
    ".attachery.v1.UploadSession": "attachery/v1/resources.proto",
    "attachery.v1.UploadSession.filename": "attachery/v1/resources.proto",
    "attachery.v1.ListUploadSessionsRequest.Filter": "attachery/v1/upload_sessions.proto",
    "attachery.v1.UploadSessionState": "attachery/v1/resources.proto",
    "attachery.v1.UPLOAD_SESSION_STATE_READY": "attachery/v1/resources.proto",
    "attachery.v1.VerificationCheck.Kind": "attachery/v1/upload_sessions.proto",
    "attachery.v1.ErrorReason": "attachery/v1/errors.proto",
    "attachery.v1.ERROR_REASON_RATE_LIMITED": "attachery/v1/errors.proto",
    "google.rpc.BadRequest.FieldViolation": "google/rpc/error_details.proto",
    "google.rpc.Status": "google/rpc/status.proto",
    "google.rpc.Code": "google/rpc/code.proto",
}
UNKNOWN_SYMBOLS = [
    "",
    ".",
    "attachery.v1",
    "attachery.v1.UploadSessionService.Nothing",
    "attachery.v1.UploadSession.Nothing",
    "attachery.v1.UploadSessionService.StartUploadSession.filename",
]


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_file_of_every_kind_of_symbol_is_found(
    service: ServiceUnderTest, version: str
) -> None:
    stream = reflection(service.channel, version)
    found = dict[str, str]()
    for symbol in SYMBOLS:
        await stream.write(pb.ServerReflectionRequest(file_containing_symbol=symbol))
        answer = await stream.read()
        found[symbol] = files(answer)[0].name if answer.HasField("file_descriptor_response") else ""
    for symbol in UNKNOWN_SYMBOLS:
        await stream.write(pb.ServerReflectionRequest(file_containing_symbol=symbol))
        answer = await stream.read()
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0], symbol
    stream.cancel()
    assert found == SYMBOLS


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_service_method_and_message_of_the_contract_is_found(
    service: ServiceUnderTest, version: str
) -> None:
    symbols = [
        name
        for module in MODULES
        for file in [module.DESCRIPTOR]
        for name in [
            *(m.full_name for m in file.message_types_by_name.values()),
            *(e.full_name for e in file.enum_types_by_name.values()),
            *(s.full_name for s in file.services_by_name.values()),
            *(m.full_name for s in file.services_by_name.values() for m in s.methods),
        ]
    ]
    stream = reflection(service.channel, version)
    for symbol in symbols:
        await stream.write(pb.ServerReflectionRequest(file_containing_symbol=symbol))
        assert (await stream.read()).HasField("file_descriptor_response"), symbol
    stream.cancel()
    assert len(symbols) > 50


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
