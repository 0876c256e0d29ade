"""The client behind an HTTP proxy: which requests take it, and how its failures are reported."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from attachery_client import AttacheryClient, ProxyFailed, http
from attachery_client.http import HttpTransfer
from attachery_client.proxies import UnusableProxy, proxy_for
from attachery_client.transfer import read_body
from support.certificates import Authority
from support.http_proxy import http_proxy
from support.scripted_storage import SECRET, scripted_storage
from support.service_fixtures import ServiceUnderTest

PROXY = "http://proxy.example:3128"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "grpc_proxy", "no_grpc_proxy")


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(http, "_PAUSES", (0.0, 0.0, 0.0))
    return monkeypatch


@pytest.fixture
async def transfer() -> AsyncIterator[HttpTransfer]:
    opened = HttpTransfer()
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("environ", "url", "expected"),
    [
        ({"http_proxy": PROXY}, "http://store/b", PROXY),
        ({"HTTP_PROXY": PROXY}, "http://store/b", PROXY),
        ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, "http://store/b", None),
        ({"http_proxy": PROXY, "REQUEST_METHOD": "GET"}, "http://store/b", PROXY),
        ({"http_proxy": PROXY}, "https://store/b", None),
        ({"HTTPS_PROXY": PROXY}, "https://store/b", PROXY),
        ({"https_proxy": PROXY}, "http://store/b", None),
        ({"https_proxy": "", "HTTPS_PROXY": PROXY}, "https://store/b", None),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://other"}, "https://store/b", PROXY),
        ({"ALL_PROXY": PROXY}, "https://store/b", PROXY),
        ({"all_proxy": PROXY, "http_proxy": ""}, "http://store/b", None),
        ({"http_proxy": "proxy.example:3128"}, "http://store/b", PROXY),
        ({"http_proxy": "http://proxy"}, "http://store/b", "http://proxy:80"),
        ({"http_proxy": "https://proxy"}, "http://store/b", "https://proxy:443"),
        ({"http_proxy": "http://[::1]:8080"}, "http://store/b", "http://[::1]:8080"),
        ({"http_proxy": "http://user:pass@proxy:1"}, "http://store/b", "http://proxy:1"),
        ({}, "http://store/b", None),
    ],
)
def test_the_proxy_is_the_one_for_the_scheme(
    environ: dict[str, str], url: str, expected: str | None
) -> None:
    proxy = proxy_for(url, environ)
    assert (proxy and proxy.address) == expected


@pytest.mark.parametrize(
    ("no_proxy", "excluded", "proxied"),
    [
        ("*", ["http://store", "http://10.1.2.3"], []),
        (
            "example.com",
            ["http://example.com", "http://S3.Example.COM:9000/"],
            ["http://ample.com"],
        ),
        (
            ".example.com",
            ["http://example.com", "http://a.b.example.com"],
            ["http://anexample.com"],
        ),
        ("*.example.com", ["http://a.example.com"], ["http://example.org"]),
        ("example.com.", ["http://example.com", "http://example.com./"], []),
        ("other, example.com", ["http://example.com", "http://other"], ["http://third"]),
        ("other example.com", ["http://example.com", "http://other"], ["http://third"]),
        ("store:9000", ["http://store:9000"], ["http://store", "http://store:9001"]),
        ("store:80", ["http://store", "http://store:80"], ["http://store:8080"]),
        ("10.0.0.0/8", ["http://10.1.2.3:9000"], ["http://11.1.2.3", "http://10.example.com"]),
        ("10.1.2.3", ["http://10.1.2.3"], ["http://110.1.2.3", "http://10.1.2.30"]),
        ("10.1.2.3:9000", ["http://10.1.2.3:9000"], ["http://10.1.2.3"]),
        ("fd00::/8", ["http://[fd12::1]:9000"], ["http://[fe80::1]"]),
        ("::1", ["http://[0:0::1]"], ["http://[::2]"]),
        ("[::1]:9000", ["http://[::1]:9000"], ["http://[::1]"]),
        ("", [], ["http://store"]),
        (",. ,", [], ["http://store"]),
    ],
)
def test_no_proxy_names_hosts_to_reach_directly(
    no_proxy: str, excluded: list[str], proxied: list[str]
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        environ = {"http_proxy": PROXY, name: no_proxy}
        assert [proxy_for(url, environ) for url in excluded] == [None] * len(excluded)
        assert all(proxy_for(url, environ) for url in proxied)


@pytest.mark.parametrize(
    "proxy", ["socks5://u:s3cret@proxy:1080", "http://u:s3cret@:80", "http://["]
)
def test_an_unusable_proxy_is_explained_without_its_credentials(proxy: str) -> None:
    with pytest.raises(UnusableProxy, match="https_proxy") as caught:
        proxy_for("https://store", {"https_proxy": proxy})
    assert "s3cret" not in str(caught.value)


def test_a_proxy_never_shows_its_credentials() -> None:
    proxy = proxy_for("http://store", {"http_proxy": "http://user:s3cret@proxy"})
    assert "s3cret" not in repr(proxy)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
async def test_files_go_up_and_down_through_the_proxy(
    client: AttacheryClient, transfer: HttpTransfer, environ: pytest.MonkeyPatch, name: str
) -> None:
    await client.get_upload_policy(tenant_id="acme")  # connected before the proxy is set
    async with http_proxy() as proxy:
        environ.setenv(name, proxy.url())
        put = await client.upload(b"hello", tenant_id="acme", filename="a.txt")
        assert await client.download(put.attachment_id, tenant_id="acme") == b"hello"
        form = await client.start_upload_session(
            tenant_id="acme", filename="a.txt", content_type="text/plain"
        )
        await transfer.send(form.target, read_body(b"hello", ()))
    assert proxy.methods == ["PUT", "GET", "POST"]


async def test_excluded_storage_is_reached_directly(
    client: AttacheryClient, environ: pytest.MonkeyPatch
) -> None:
    async with http_proxy() as proxy:
        environ.setenv("HTTP_PROXY", proxy.url())
        environ.setenv("NO_PROXY", "localhost,127.0.0.0/8")
        await client.upload(b"hello", tenant_id="acme", filename="a.txt")
    assert proxy.requests == []


async def test_credentials_are_shown_to_the_proxy_and_not_to_storage(
    transfer: HttpTransfer, environ: pytest.MonkeyPatch
) -> None:
    async with http_proxy("us er:p@ss:wörd") as proxy, scripted_storage() as storage:
        environ.setenv("http_proxy", proxy.url("us%20er:p%40ss:w%C3%B6rd"))
        await transfer.fetch(storage.url, BytesIO())
        await transfer.fetch(storage.url, BytesIO())
    assert len(storage.received) == 2
    assert all(not name.startswith("proxy") for r in storage.received for name, _ in r.headers)


HTTPS_FETCH = """
import asyncio, io, sys
from attachery_client.http import HttpTransfer

async def main():
    transfer, sink = HttpTransfer(), io.BytesIO()
    try:
        await transfer.fetch(sys.argv[1], sink)
    finally:
        await transfer.close()
    print(sink.getvalue().decode())

asyncio.run(main())
"""


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_https_is_tunnelled(tmp_path: Path, scheme: str) -> None:
    authority = Authority("proxy test")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*authority.issue("127.0.0.1").write(tmp_path, "server"))

    async def content(request: web.Request) -> web.Response:
        return web.Response(text=",".join(sorted(request.headers)))

    app = web.Application()
    app.router.add_get("/{path:.*}", content)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        port = runner.addresses[0][1]
        async with http_proxy("u:p", tls if scheme == "https" else None) as proxy:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", HTTPS_FETCH, f"https://127.0.0.1:{port}/b/k?{SECRET}"),
                env={
                    "HTTPS_PROXY": proxy.url("u:p", scheme),
                    "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
                },
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await process.communicate()
    finally:
        await runner.cleanup()
    assert out.decode().strip() == "Host"
    assert proxy.requests == [f"CONNECT 127.0.0.1:{port} HTTP/1.1"]


async def refused(transfer: HttpTransfer, url: str) -> ProxyFailed:
    with pytest.raises(ProxyFailed) as caught:
        await transfer.fetch(url, BytesIO())
    error = caught.value
    assert error.__context__ is None
    assert not {"s3cret", SECRET} & {*str(error).split(), *repr(error).split()}
    assert "s3cret" not in str(error)
    assert SECRET not in str(error)
    return error


@pytest.mark.parametrize(
    ("refusal", "attempts", "words"),
    [
        ("407 Proxy Authentication Required", 1, "credentials"),
        ("403 Forbidden", 1, "refused"),
        ("502 Bad Gateway", 4, "refused"),
        ("504 Gateway Timeout", 4, "refused"),
    ],
)
async def test_a_refused_tunnel_is_the_proxys_failure(
    transfer: HttpTransfer, environ: pytest.MonkeyPatch, refusal: str, attempts: int, words: str
) -> None:
    async with http_proxy() as proxy:
        proxy.refusal = refusal
        environ.setenv("https_proxy", proxy.url("user:s3cret"))
        error = await refused(transfer, f"https://127.0.0.1:1/?{SECRET}")
    assert (error.status, error.reason) == (int(refusal[:3]), "PROXY_FAILED")
    assert words in str(error)
    assert proxy.url() in str(error)
    assert len(proxy.requests) == attempts


async def test_wrong_credentials_for_a_forwarded_request_are_the_proxys_failure(
    transfer: HttpTransfer, environ: pytest.MonkeyPatch
) -> None:
    async with http_proxy("user:right") as proxy, scripted_storage() as storage:
        environ.setenv("http_proxy", proxy.url("user:s3cret"))
        error = await refused(transfer, storage.url)
    assert error.status == 407
    assert storage.received == []
    assert len(proxy.requests) == 1


async def test_a_proxy_that_is_down_is_named(
    transfer: HttpTransfer, environ: pytest.MonkeyPatch
) -> None:
    environ.setenv("http_proxy", "http://user:s3cret@127.0.0.1:1")
    error = await refused(transfer, f"http://127.0.0.1:2/?{SECRET}")
    assert "http://127.0.0.1:1" in str(error)
    assert error.status is None


async def test_a_socks_proxy_is_refused_at_once(
    transfer: HttpTransfer, environ: pytest.MonkeyPatch
) -> None:
    environ.setenv("ALL_PROXY", "socks5://user:s3cret@127.0.0.1:1080")
    error = await refused(transfer, f"https://127.0.0.1:2/?{SECRET}")
    assert "socks5" in str(error)


async def test_a_silent_proxy_is_not_waited_for_without_end(
    transfer: HttpTransfer, environ: pytest.MonkeyPatch
) -> None:
    limits = aiohttp.ClientTimeout(total=None, connect=0.05, sock_connect=10, sock_read=60)
    environ.setattr(transfer._session, "_timeout", limits)
    async with http_proxy() as proxy:
        proxy.is_silent = True
        environ.setenv("https_proxy", proxy.url())
        with pytest.raises(Exception, match="connection"):
            await transfer.fetch(f"https://127.0.0.1:1/?{SECRET}", BytesIO())
    assert len(proxy.requests) == 4


@pytest.mark.parametrize(
    ("no_proxy", "expected"), [("", ["CONNECT"]), ("127.0.0.1", []), ("127.0.0.0/8", [])]
)
async def test_calls_go_through_the_proxy_as_grpc_has_it(
    service: ServiceUnderTest, environ: pytest.MonkeyPatch, no_proxy: str, expected: list[str]
) -> None:
    async with http_proxy() as proxy:
        environ.setenv("https_proxy", proxy.url())
        environ.setenv("no_proxy", no_proxy)
        async with AttacheryClient(service.target, api_key=service.api_key) as client:
            await client.get_upload_policy(tenant_id="acme")
        assert proxy.methods == expected


@pytest.mark.parametrize("name", ["grpc_proxy", "http_proxy"])
async def test_calls_can_be_kept_off_the_proxy(
    service: ServiceUnderTest, environ: pytest.MonkeyPatch, name: str
) -> None:
    options = [("grpc.enable_http_proxy", 0)]
    async with http_proxy() as proxy:
        environ.setenv(name, proxy.url())
        async with AttacheryClient(
            service.target, api_key=service.api_key, options=options
        ) as client:
            await client.get_upload_policy(tenant_id="acme")
    assert proxy.requests == []
