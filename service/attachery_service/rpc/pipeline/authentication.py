"""Step `authentication`: finds the principal of a call."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from attachery_service.domain.errors import AttacheryError, CredentialsInvalid, CredentialsMissing
from attachery_service.domain.identity import Principal
from attachery_service.rpc.peers import peer_of
from attachery_service.rpc.pipeline.calls import Call
from attachery_service.rpc.pipeline.context import CREDENTIAL_KEY

_BEARER: Final = "bearer "
# RFC 6750, section 2.1. No comma and no space: two credentials joined by a proxy are invalid.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")


@dataclass(frozen=True, slots=True)
class Authentication:
    """Identifies the caller by the credential, or else by the client certificate."""

    authenticate: Callable[[str], Awaitable[Principal]]
    peers: Mapping[str, Principal]

    async def process(self, calls: Sequence[Call]) -> None:
        for call in calls:
            try:
                peer = self._peer(call) if call.credential is None else None
                call.principal = peer or await self.authenticate(_bearer_token(call))
            except AttacheryError as error:
                call.error = error

    def _peer(self, call: Call) -> Principal | None:
        return None if CREDENTIAL_KEY in call.repeated else peer_of(call.rpc, self.peers)


def _bearer_token(call: Call) -> str:
    """Raises CredentialsMissing; CredentialsInvalid also if there are several."""
    if CREDENTIAL_KEY in call.repeated:
        raise CredentialsInvalid
    if not call.credential:
        raise CredentialsMissing
    if not call.credential.lower().startswith(_BEARER):
        raise CredentialsInvalid
    token = call.credential[len(_BEARER) :].strip()
    if not _TOKEN.fullmatch(token):
        raise CredentialsInvalid
    return token
