"""What is known of the call at hand, for the servicers and the log."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import grpc
from uuid_utils import uuid4

from attachery_service.domain.errors import CredentialsInvalid, CredentialsMissing
from attachery_service.domain.identity import Principal
from attachery_service.domain.rates import Allowance

Metadata = Iterable[tuple[str, str | bytes]]
Context = grpc.aio.ServicerContext[Any, Any]

REQUEST_ID_KEY = "x-request-id"

# Short and harmless in a log; anything else is replaced, never repeated.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:@/+=-]{1,64}")
_MAX_ATTEMPT_DIGITS = 2
_BEARER = "bearer "

_current: ContextVar[Call] = ContextVar("call")


@dataclass(slots=True)
class Call:
    """One RPC; what its later stages find out is filled in as they do."""

    method: str
    request_id: str
    credential: str | None
    attempt: int
    peer: str = ""
    principal: Principal | None = None
    tenant_id: str | None = None
    allowance: Allowance | None = None

    @classmethod
    def begin(cls, method: str, metadata: Metadata) -> None:
        """Reads the call's metadata, and makes it the current one."""
        given = dict(metadata)
        call = cls(
            method=method,
            request_id=request_id_of(given.get(REQUEST_ID_KEY)),
            credential=_text(given.get("authorization")),
            attempt=_attempt(given.get("grpc-previous-rpc-attempts")),
        )
        _current.set(call)

    def bearer_token(self) -> str:
        """Raises CredentialsMissing, CredentialsInvalid."""
        if not self.credential:
            raise CredentialsMissing
        if not self.credential.lower().startswith(_BEARER):
            raise CredentialsInvalid
        return self.credential[len(_BEARER) :].strip()


def current_call() -> Call:
    return _current.get()


def current_principal() -> Principal:
    """Who is calling; only within a method that needs a credential."""
    principal = _current.get().principal
    if principal is None:
        raise LookupError("this method was reached without a credential")
    return principal


def request_id_of(given: str | bytes | None) -> str:
    """The caller's request id if it is well-formed, else a new one; at most 64 characters."""
    text = _text(given)
    return text if text and _REQUEST_ID.fullmatch(text) else str(uuid4())


def _attempt(previous: str | bytes | None) -> int:
    text = _text(previous)
    return 1 + int(text) if text and text.isdecimal() and len(text) <= _MAX_ATTEMPT_DIGITS else 1


def _text(value: str | bytes | None) -> str | None:
    return value.decode("latin-1") if isinstance(value, bytes) else value
