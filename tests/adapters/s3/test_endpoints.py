"""Endpoints below a path, with odd host names, and in other spellings."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from attachery.v1 import resources_pb2 as pb
from attachery_client import AttacheryClient
from attachery_service.domain.errors import StorageMisconfigured
from attachery_service.s3.http.fast_reads import FastReads, choose_reads
from attachery_service.s3.objects import S3ObjectStore
from attachery_service.s3.reads import SdkReads
from attachery_service.s3.signing.signers import OwnSigner, choose_signer
from attachery_service.s3.signing.urls import S3TargetSigner
from support.bad_stores import canned_store, http_answer, scripted_store
from support.prefixed_store import PREFIX, PrefixedStore, prefixed_store
from support.service_fixtures import TENANT, MakeService
from support.store_fixtures import StoreUnderTest
from support.unbound_storage import ETAG, FOUND, HEADERS, KEY, calls_of_the_sdk, opened_at
from support.uploading import form_request, put_request

BODY = b"hello\n"


@pytest.fixture
async def gateway(object_store: StoreUnderTest) -> AsyncIterator[PrefixedStore]:
    async with prefixed_store(object_store) as opened:
        yield opened


@pytest.mark.parametrize("slash", ["", "/"], ids=["plain", "slash"])
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "sdk"])
@pytest.mark.sample(1)
async def test_a_store_below_a_path_is_probed_written_verified_copied_and_read(
    make_service: MakeService, gateway: PrefixedStore, fast: bool, slash: str
) -> None:
    service = await make_service(s3_endpoint=gateway.endpoint + slash, s3_fast=fast, seal="auto")
    assert service.app.seal == "write_once"
    async with AttacheryClient(service.target, api_key=service.api_key) as client:
        put = await client.upload(BODY, tenant_id=TENANT, filename="a.txt")
        form = await service.start(size_bytes=None, checksums={"crc32c": "353dd8be"})
        assert form.target.url == f"{gateway.endpoint}/{service.bucket}"
        assert await service.send(form.target, BODY) < 300
        completed = await service.complete(form.session.attachment_id)
        assert completed.session.state == pb.UPLOAD_SESSION_STATE_READY
        for attachment_id in (put.attachment_id, form.session.attachment_id):
            assert await client.download(attachment_id, tenant_id=TENANT) == BODY
    await service.app.background.drain(5)
    # The copy of the form is sealed, and its source is deleted.
    assert len(await service.keys_in_store()) == 2


async def test_a_signature_of_the_path_without_its_prefix_is_refused(
    gateway: PrefixedStore,
) -> None:
    """Shows that the previous test can fail."""
    elsewhere = gateway.endpoint.removesuffix(PREFIX)
    keys = {"access_key": gateway.store.access_key, "secret_key": gateway.store.secret_key}
    async with opened_at(elsewhere, **keys) as storage:
        target = await S3TargetSigner(storage).sign_upload(put_request("k", BODY))
    url = target.url.replace(elsewhere, gateway.endpoint)
    async with gateway.http.put(url, data=BODY, headers=dict(target.headers)) as answer:
        assert answer.status == 403


ENDPOINTS = {
    "http://host/storage/v1/s3": "http://host/storage/v1/s3",
    "https://host:8443/s3/": "https://host:8443/s3",
    "http://my_store:9000": "http://my_store:9000",
    "http://my_store_/a_b": "http://my_store_/a_b",
    "https://sub.my_store.example": "https://sub.my_store.example",
    "http://[::1]:9000": "http://[::1]:9000",
    "http://[2001:db8::1]/s3": "http://[2001:db8::1]/s3",
    "HTTP://Host:9000": "http://host:9000",
}


@pytest.mark.sample(2)
@pytest.mark.parametrize(("endpoint", "base"), ENDPOINTS.items(), ids=ENDPOINTS)
async def test_an_endpoint_is_signed_and_read_past_the_sdk(endpoint: str, base: str) -> None:
    async with opened_at(endpoint) as storage:
        assert isinstance(await choose_signer(storage), OwnSigner)
        reads = await choose_reads(storage, SdkReads(storage.s3, "bucket"))
        assert isinstance(reads, FastReads)
        signer = S3TargetSigner(storage)
        put, form = (
            await signer.sign_upload(put_request("k")),
            await signer.sign_upload(form_request("k")),
        )
    async with opened_at(endpoint, fast=False) as storage:
        sdk = S3TargetSigner(storage)
        sdk_put, sdk_form = (
            await sdk.sign_upload(put_request("k")),
            await sdk.sign_upload(form_request("k")),
        )
    assert put.url.startswith(f"{base}/bucket/k?")
    assert put.url.partition("?")[0] == sdk_put.url.partition("?")[0]
    assert form.url == sdk_form.url == f"{base}/bucket"


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "sdk"])
async def test_the_path_of_the_endpoint_is_in_the_request_line(fast: bool) -> None:
    async with (
        scripted_store(lambda _: HEADERS) as store,
        opened_at(f"{store.endpoint}/a/b", fast=fast) as storage,
    ):
        asked = calls_of_the_sdk(storage)
        assert await S3ObjectStore(storage).head(KEY) == FOUND
        assert store.heads[0].startswith(f"HEAD /a/b/bucket/{KEY} HTTP/1.1\r\n")
        assert asked == ([] if fast else ["HeadObject"])


async def test_requests_reach_a_host_name_with_an_underscore(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = http_answer("200 OK", b"", f"ETag: {ETAG}")
    async with canned_store(answer) as proxy:  # the host name does not exist
        monkeypatch.setenv("http_proxy", proxy.endpoint)
        monkeypatch.setenv("no_proxy", "")
        async with opened_at("http://my_store:9000") as storage:
            await S3ObjectStore(storage).head(KEY)
        (head,) = proxy.heads
        assert head.startswith(f"HEAD http://my_store:9000/bucket/{KEY} HTTP/1.1")
        assert "\r\nhost: my_store:9000\r\n" in head.lower()


@pytest.mark.parametrize(
    ("endpoint", "rule"),
    [
        ("host:9000", "begin with http://"),
        ("", "begin with http://"),
        ("s3://bucket", "no other scheme"),
        ("http://", "host name"),
        ("http://user:SECRET@host", "user or password"),
        ("http://host?x=SECRET", "query"),
        ("http://host/a?", "query"),
        ("http://host/#SECRET", "fragment"),
        ("http://host:99999", "port"),
        ("http://host:0", "port"),
        ("http://host:port", "port"),
        ("http://[::1", "IPv6"),
        ("http://[fe80::1%25eth0]", "IPv6"),
        ("http://-host", "host name"),
        ("http://ho st", "white space"),
        ("http://höst", "ASCII"),
        ("http://host/a b", "white space"),
        ("http://host/%2Fa", "path"),
        ("http://host/a/../b", "path"),
        ("http://host//a", "path"),
        ("http://host/ä", "path"),
    ],
)
async def test_an_endpoint_is_refused_in_words(endpoint: str, rule: str) -> None:
    with pytest.raises(StorageMisconfigured) as raised:
        async with opened_at(endpoint):
            pass
    assert raised.value.facts["detail"].startswith("the endpoint must ")
    assert rule in raised.value.facts["detail"]
    assert "SECRET" not in str(raised.value.facts)
