"""The domain's enumerations and the contract's have the same values."""

from __future__ import annotations

from enum import Enum

import pytest

from attachery.v1 import errors_pb2, options_pb2
from attachery.v1 import resources_pb2 as pb
from attachery.v1.admin_pb2 import AuditFinding
from attachery.v1.upload_sessions_pb2 import UploadPolicy, VerificationCheck
from attachery_service.domain.audit import Kind
from attachery_service.domain.checks import CheckKind, CheckMethod, CheckOutcome
from attachery_service.domain.checksums import Algorithm
from attachery_service.domain.declarations import Disposition
from attachery_service.domain.policy import Sniffing
from attachery_service.domain.sessions import SessionState
from attachery_service.rpc.messages import convert
from attachery_service.rpc.services.admin import FINDING_KINDS


@pytest.mark.parametrize(
    ("values", "mapping", "contract"),
    [
        (SessionState, convert.STATES, pb.UploadSessionState),
        (Disposition, convert.DISPOSITIONS, pb.Disposition),
        (CheckKind, convert.KINDS, VerificationCheck.Kind),
        (CheckMethod, convert.METHODS, VerificationCheck.Method),
        (CheckOutcome, convert.OUTCOMES, VerificationCheck.Outcome),
        (Sniffing, convert.SNIFFINGS, UploadPolicy.Sniffing),
        (Kind, FINDING_KINDS, AuditFinding.Kind),
    ],
)
def test_every_value_has_its_number_and_every_number_its_value(
    values: type[Enum], mapping: dict[Enum, int], contract: object
) -> None:
    numbers = {value.number for value in contract.DESCRIPTOR.values}  # type: ignore[attr-defined]
    assert set(mapping) == set(values)
    assert set(mapping.values()) == numbers - {0}


def test_checksums_have_the_same_names_everywhere() -> None:
    assert {field.name for field in pb.Checksums.DESCRIPTOR.fields} == {a.value for a in Algorithm}


@pytest.mark.parametrize("name", errors_pb2.ErrorReason.keys()[1:])
def test_every_error_is_defined_completely(name: str) -> None:
    value = errors_pb2.ErrorReason.DESCRIPTOR.values_by_name[name]
    error = value.GetOptions().Extensions[options_pb2.error]
    assert error.code
    assert 400 <= error.http_status <= 599
    assert error.next_action
    assert error.message.endswith(".")
