"""Reads the definitions of the errors from the generated stubs and the descriptor set."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.rpc.code_pb2 import Code

REASON: Final = "ERROR_REASON_"
NEXT_ACTION: Final = "NEXT_ACTION_"

# Classes that are not named like their reason.
_CLASS_NAMES: Final = {"INTERNAL": "UnexpectedError", "UNKNOWN_METHOD": "Unimplemented"}
_ENUMS = FileDescriptorProto.DESCRIPTOR.fields_by_name["enum_type"].number
_VALUES = 2  # of EnumDescriptorProto


@dataclass(frozen=True)
class Reason:
    """A value of ErrorReason: its comment and its ErrorDefinition."""

    name: str
    comment: str
    code: str
    http_status: int
    retryable: bool
    next_action: str
    message: str
    is_field: bool
    fails_session: bool

    @property
    def class_name(self) -> str:
        """Name of the class, if the reason has one: those that describe a field have none."""
        return _CLASS_NAMES.get(self.name) or self.name.title().replace("_", "")


@dataclass(frozen=True)
class Contract:
    """All reasons in the order of errors.proto, and the comments of the next actions."""

    reasons: list[Reason]
    next_actions: dict[str, str]

    @classmethod
    def read(cls, generated: Path) -> Self:
        sys.path.insert(0, str(generated))
        comments = dict(_comments(generated / "attachery.binpb"))
        actions = {
            name.removeprefix(NEXT_ACTION): comment
            for name, comment in comments.items()
            if name.startswith(NEXT_ACTION) and not name.endswith("UNSPECIFIED")
        }
        return cls(list(_reasons(comments)), actions)


def _comments(descriptors: Path) -> Iterator[tuple[str, str]]:
    """Names and comments of the values of all top-level enums."""
    for file in FileDescriptorSet.FromString(descriptors.read_bytes()).file:
        for place in file.source_code_info.location:
            match list(place.path):
                case [kind, enum, part, value] if (kind, part) == (_ENUMS, _VALUES):
                    name = file.enum_type[enum].value[value].name
                    yield name, " ".join(place.leading_comments.split())


def _reasons(comments: Mapping[str, str]) -> Iterator[Reason]:
    from attachery.v1 import errors_pb2, options_pb2  # noqa: PLC0415 - found in GENERATED

    for value in errors_pb2.ErrorReason.DESCRIPTOR.values[1:]:
        error: Any = value.GetOptions().Extensions[options_pb2.error]
        action: str = options_pb2.NextAction.Name(error.next_action)
        yield Reason(
            name=value.name.removeprefix(REASON),
            comment=comments[value.name],
            code=Code.Name(error.code),
            http_status=error.http_status,
            retryable=error.retryable,
            next_action=action.removeprefix(NEXT_ACTION),
            message=error.message,
            is_field=error.field_violation,
            fails_session=error.fails_session,
        )
