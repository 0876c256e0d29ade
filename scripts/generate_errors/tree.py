"""Arranges the reasons in a tree of classes: one per status code, and its reasons below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from definitions import Reason

ROOT: Final = "AttacheryError"
# Written by hand in both packages: it carries the violations.
INVALID_REQUEST: Final = "InvalidRequest"
# The next action of InvalidRequest, and of every reason that describes a field.
FIELD_ACTION: Final = "FIX_REQUEST"


@dataclass(frozen=True)
class Family:
    """The class of several reasons. `note` stands beside it in the drawn tree.

    `next_action` is that of a reason without its own class, where those of the others differ.
    """

    name: str
    summary: str = ""
    note: str = ""
    next_action: str = ""


# By status code. A family without a summary has that of its only reason.
FAMILIES: Final = {
    "INVALID_ARGUMENT": Family(
        INVALID_REQUEST,
        note="the request itself; has one violation per field",
        next_action=FIELD_ACTION,
    ),
    "UNAUTHENTICATED": Family("Unauthenticated", "The credential is missing or invalid."),
    "PERMISSION_DENIED": Family("PermissionDenied", "The credential does not permit this call."),
    "NOT_FOUND": Family("NotFound", "The attachment or hold does not exist."),
    "FAILED_PRECONDITION": Family(
        "FailedPrecondition",
        "The state of the session or attachment does not allow this call.",
        "the state of the session or attachment",
    ),
    "RESOURCE_EXHAUSTED": Family(
        "ResourceExhausted",
        "A limit is exceeded; nothing was changed.",
        "a limit of the caller or tenant; nothing was changed",
    ),
    "ABORTED": Family("Aborted", "The call was aborted."),
    "UNAVAILABLE": Family(
        "Unavailable",
        "The service cannot answer now; retry the call.",
        "the same call may succeed later",
        "RETRY",
    ),
    "DEADLINE_EXCEEDED": Family("DeadlineExceeded"),
    "INTERNAL": Family(
        "Internal", "The service failed; its log has the cause under the request id."
    ),
    "UNIMPLEMENTED": Family("Unimplemented"),
    "DATA_LOSS": Family(
        "DataLoss", "Verified bytes are missing or changed; the service's operators must act."
    ),
}
VERIFICATION: Final = Family(
    "VerificationFailed",
    "The uploaded object differs from its declaration.",
    "the uploaded bytes; the session is FAILED",
)


@dataclass(frozen=True)
class ErrorClass:
    """A class to generate; `reason` is the reason that belongs to this class alone."""

    name: str
    parent: str
    summary: str
    note: str
    code: str
    http_status: int
    retryable: bool
    next_action: str
    reason: Reason | None


def classes_of(reasons: Sequence[Reason]) -> Iterator[ErrorClass]:
    """All classes but the root, each after its parent."""
    for code, family in FAMILIES.items():
        members = [reason for reason in reasons if reason.code == code]
        failing = [reason for reason in members if reason.fails_session]
        plain = [reason for reason in members if not reason.fails_session]
        yield from _family(family, ROOT, plain)
        if failing:
            yield from _family(VERIFICATION, family.name, failing)


def _family(family: Family, parent: str, members: Sequence[Reason]) -> Iterator[ErrorClass]:
    own = next((reason for reason in members if reason.class_name == family.name), None)
    actions = {member.next_action for member in members}
    yield ErrorClass(
        name=family.name,
        parent=parent,
        summary=own.message if own else family.summary,
        note=family.note,
        code=members[0].code,
        http_status=members[0].http_status,
        retryable=all(member.retryable for member in members),
        next_action=family.next_action or (actions.pop() if len(actions) == 1 else ""),
        reason=own,
    )
    for member in members:
        if member is not own and not member.is_field:
            yield _leaf(member, family.name)


def _leaf(reason: Reason, parent: str) -> ErrorClass:
    return ErrorClass(
        name=reason.class_name,
        parent=parent,
        summary=reason.message,
        note="",
        code=reason.code,
        http_status=reason.http_status,
        retryable=reason.retryable,
        next_action=reason.next_action,
        reason=reason,
    )


def drawn(classes: Sequence[ErrorClass], parent: str = ROOT, indent: str = "") -> Iterator[str]:
    """The lines of the tree below `parent`."""
    children = [error for error in classes if error.parent == parent]
    for child in children:
        last = child is children[-1]
        line = f"{indent}{'└── ' if last else '├── '}{child.name}"
        yield f"{line:<32}{child.note}" if child.note else line
        yield from drawn(classes, child.name, indent + ("    " if last else "│   "))
