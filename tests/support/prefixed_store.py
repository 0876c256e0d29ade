"""Object storage below a path, as Supabase has it.

The gateway strips a prefix from the path; the signature covers the path that the client sent.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import parse_qsl, quote

import aiohttp
from aiohttp import web
from yarl import URL

from support.bad_stores import running
from support.store_fixtures import StoreUnderTest

PREFIX = "/storage/v1/s3"


@dataclass
class PrefixedStore:
    """The gateway's endpoint, and the requests that it has forwarded."""

    store: StoreUnderTest
    http: aiohttp.ClientSession
    endpoint: str = ""
    passed: list[str] = field(default_factory=list)

    async def handle(self, request: web.BaseRequest) -> web.Response:
        path = request.raw_path.partition("?")[0]
        if not path.startswith(f"{PREFIX}/"):
            return web.Response(status=404)
        headers = {n: v for n, v in request.headers.items() if n.lower() != "transfer-encoding"}
        query = parse_qsl(request.raw_path.partition("?")[2], keep_blank_values=True)
        inner = path.removeprefix(PREFIX)
        signed = Signed.of(request.method, headers, query)
        if signed is not None:
            if signed.by(self.store.secret_key, path) != signed.signature:
                return web.Response(
                    status=403, body=b"<Error><Code>SignatureDoesNotMatch</Code></Error>"
                )
            other = signed.by(self.store.secret_key, inner)
            headers = {n: v.replace(signed.signature, other) for n, v in headers.items()}
            query = [(n, v.replace(signed.signature, other)) for n, v in query]
        self.passed.append(f"{request.method} {path}")
        return await self._pass_on(request, f"{inner}?{encoded(query)}", headers)

    async def _pass_on(
        self, request: web.BaseRequest, path: str, headers: Mapping[str, str]
    ) -> web.Response:
        async with self.http.request(
            request.method,
            URL(f"{self.store.endpoint}{path}".rstrip("?"), encoded=True),
            headers=headers,
            data=await request.read(),
            skip_auto_headers=("Content-Type", "Accept", "Accept-Encoding", "User-Agent"),
        ) as answer:
            dropped = {"connection", "keep-alive", "transfer-encoding", "content-length"}
            kept = {n: v for n, v in answer.headers.items() if n.lower() not in dropped}
            if request.method == "HEAD" and "Content-Length" in answer.headers:
                kept["Content-Length"] = answer.headers["Content-Length"]
            return web.Response(
                status=answer.status, headers=kept, body=await answer.read() or None
            )


@dataclass(frozen=True)
class Signed:
    """A request signed with SigV4, in a header or in the query, as AWS documents it."""

    method: str
    headers: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    names: str
    scope: str
    time: str
    payload: str
    signature: str

    @classmethod
    def of(
        cls, method: str, headers: Mapping[str, str], query: Sequence[tuple[str, str]]
    ) -> Signed | None:
        """Returns None for a form, whose policy is signed without a path."""
        lower, asked = {n.lower(): v for n, v in headers.items()}, dict(query)
        if "X-Amz-Signature" in asked:
            rest = [(n, v) for n, v in query if n != "X-Amz-Signature"]
            names, time = asked["X-Amz-SignedHeaders"], asked["X-Amz-Date"]
            credential, signature = asked["X-Amz-Credential"], asked["X-Amz-Signature"]
            payload = "UNSIGNED-PAYLOAD"
        elif "authorization" in lower:
            fields = dict(
                part.split("=", 1) for part in lower["authorization"].partition(" ")[2].split(", ")
            )
            rest, names, time = list(query), fields["SignedHeaders"], lower["x-amz-date"]
            credential, signature = fields["Credential"], fields["Signature"]
            payload = lower["x-amz-content-sha256"]
        else:
            return None
        scope = credential.partition("/")[2]
        return cls(method, lower, rest, names, scope, time, payload, signature)

    def by(self, secret: str, path: str) -> str:
        """The signature of this request at another path."""
        fields = "".join(f"{n}:{self.headers.get(n, '').strip()}\n" for n in self.names.split(";"))
        query = "&".join(sorted(encoded([pair]) for pair in self.query))
        canonical = f"{self.method}\n{path}\n{query}\n{fields}\n{self.names}\n{self.payload}"
        digest = sha256(canonical.encode()).hexdigest()
        key = f"AWS4{secret}".encode()
        for part in self.scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        text = f"AWS4-HMAC-SHA256\n{self.time}\n{self.scope}\n{digest}"
        return hmac.new(key, text.encode(), "sha256").hexdigest()


def encoded(query: Sequence[tuple[str, str]]) -> str:
    return "&".join(f"{quote(n, safe='~')}={quote(v, safe='~')}" for n, v in query)


@asynccontextmanager
async def prefixed_store(store: StoreUnderTest) -> AsyncIterator[PrefixedStore]:
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        gateway = PrefixedStore(store, http)
        async with running(gateway.handle) as origin:
            gateway.endpoint = f"{origin}{PREFIX}"
            yield gateway
