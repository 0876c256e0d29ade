"""The base of all exceptions, and the exception for an invalid request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from grpc import StatusCode

from attachery_client.call_info import RateLimit

# In the text of an exception; all are in `violations`.
_MAX_LISTED = 20
_MAX_TEXT = 300

NO_FACTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that breaks its rule: its path, the reason, and a sentence that states the rule."""

    field: str
    reason: str
    description: str

    def __str__(self) -> str:
        """`field: description (reason)`, without the parts that the service did not send."""
        text = ": ".join(filter(None, (self.field, self.description)))
        return f"{text} ({self.reason})" if self.reason and text else text or self.reason


class AttacheryError(Exception):
    """The call failed.

    - `code`: the gRPC status code.
    - `reason`: name of the `ErrorReason` without its prefix; empty if the service did not answer.
    - `message`: a sentence for people, which may change; by default the `summary` of the class.
    - `facts`: the details of this failure by lower-camel name, such as `expectedSize`.
    - `violations`: with INVALID_ARGUMENT, every field that breaks its rule, in field order.
    - `request_id`: of this call, as in the service's logs; empty if unknown.
    - `http_status`: the status an HTTP gateway would answer with; None if the service sent none.
    - `retry_after`: the delay before the next attempt; None if the service sent none.
    - `retryable`: whether the same call may succeed later without a change.
    - `next_action`: name of the `NextAction` without its prefix, such as `UPLOAD_BYTES`; empty if
      the service sent none and the class has several.
    - `help_url`: the page that explains the reason; empty if the service sent none.
    - `attempts`, `rate_limit`: as in CallInfo; None for an item of a batch.
    """

    summary = "The call failed."
    code: StatusCode = StatusCode.UNKNOWN
    reason: str = ""
    retryable: bool = False
    next_action: str = ""

    def __init_subclass__(cls) -> None:
        cls.__doc__ = cls.__doc__ or cls.summary

    def __init__(
        self,
        message: str = "",
        *,
        code: StatusCode | None = None,
        reason: str = "",
        facts: Mapping[str, str] = NO_FACTS,
        violations: Sequence[Violation] = (),
        request_id: str = "",
        http_status: int | None = None,
        retry_after: timedelta | None = None,
        retryable: bool | None = None,
        next_action: str = "",
        help_url: str = "",
        attempts: int | None = None,
        rate_limit: RateLimit | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.reason = reason or type(self).reason
        self.message = message or self.summary
        self.facts = dict(facts)
        self.violations = tuple(violations)
        self.request_id = request_id
        self.http_status = http_status
        self.retry_after = retry_after
        self.retryable = type(self).retryable if retryable is None else retryable
        self.next_action = next_action or type(self).next_action
        self.help_url = help_url
        self.attempts = attempts
        self.rate_limit = rate_limit

    def __str__(self) -> str:
        """The reason, the explanation, and in brackets the facts and the request id."""
        known = [f"{name}={value}" for name, value in self._further_facts().items()]
        known += [f"request {self.request_id}"] if self.request_id else []
        text = f"{self.reason or self.code.name}: {self._explanation()}"
        return f"{text} ({', '.join(known)})" if known else text

    def _explanation(self) -> str:
        return self.message

    def _further_facts(self) -> Mapping[str, str]:
        return self.facts


class InvalidRequest(AttacheryError):
    """The request is invalid: `violations` has every field that breaks its rule.

    `str()` lists all of them, up to 20, each with at most 300 characters.
    """

    summary = "The request is invalid."
    code = StatusCode.INVALID_ARGUMENT
    next_action = "FIX_REQUEST"

    def _explanation(self) -> str:
        match self.violations:
            case []:
                return self.message
            case [Violation(field, reason, description)] if reason == self.reason and description:
                return _shortened(str(Violation(field, "", description)))
        listed = [_shortened(str(violation)) for violation in self.violations[:_MAX_LISTED]]
        more = len(self.violations) - len(listed)
        return "; ".join([*listed, *([f"and {more} more"] if more else [])])

    def _further_facts(self) -> Mapping[str, str]:
        """Leaves out the first violation's rule, which the explanation contains."""
        repeated = {"rule"} if self.violations else set()
        return {name: fact for name, fact in self.facts.items() if name not in repeated}


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"
