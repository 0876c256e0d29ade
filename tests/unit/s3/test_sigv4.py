"""Signatures match AWS's documentation, and both of the SDK's signers."""

from __future__ import annotations

import string
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import botocore.auth
import botocore.crt.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from attachery_service.s3.signing.sigv4 import (
    Request,
    SigningIdentity,
    encoded_path,
    signed_headers,
    signed_url,
)

# The examples of "Authenticating Requests (AWS Signature Version 4)" for Amazon S3.
DOCUMENTED = ReadOnlyCredentials(
    "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None
)
DAY = int(datetime(2013, 5, 24, tzinfo=UTC).timestamp())
HOST = "examplebucket.s3.amazonaws.com"
SDK_SIGNERS = [
    pytest.param(botocore.auth, botocore.auth.S3SigV4Auth, id="botocore"),
    pytest.param(botocore.crt.auth, botocore.crt.auth.CrtS3SigV4Auth, id="awscrt"),
]
CASES = 1_000
SEED = 5


def documented(method: str, path: str, **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, f"https://{HOST}", HOST, path, {}, named)


def as_identity(credentials: ReadOnlyCredentials = DOCUMENTED, now: int = DAY) -> SigningIdentity:
    return SigningIdentity(credentials, "us-east-1", now)  # type: ignore[arg-type]


def signature_of(credentials: ReadOnlyCredentials, now: int = DAY) -> str:
    url = signed_url(documented("GET", "/key"), as_identity(credentials, now), 60)
    return url.rpartition("=")[2]


def test_a_url_is_signed_as_documented() -> None:
    url = signed_url(documented("GET", "/test.txt"), as_identity(), 86400)

    assert url.endswith(
        "X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


def test_a_request_is_signed_as_documented() -> None:
    request = documented("GET", "/test.txt", range="bytes=0-9")

    assert signed_headers(request, as_identity())["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


@dataclass(frozen=True)
class Case:
    """A request without a body, its signer and its time."""

    request: Request
    identity: SigningIdentity


def some_text(random: Random, alphabet: str, longest: int = 40) -> str:
    return "".join(random.choices(alphabet, k=random.randint(1, longest)))


def cases() -> list[Case]:
    """The same cases in every run."""
    random = Random(SEED)  # noqa: S311
    return [some_case(random) for _ in range(CASES)]


def some_case(random: Random) -> Case:
    host = random.choice(["s3.amazonaws.com", "127.0.0.1:9000", "store:8443", "[::1]:9000"])
    scheme = random.choice(["http", "https"])
    key = some_text(random, f"{string.ascii_letters}{string.digits}-._~/ +%'()*!$&@:,;=é日")
    offered = {
        "range": f"bytes=0-{random.randint(0, 9999)}",
        "if-match": f'"{some_text(random, string.hexdigits)}"',
        "x-amz-checksum-mode": "ENABLED",
    }
    names = random.sample(sorted(offered), random.randint(0, len(offered)))
    request = Request(
        random.choice(["HEAD", "GET"]),
        f"{scheme}://{host}",
        host,
        encoded_path(f"/bucket/{key}"),
        {},
        {name: offered[name] for name in names},
    )
    token = random.choice([None, some_text(random, f"{string.ascii_letters}/+=", 900)])
    credentials = ReadOnlyCredentials(
        some_text(random, string.ascii_uppercase), some_text(random, string.printable[:62]), token
    )
    region = random.choice(["us-east-1", "eu-central-1", "default"])
    return Case(request, SigningIdentity(credentials, region, random.randrange(2**32)))  # type: ignore[arg-type]


@pytest.mark.parametrize(("module", "signer"), SDK_SIGNERS)
def test_headers_are_those_of_the_sdk(module: Any, signer: Any) -> None:
    for case in cases():
        own = signed_headers(case.request, case.identity)
        assert own == by_the_sdk(module, signer, case), case.request


def by_the_sdk(module: Any, signer: Any, case: Case) -> dict[str, str]:
    request, (credentials, region, now) = case.request, case.identity
    moment = datetime.fromtimestamp(now, UTC)

    def then(remove_tzinfo: bool = True) -> datetime:
        return moment.replace(tzinfo=None) if remove_tzinfo else moment

    url = request.origin + request.path
    asked = AWSRequest(request.method, url, headers=dict(request.headers))
    with patch.object(module, "get_current_datetime", then):
        signer(credentials, "s3", region).add_auth(asked)
    headers = {name.lower(): value for name, value in asked.headers.items()}
    # The HTTP client adds it.
    return {"host": urlsplit(url).netloc, **headers}


def test_a_day_has_a_key_of_its_own() -> None:
    last_second = DAY + 86_399

    assert signature_of(DOCUMENTED, last_second) != signature_of(DOCUMENTED, last_second + 1)
    url = signed_url(documented("GET", "/key"), as_identity(now=last_second + 1), 60)
    assert "X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130525%2F" in url
    assert "X-Amz-Date=20130525T000000Z" in url


def test_a_key_that_was_kept_signs_for_no_other_secret() -> None:
    rotated = DOCUMENTED._replace(secret_key="another")
    fresh = [signature_of(DOCUMENTED), signature_of(rotated)]

    kept = [signature_of(DOCUMENTED), signature_of(rotated)]

    assert fresh == kept
    assert len(set(fresh)) == 2


def test_requests_and_representations_omit_the_secret() -> None:
    credentials = ReadOnlyCredentials("AKIA", "TOPSECRET", None)
    request, identity = documented("GET", "/key"), as_identity(credentials)

    shown = f"{signed_url(request, identity, 60)} {signed_headers(request, identity)} {identity}"

    assert "TOPSECRET" not in shown
