"""Object storage behind an HTTP proxy: every request of the service goes through it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from attachery_client.http import HttpTransfer
from attachery_client.transfer import read_body
from attachery_service.domain.errors import StorageMisconfigured
from attachery_service.s3.bucket.probing import probe
from attachery_service.s3.client import StorageOptions, ensure_bucket, open_storage
from support.http_proxy import HttpProxy, http_proxy
from support.service_fixtures import MakeService
from support.store_fixtures import StoreUnderTest

# Only the proxy can resolve this name (RFC 6761): a request that bypasses it fails.
ENDPOINT = "http://storage.invalid:9000"


@pytest.fixture
async def proxy(
    object_store: StoreUnderTest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[HttpProxy]:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    parts = urlsplit(object_store.endpoint)
    async with http_proxy("user:p@ss") as opened:
        opened.upstream = parts.hostname or "", parts.port or 80
        monkeypatch.setenv("all_proxy", opened.url("user:p%40ss"))
        # gRPC calls of the test itself stay direct.
        monkeypatch.setenv("no_proxy", "127.0.0.0/8")
        yield opened


def options(object_store: StoreUnderTest, bucket: str, **others: Any) -> StorageOptions:
    values: dict[str, Any] = {
        "bucket": bucket,
        "endpoint": ENDPOINT,
        "access_key": object_store.access_key,
        "secret_key": object_store.secret_key,
    }
    return StorageOptions(**{**values, **others})


async def test_the_probe_goes_through_the_proxy(
    proxy: HttpProxy, object_store: StoreUnderTest, bucket: str
) -> None:
    async with open_storage(options(object_store, bucket)) as storage:
        report = await probe(storage)
    assert report.write_once
    assert {"HEAD", "PUT", "GET", "DELETE"} <= set(proxy.methods)


async def test_a_bucket_is_made_through_the_proxy(
    proxy: HttpProxy, object_store: StoreUnderTest, bucket: str
) -> None:
    async with open_storage(options(object_store, f"{bucket}-2")) as storage:
        await ensure_bucket(storage)
    assert proxy.methods == ["HEAD", "PUT"]


@pytest.mark.parametrize("sized", [True, False])
async def test_a_session_is_completed_through_the_proxy(
    proxy: HttpProxy, make_service: MakeService, sized: bool
) -> None:
    service = await make_service(s3_endpoint=ENDPOINT, seal="auto")
    started = await service.start(**({"size_bytes": 6} if sized else {}))
    transfer = HttpTransfer()
    await transfer.send(started.target, read_body(b"hello\n", ()))
    await transfer.close()
    completed = await service.complete(started.session.attachment_id)
    assert completed.attachment.size_bytes == 6
    assert {"HEAD", "GET"} <= set(proxy.methods)


async def test_excluded_storage_is_reached_directly(
    proxy: HttpProxy, object_store: StoreUnderTest, bucket: str
) -> None:
    async with open_storage(
        options(object_store, bucket, endpoint=object_store.endpoint)
    ) as storage:
        await probe(storage)
    assert proxy.requests == []


async def test_a_proxy_that_cannot_be_used_is_a_misconfiguration(
    object_store: StoreUnderTest, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "socks5://user:s3cret@127.0.0.1:1080")
    with pytest.raises(StorageMisconfigured) as caught:
        async with open_storage(options(object_store, bucket)):
            pass
    assert "socks5" in caught.value.facts["detail"]
    assert "s3cret" not in str(caught.value)
