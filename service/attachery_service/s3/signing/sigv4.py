"""AWS Signature Version 4 for S3: in the query of a URL, in a form, or in a header.

Pure functions: the same credentials, region and time give the same signature. It equals the SDK's
byte for byte; tests compare thousands of generated cases. The SDK builds a general request and a
new signer for each URL. Values that stay the same for a day are cached, such as the key as a keyed
HMAC: between other work, rarely executed code takes five times as long as in a tight loop.

Gain, versions and switch: see `signers` for URLs and forms, `s3/http/fast_reads.py` for headers.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import quote

ALGORITHM: Final = "AWS4-HMAC-SHA256"
_SERVICE: Final = "s3"
_UNSIGNED_BODY: Final = "UNSIGNED-PAYLOAD"
_NO_BODY: Final = sha256(b"").hexdigest()
# Under load, many signatures have the same second.
_KEPT_TIMES: Final = 4
# Around midnight, and at a change of credentials, two of each are in use.
_KEPT_KEYS: Final = 16
# Most words of a query recur in the next one, including a long session token.
_KEPT_WORDS: Final = 128


class Credentials(Protocol):
    """The SDK's frozen credentials; only temporary ones have a token."""

    @property
    def access_key(self) -> str: ...
    @property
    def secret_key(self) -> str: ...
    @property
    def token(self) -> str | None: ...


class SigningIdentity(NamedTuple):
    """The credentials, region and time (seconds since 1970) of a signature."""

    credentials: Credentials
    region: str
    now: int

    def __repr__(self) -> str:
        """Omits the secret."""
        return f"SigningIdentity(region={self.region!r}, now={self.now})"


class Request(NamedTuple):
    """The parts of a request that a signature covers.

    `origin`: scheme, host and port. `host`: the Host header, without a scheme's usual port.
    `path`: percent-encoded, as it is sent. `query`: not encoded. `headers`: names in lower case,
    values without white space at their ends and with no more than one blank in a row.
    """

    method: str
    origin: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


class Form(NamedTuple):
    """An upload to one key. `conditions` must permit every field."""

    bucket: str
    key: str
    fields: Mapping[str, str]
    conditions: Sequence[Any]


def encoded_path(text: str) -> str:
    """A path as S3 signs it: percent-encoded except letters, digits and `-._~/`."""
    return quote(text, safe="/~")


def signed_url(request: Request, identity: SigningIdentity, seconds: int) -> str:
    """Signs a URL that is valid for `seconds`, for requests with exactly these headers."""
    key, time = _key_and_time(identity)
    headers = {**request.headers, "host": request.host}
    parameters = {
        **request.query,
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": key.credential,
        "X-Amz-Date": time,
        "X-Amz-SignedHeaders": _names(headers),
        "X-Amz-Expires": str(seconds),
    }
    if token := identity.credentials.token:
        parameters["X-Amz-Security-Token"] = token
    query = _encoded_query(parameters)
    canonical = _canonical(request, sorted(query), headers, _UNSIGNED_BODY)
    signature = _signature(canonical, key, time)
    return f"{request.origin}{request.path}?{'&'.join(query)}&X-Amz-Signature={signature}"


def signed_headers(request: Request, identity: SigningIdentity) -> dict[str, str]:
    """Returns all headers to send with a request without a body."""
    key, time = _key_and_time(identity)
    headers = {
        **request.headers,
        "host": request.host,
        "x-amz-content-sha256": _NO_BODY,
        "x-amz-date": time,
    }
    if token := identity.credentials.token:
        headers["x-amz-security-token"] = token
    query = sorted(_encoded_query(request.query))
    signature = _signature(_canonical(request, query, headers, _NO_BODY), key, time)
    headers["authorization"] = (
        f"{ALGORITHM} Credential={key.credential}, "
        f"SignedHeaders={_names(headers)}, Signature={signature}"
    )
    return headers


def signed_form(form: Form, identity: SigningIdentity, seconds: int) -> dict[str, str]:
    """Returns all fields that precede the file, valid for `seconds`."""
    key, time = _key_and_time(identity)
    stamp = {
        "x-amz-algorithm": ALGORITHM,
        "x-amz-credential": key.credential,
        "x-amz-date": time,
    }
    if token := identity.credentials.token:
        stamp["x-amz-security-token"] = token
    expiration = datetime.fromtimestamp(identity.now + seconds, UTC)
    places = {"bucket": form.bucket, "key": form.key, **stamp}
    policy = {
        "expiration": f"{expiration.isoformat()[:19]}Z",
        "conditions": [*form.conditions, *({name: value} for name, value in places.items())],
    }
    encoded = base64.b64encode(json.dumps(policy).encode())
    return {
        **form.fields,
        "key": form.key,
        **stamp,
        "policy": encoded.decode(),
        "x-amz-signature": key.sign(encoded),
    }


class _Key(NamedTuple):
    """The signing key of one day and region, and its scope."""

    scope: str
    credential: str
    mac: hmac.HMAC

    def sign(self, message: bytes) -> str:
        mac = self.mac.copy()
        mac.update(message)
        return mac.hexdigest()


def _key_and_time(identity: SigningIdentity) -> tuple[_Key, str]:
    credentials, region, now = identity
    time = _basic_time(now)
    return _key(credentials.access_key, credentials.secret_key, time[:8], region), time


@lru_cache(_KEPT_TIMES)
def _basic_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


@lru_cache(_KEPT_KEYS)
def _key(access_key: str, secret_key: str, date: str, region: str) -> _Key:
    parts = (date, region, _SERVICE, "aws4_request")
    key = f"AWS4{secret_key}".encode()
    for part in parts:
        key = hmac.digest(key, part.encode(), "sha256")
    scope = "/".join(parts)
    return _Key(scope, f"{access_key}/{scope}", hmac.new(key, digestmod="sha256"))


def _canonical(
    request: Request, query: Sequence[str], headers: Mapping[str, str], body: str
) -> str:
    lines = "".join([f"{name}:{headers[name]}\n" for name in sorted(headers)])
    first = f"{request.method}\n{request.path}\n{'&'.join(query)}\n"
    return f"{first}{lines}\n{_names(headers)}\n{body}"


def _signature(canonical: str, key: _Key, time: str) -> str:
    hashed = sha256(canonical.encode()).hexdigest()
    return key.sign(f"{ALGORITHM}\n{time}\n{key.scope}\n{hashed}".encode())


def _names(headers: Mapping[str, str]) -> str:
    return ";".join(sorted(headers))


def _encoded_query(parameters: Mapping[str, str]) -> list[str]:
    return [f"{_encoded(name)}={_encoded(value)}" for name, value in parameters.items()]


@lru_cache(_KEPT_WORDS)
def _encoded(text: str) -> str:
    return quote(text, safe="~")
