"""Step `authentication`."""

from __future__ import annotations

import pytest

from attachery_service.domain.errors import CredentialsInvalid, CredentialsMissing
from attachery_service.domain.identity import Principal
from attachery_service.rpc.context import ANONYMOUS
from attachery_service.rpc.pipeline.authentication import Authentication
from support.pipeline_calls import Rpc, call, principal

PEER = principal(name="by certificate")


async def by_key(token: str) -> Principal:
    if token != "good":
        raise CredentialsInvalid
    return principal(name="by key")


STEP = Authentication(by_key, {"mailer.internal": PEER})


async def test_each_call_gets_its_own_principal_or_error() -> None:
    certificate = Rpc(names={"peer_dns": [b"Mailer.internal"]})
    calls = [
        call(credential="Bearer good"),
        call(credential="bearer other"),
        call(rpc=certificate),
        call(rpc=certificate, credential="Bearer good"),
        call(),
    ]
    await STEP.process(calls)
    names = [each.principal.name for each in calls]
    assert names == ["by key", "", "by certificate", "by key", ""]
    assert [type(each.error) for each in calls if each.error] == [
        CredentialsInvalid,
        CredentialsMissing,
    ]


@pytest.mark.parametrize("credential", ["good", "Basic good", "Bearer a b", "Bearer a,b", "Bearer"])
async def test_a_malformed_credential_is_invalid(credential: str) -> None:
    malformed = call(credential=credential)
    await STEP.process([malformed])
    assert isinstance(malformed.error, CredentialsInvalid)
    assert malformed.principal is ANONYMOUS


async def test_a_certificate_does_not_make_up_for_repeated_credentials() -> None:
    certificate = Rpc(names={"peer_dns": [b"mailer.internal"]})
    repeating = call(rpc=certificate, repeated={"authorization"})
    await STEP.process([repeating])
    assert isinstance(repeating.error, CredentialsInvalid)
