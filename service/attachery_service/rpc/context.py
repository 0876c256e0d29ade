"""The context of one call, passed to each servicer as an argument."""

from __future__ import annotations

import asyncio
import math
import re
from dataclasses import dataclass
from typing import Any, Final

import grpc
from uuid_utils import uuid4

from attachery_service.domain.identity import Principal
from attachery_service.domain.rates import Allowance
from attachery_service.rpc.status import DOCS_URL

ServicerContext = grpc.aio.ServicerContext[Any, Any]

REQUEST_ID_KEY: Final = "x-request-id"
ATTEMPT_KEY: Final = "x-attempt"
PREVIOUS_ATTEMPTS_KEY: Final = "grpc-previous-rpc-attempts"

# Short and harmless in a log; any other id is replaced, never repeated.
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:@/+=-]{1,64}")
_MAX_ATTEMPT_DIGITS: Final = 2

# The principal of a call that is not authenticated: without a tenant and without a scope.
ANONYMOUS: Final = Principal(name="", tenants=frozenset(), scopes=frozenset())


@dataclass(slots=True, kw_only=True)
class CallContext:
    """One call, as far as its steps have got; each step fills in its own results.

    `method`: its full path. `deadline`: by the monotonic clock. `attempt`: 2 for a client's first
    retry. `peer`: the caller's address. `tenant_id`: set once the principal may act for it.
    `traceparent`: the caller's W3C trace context, or empty. `ending`: for a stream, set
    when the server asks it to end. `docs_url`: the page that the links in its errors lead to.
    """

    method: str
    request_id: str = ""
    attempt: int = 1
    peer: str = ""
    traceparent: str = ""
    deadline: float = math.inf
    principal: Principal = ANONYMOUS
    tenant_id: str | None = None
    allowance: Allowance | None = None
    ending: asyncio.Event | None = None
    docs_url: str = DOCS_URL


class PlainStatusError(Exception):
    """A failure in one of gRPC's own services. Their contract has no error details."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def request_id_of(given: str | bytes | None) -> str:
    """The caller's request id if it is well-formed, else a new one; at most 64 characters."""
    if isinstance(given, str) and _REQUEST_ID.fullmatch(given):
        return given
    return str(uuid4())


def attempt_of(previous: str | bytes | None) -> int:
    """The number of an attempt after `previous` ones; 1 for a value that is no such number."""
    if isinstance(previous, str) and previous.isdecimal() and len(previous) <= _MAX_ATTEMPT_DIGITS:
        return 1 + int(previous)
    return 1
