"""What is known of the call at hand, for the servicers and the log."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import grpc
from uuid_utils import uuid4

from attachery_service.domain import inputs
from attachery_service.domain.errors import CredentialsInvalid, CredentialsMissing, Violation
from attachery_service.domain.identity import Principal
from attachery_service.domain.rates import Allowance

Metadata = Iterable[tuple[str, str | bytes]]
Context = grpc.aio.ServicerContext[Any, Any]

REQUEST_ID_KEY = "x-request-id"
_CREDENTIAL_KEY = "authorization"
_ATTEMPT_KEY = "grpc-previous-rpc-attempts"

# Short and harmless in a log; anything else is replaced, never repeated.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:@/+=-]{1,64}")
_MAX_ATTEMPT_DIGITS = 2
_BEARER = "bearer "
# RFC 6750, section 2.1. No comma and no space: two credentials that a proxy has joined are none.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")

_current: ContextVar[Call] = ContextVar("call")


@dataclass(slots=True)
class Call:
    """One RPC; what its later stages find out is filled in as they do.

    `cause`: the type of the exception that made it fail. `repeated`: the keys that its metadata
    has more than once. Those of the credential and the request id must not be among them: a proxy
    may have judged another entry than the service would.
    """

    method: str
    request_id: str
    credential: str | None
    attempt: int
    peer: str = ""
    principal: Principal | None = None
    tenant_id: str | None = None
    allowance: Allowance | None = None
    cause: str = ""
    repeated: Collection[str] = ()

    @classmethod
    def begin(cls, method: str, metadata: Metadata) -> None:
        """Reads the call's metadata, and makes it the current one."""
        entries = tuple(metadata)
        given = dict(entries)
        repeated = () if len(given) == len(entries) else _repeated_keys(entries)
        call = cls(
            method=method,
            request_id=request_id_of(
                None if REQUEST_ID_KEY in repeated else given.get(REQUEST_ID_KEY)
            ),
            credential=_text(given.get(_CREDENTIAL_KEY)),
            attempt=1 if _ATTEMPT_KEY in repeated else _attempt(given.get(_ATTEMPT_KEY)),
            repeated=repeated,
        )
        _current.set(call)

    def bearer_token(self) -> str:
        """Raises CredentialsMissing; CredentialsInvalid also where there is more than one."""
        if _CREDENTIAL_KEY in self.repeated:
            raise CredentialsInvalid
        if not self.credential:
            raise CredentialsMissing
        if not self.credential.lower().startswith(_BEARER):
            raise CredentialsInvalid
        token = self.credential[len(_BEARER) :].strip()
        if not _TOKEN.fullmatch(token):
            raise CredentialsInvalid
        return token

    def require_one_request_id(self) -> None:
        """Raises InvalidRequest if the metadata has several; the call itself got a new one."""
        if REQUEST_ID_KEY in self.repeated:
            rule = "must be in the metadata once at most"
            raise inputs.invalid([Violation(REQUEST_ID_KEY, "INVALID_REQUEST_ID", rule)])


def current_call() -> Call:
    return _current.get()


def current_principal() -> Principal:
    """Who is calling; only within a method that needs a credential."""
    principal = _current.get().principal
    if principal is None:
        raise LookupError("this method was reached without a credential")
    return principal


def _repeated_keys(entries: Iterable[tuple[str, str | bytes]]) -> frozenset[str]:
    counts = Counter(key for key, _ in entries)
    return frozenset(key for key, count in counts.items() if count > 1)


def request_id_of(given: str | bytes | None) -> str:
    """The caller's request id if it is well-formed, else a new one; at most 64 characters."""
    text = _text(given)
    return text if text and _REQUEST_ID.fullmatch(text) else str(uuid4())


def _attempt(previous: str | bytes | None) -> int:
    text = _text(previous)
    return 1 + int(text) if text and text.isdecimal() and len(text) <= _MAX_ATTEMPT_DIGITS else 1


def _text(value: str | bytes | None) -> str | None:
    return value.decode("latin-1") if isinstance(value, bytes) else value
