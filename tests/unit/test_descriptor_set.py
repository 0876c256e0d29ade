"""`generated/attachery.binpb` describes the whole contract to tools without other files."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from attachery.v1 import options_pb2

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def files() -> dict[str, FileDescriptorProto]:
    content = (ROOT / "generated" / "attachery.binpb").read_bytes()
    return {file.name: file for file in FileDescriptorSet.FromString(content).file}


def test_it_holds_every_file_that_a_file_imports(files: dict[str, FileDescriptorProto]) -> None:
    pool = DescriptorPool()  # refuses a file whose imports are missing
    for file in files.values():
        pool.Add(file)
    start = pool.FindMethodByName("attachery.v1.UploadSessionService.StartUploadSession")
    assert start.input_type.full_name == "attachery.v1.StartUploadSessionRequest"
    # Sent in the details of errors, and imported by no file.
    assert pool.FindMessageTypeByName("google.rpc.ErrorInfo").full_name == "google.rpc.ErrorInfo"


def test_it_has_the_access_rules_of_every_method(files: dict[str, FileDescriptorProto]) -> None:
    rules = {
        method.name: method.options.Extensions[options_pb2.access]
        for name, file in files.items()
        if name.startswith("attachery/")
        for service in file.service
        for method in service.method
    }
    assert rules["StartUploadSession"] == options_pb2.MethodAccess(
        scope="uploads.create",
        rate_category=options_pb2.RATE_CATEGORY_WRITE,
        accepts_connection_token=True,
    )
    assert all(rule.rate_category for rule in rules.values())
    assert {name for name, rule in rules.items() if not rule.scope} == {"GetCaller"}


def test_it_holds_every_file_of_the_contract(files: dict[str, FileDescriptorProto]) -> None:
    contract = {path.name for path in (ROOT / "protos" / "attachery" / "v1").glob("*.proto")}
    assert {f"attachery/v1/{name}" for name in contract} <= set(files)


def test_it_has_the_comments(files: dict[str, FileDescriptorProto]) -> None:
    for name in ("attachery/v1/upload_sessions.proto", "google/rpc/status.proto"):
        assert any(place.leading_comments for place in files[name].source_code_info.location)


def test_every_file_names_its_package_in_other_languages(
    files: dict[str, FileDescriptorProto],
) -> None:
    for file in files.values():
        if file.package == "attachery.v1":
            options = file.options
            assert options.go_package == "attachery/v1;attacheryv1"
            assert (options.java_package, options.java_multiple_files) == ("attachery.v1", True)
            assert options.csharp_namespace == "Attachery.V1"
