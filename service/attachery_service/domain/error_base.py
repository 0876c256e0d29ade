"""The base of all errors, and the error of an invalid request.

`summary` is the message of a class, and its docstring: an attribute, since `python -OO` removes
docstrings. `reason` is the name that callers decide on; `facts` are the details, by lower-camel
name. `code` is the name of the gRPC status code, `http_status` the answer of an HTTP gateway.
`next_action` is the step that a caller takes next: its sentence is in `next_actions.SENTENCES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from attachery_service.domain.field_messages import MESSAGES


class AttacheryError(Exception):
    summary = "The call failed."
    reason: str = "INTERNAL"
    code: str = "INTERNAL"
    http_status: int = 500
    retryable: bool = False
    next_action: str = "CONTACT_OPERATOR"
    # Of this failure; None for the usual delay of a retryable error.
    retry_after: timedelta | None = None

    def __init_subclass__(cls) -> None:
        cls.__doc__ = cls.__doc__ or cls.summary

    def __init__(self, **facts: object) -> None:
        super().__init__(self.summary)
        self.facts = {name: str(value) for name, value in facts.items() if value is not None}

    def without(self, *names: str) -> Self:
        """Copy the error without these facts."""
        copied = copy(self)
        copied.facts = {name: fact for name, fact in self.facts.items() if name not in names}
        return copied

    def __copy__(self) -> Self:
        """Copy the error without its traceback, to raise it once more."""
        copied = type(self)()
        vars(copied).update(vars(self))
        return copied

    @property
    def message(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that breaks its rule: its path, the reason, and a sentence that states the rule."""

    field: str
    reason: str
    description: str


class InvalidRequest(AttacheryError):
    summary = "The request is invalid."
    code = "INVALID_ARGUMENT"
    http_status = 400
    next_action = "FIX_REQUEST"

    def __init__(self, violations: Sequence[Violation] = (), **facts: object) -> None:
        super().__init__(**facts)
        self.violations = tuple(violations)
        if self.violations:
            self.reason = self.violations[0].reason

    @property
    def message(self) -> str:
        return MESSAGES.get(self.reason, str(self))
