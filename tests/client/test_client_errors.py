"""The client's exceptions are the service's own, rebuilt from the status."""

from __future__ import annotations

import pickle
from datetime import timedelta
from types import ModuleType

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2

from attachery.v1 import errors_pb2
from attachery_client import errors, from_rpc_error, from_status
from attachery_service.domain import errors as service_errors

REASONS = errors_pb2.ErrorReason.keys()
DETAILS = "grpc-status-details-bin"


def classes_of(module: ModuleType) -> dict[str, type[Exception]]:
    root: type[Exception] = module.AttacheryError
    return {
        name: member
        for name, member in vars(module).items()
        if isinstance(member, type) and issubclass(member, root)
    }


def tree_of(module: ModuleType) -> dict[str, tuple[str, ...]]:
    return {
        name: tuple(base.__name__ for base in cls.__bases__)
        for name, cls in classes_of(module).items()
    }


def reasons_of(module: ModuleType) -> dict[str, str]:
    """The reasons that have a class of their own."""
    return {
        name: vars(cls)["reason"]
        for name, cls in classes_of(module).items()
        if name != "AttacheryError" and "reason" in vars(cls)
    }


def rpc_error(
    code: grpc.StatusCode,
    *details: message.Message,
    text: str = "",
    trailers: tuple[tuple[str, str], ...] = (),
) -> grpc.aio.AioRpcError:
    packed = status_pb2.Status(code=code.value[0], message=text)
    for detail in details:
        any_pb2_detail = packed.details.add()
        any_pb2_detail.Pack(detail)
    metadata = grpc.aio.Metadata(*trailers, (DETAILS, packed.SerializeToString()))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, details=text)


def error_info(reason: str, domain: str = "attachery", **facts: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=facts)


VIOLATIONS = [
    errors.Violation("filename", "INVALID_FILENAME", "must not contain '/'"),
    errors.Violation("size_bytes", "SIZE_OUT_OF_RANGE", "must be 1 to 10"),
    errors.Violation("ttl", "", "must be positive"),
    errors.Violation("", "INVALID_ITEMS", ""),
]


def test_the_text_of_an_invalid_request_lists_every_violation() -> None:
    error = errors.InvalidRequest(
        "filename: must not contain '/'",
        reason="INVALID_FILENAME",
        violations=VIOLATIONS,
        request_id="r1",
    )
    assert str(error) == (
        "INVALID_FILENAME: filename: must not contain '/' (INVALID_FILENAME); "
        "size_bytes: must be 1 to 10 (SIZE_OUT_OF_RANGE); ttl: must be positive; INVALID_ITEMS "
        "(request r1)"
    )


def test_the_text_of_an_invalid_request_is_bounded() -> None:
    violations = [errors.Violation(f"items[{n}].id", "INVALID_ID", "x" * 5000) for n in range(99)]
    text = str(errors.InvalidRequest(violations=violations))
    assert "items[19].id" in text
    assert text.endswith("; and 79 more")
    assert len(text) < 7000


def test_the_tree_is_the_one_of_the_service() -> None:
    assert tree_of(errors) == tree_of(service_errors)
    assert reasons_of(errors) == reasons_of(service_errors)


def test_the_drawn_tree_names_every_class() -> None:
    drawn = {
        line.lstrip("│ ├└─").split()[0]
        for line in (errors.__doc__ or "").splitlines()
        if line.startswith(("AttacheryError", "├", "└", "│", "    "))
    }
    assert drawn == set(classes_of(errors))


@pytest.mark.parametrize("name", REASONS[1:])
def test_every_reason_has_a_class(name: str) -> None:
    reason = name.removeprefix("ERROR_REASON_")
    of_one_class = {reason: name for name, reason in reasons_of(errors).items()}
    error = from_rpc_error(rpc_error(grpc.StatusCode.INVALID_ARGUMENT, error_info(reason)))
    assert type(error).__name__ == of_one_class.get(reason, "InvalidRequest")
    assert error.reason == reason


def test_no_class_has_a_reason_the_contract_lacks() -> None:
    known = {name.removeprefix("ERROR_REASON_") for name in REASONS}
    assert set(reasons_of(errors).values()) <= known


def test_all_details_arrive() -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(
        field="filename", description="must be a name", reason="INVALID_FILENAME"
    )
    error = from_rpc_error(
        rpc_error(
            grpc.StatusCode.INVALID_ARGUMENT,
            error_info(
                "INVALID_FILENAME",
                field="filename",
                httpStatus="400",
                nextAction="DO_SOMETHING",
                retryable="true",
            ),
            error_details_pb2.Help(links=[error_details_pb2.Help.Link(url="https://docs.example")]),
            error_details_pb2.BadRequest(field_violations=[violation]),
            error_details_pb2.RequestInfo(request_id="r-1"),
            error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=200_000_000)),
            text="filename: must be a name",
        ),
        request_id="sent",
    )
    assert type(error) is errors.InvalidRequest
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "INVALID_FILENAME"
    assert error.message == "filename: must be a name"
    assert error.facts == {"field": "filename"}
    assert error.http_status == 400
    assert (error.next_action, error.retryable) == ("DO_SOMETHING", True)
    assert error.help_url == "https://docs.example"
    assert error.request_id == "r-1"
    assert error.retry_after == timedelta(milliseconds=200)
    assert error.violations == (errors.Violation("filename", "INVALID_FILENAME", "must be a name"),)
    assert str(error) == (
        "INVALID_FILENAME: filename: must be a name (field=filename, request r-1)"
    )


def test_a_status_of_an_older_service_has_the_next_action_of_its_reason() -> None:
    not_uploaded, overloaded, unnamed = (
        from_rpc_error(rpc_error(grpc.StatusCode.UNAVAILABLE, error_info(reason)))
        for reason in ("OBJECT_NOT_UPLOADED", "OVERLOADED", "")
    )
    assert (not_uploaded.next_action, not_uploaded.retryable) == ("UPLOAD_BYTES", False)
    assert (overloaded.next_action, overloaded.retryable) == ("RETRY_LATER", True)
    assert (unnamed.next_action, unnamed.retryable, unnamed.help_url) == ("RETRY", True, "")


def test_a_reason_of_a_newer_service_is_the_class_of_its_code() -> None:
    info = error_info("UPLOAD_PAUSED", httpStatus="409")
    error = from_rpc_error(rpc_error(grpc.StatusCode.FAILED_PRECONDITION, info))
    assert type(error) is errors.FailedPrecondition
    assert error.reason == "UPLOAD_PAUSED"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.DeadlineExceeded),
        (grpc.StatusCode.UNAUTHENTICATED, errors.Unauthenticated),
        (grpc.StatusCode.UNIMPLEMENTED, errors.Unimplemented),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.ResourceExhausted),
        (grpc.StatusCode.CANCELLED, errors.AttacheryError),
    ],
)
def test_a_status_without_details_is_the_class_of_its_code(
    code: grpc.StatusCode, expected: type[errors.AttacheryError]
) -> None:
    bare = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details="why")
    error = from_rpc_error(bare, request_id="sent")
    assert type(error) is expected
    assert (error.code, error.message, error.request_id) == (code, "why", "sent")


def test_the_request_id_of_the_trailers_stands_in_for_missing_details() -> None:
    trailers = grpc.aio.Metadata(("x-request-id", "echoed"), (DETAILS, b"\xff\xff"))
    bare = grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, grpc.aio.Metadata(), trailers)
    assert from_rpc_error(bare, request_id="sent").request_id == "echoed"


def test_an_error_info_of_another_domain_is_ignored() -> None:
    info = error_info("UPLOAD_EXPIRED", domain="proxy.example")
    error = from_rpc_error(rpc_error(grpc.StatusCode.UNAVAILABLE, info))
    assert type(error) is errors.Unavailable
    assert error.reason == ""


def test_the_status_of_an_item() -> None:
    packed = any_pb2.Any()
    packed.Pack(error_info("UPLOAD_NOT_READY", state="PENDING"))
    error = from_status(status_pb2.Status(code=9, message="not yet", details=[packed]))
    assert isinstance(error, errors.UploadNotReady)
    assert error.facts == {"state": "PENDING"}
    assert from_status(status_pb2.Status()) is None
    assert type(from_status(status_pb2.Status(code=999))) is errors.AttacheryError


def test_an_error_survives_pickling() -> None:
    error = errors.SizeMismatch("too short", facts={"actualSize": "1"}, request_id="r-1")
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copied) is errors.SizeMismatch
    assert vars(copied) == vars(error)
