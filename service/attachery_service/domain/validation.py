"""Validation of a request: all violations of all fields, reported at once."""

from __future__ import annotations

from attachery_service.domain.errors import InvalidRequest, Violation

# google.rpc.BadRequest travels in the trailers, whose size is limited: see rpc/status.py.
MAX_VIOLATIONS = 20


class RuleViolation(ValueError):
    """A value that breaks its rule. The text states the rule, and never repeats the value."""


class Validator:
    """Collects the violations of one request, in the order of its fields.

    A rule takes the validator and the value as sent. If the value breaks the rule, it rejects the
    field and returns a value of the same type. No command leaves its function before
    `raise_if_invalid`, so that such a value is never used.
    """

    __slots__ = ("_facts", "_violations")

    def __init__(self) -> None:
        self._violations: list[Violation] = []
        self._facts: dict[str, object] = {}

    def reject(self, field: str, reason: str, rule: str, **facts: object) -> None:
        """Records a violation; `facts` are reported for the first one."""
        if not self._violations:
            self._facts = facts
        self._violations.append(Violation(field, reason, rule))

    def raise_if_invalid(self) -> None:
        """Raises InvalidRequest if any field was rejected."""
        if self._violations:
            raise invalid(self._violations[:MAX_VIOLATIONS], **self._facts)


def invalid(violations: list[Violation], **facts: object) -> InvalidRequest:
    """Returns the error for these violations, with the reason of the first."""
    first = violations[0]
    return InvalidRequest(violations, field=first.field, rule=first.description, **facts)
