"""The log: one JSON object per line, enough to find a call, and no credentials."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import grpc
import pytest

from attachery.v1 import attachments_pb2, upload_sessions_pb2
from attachery_service.observability.logs import redact
from support.failures import Failure, failure
from support.process_fixtures import Serve, Serving
from support.processes import SOURCES, eventually
from support.proxy import Proxy, proxy_of
from support.service_fixtures import TENANT
from support.store_fixtures import StoreUnderTest

pytestmark = pytest.mark.xdist_group("dev")  # they share one server

START = "/attachery.v1.UploadSessionService/StartUploadSession"
COMPLETE = "/attachery.v1.UploadSessionService/CompleteUploadSession"
RESOLVE = "/attachery.v1.AttachmentService/ResolveAttachments"

BAD_REQUEST_IDS = ["x" * 65, "x" * 10_000, "two words", "<script>", 'quo"te', "a\\nb", " ", "a,b"]


async def line_of(serving: Serving, request_id: str) -> dict[str, Any]:
    """The one line of a call."""

    def lines() -> list[dict[str, Any]]:
        return [e for e in serving.process.events("rpc") if e["request_id"] == request_id]

    await eventually(lambda: bool(lines()))
    (line,) = lines()
    return line


async def test_every_call_is_one_line_with_caller_method_and_result(
    dev_serving: Serving,
) -> None:
    serving = dev_serving
    await serving.start(x_request_id="good-1")
    line = await line_of(serving, "good-1")
    assert line["method"] == START
    assert (line["code"], line["reason"]) == ("OK", "")
    assert (line["tenant"], line["principal"]) == (serving.tenant_id, "dev")
    assert line["peer"].startswith("ipv4:127.0.0.1:")
    assert 0 < line["ms"] < 60_000
    assert (line["level"], line["attempt"]) == ("info", 1)

    missing = str(uuid.uuid4())
    refused = await failure(serving.complete(missing, x_request_id="bad-1"))
    line = await line_of(serving, "bad-1")
    assert (line["code"], line["reason"]) == ("NOT_FOUND", "ATTACHMENT_NOT_FOUND")
    assert line["reason"] == refused.reason

    stranger = await failure(
        serving.uploads.StartUploadSession(
            upload_sessions_pb2.StartUploadSessionRequest(tenant_id=serving.tenant_id),
            metadata=(("x-request-id", "who-1"),),
        )
    )
    line = await line_of(serving, "who-1")
    assert (line["code"], line["reason"]) == ("UNAUTHENTICATED", stranger.reason)
    assert (line["tenant"], line["principal"]) == (None, None)


async def test_a_request_id_is_the_same_in_trailers_details_and_log(
    dev_serving: Serving,
) -> None:
    serving = dev_serving
    call = serving.attachments.ResolveAttachments(
        attachments_pb2.ResolveAttachmentsRequest(
            tenant_id=serving.tenant_id, attachment_ids=[str(uuid.uuid4())]
        ),
        metadata=serving.metadata(x_request_id="job:7/a.b_c@d+e=f-g"),
    )
    await call
    assert dict(await call.trailing_metadata())["x-request-id"] == "job:7/a.b_c@d+e=f-g"
    assert (await line_of(serving, "job:7/a.b_c@d+e=f-g"))["method"] == RESOLVE

    # `failure` compares the request ids of the trailers and the details.
    refused = await failure(serving.complete("nothing", x_request_id="given-2"))
    assert refused.request_id == "given-2"

    made = (await failure(serving.complete("nothing"))).request_id
    assert uuid.UUID(made).version == 4
    assert (await line_of(serving, made))["method"] == COMPLETE

    for bad in BAD_REQUEST_IDS:
        made = (await failure(serving.complete("nothing", x_request_id=bad))).request_id
        assert uuid.UUID(made).version == 4
        await line_of(serving, made)
        assert not bad.strip() or bad not in serving.process.errors


async def test_the_line_of_a_call_names_the_callers_trace(dev_serving: Serving) -> None:
    trace_id, span_id = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    await dev_serving.start(x_request_id="traced", traceparent=f"00-{trace_id}-{span_id}-01")
    line = await line_of(dev_serving, "traced")
    assert (line["trace_id"], line["parent_id"]) == (trace_id, span_id)
    await dev_serving.start(x_request_id="untraced", traceparent="00-none-none-01")
    assert "trace_id" not in await line_of(dev_serving, "untraced")


@pytest.fixture
async def store_proxy(object_store: StoreUnderTest) -> AsyncIterator[Proxy]:
    async with proxy_of(object_store.endpoint) as proxy:
        yield proxy


@pytest.fixture
async def database_proxy(database_url: str) -> AsyncIterator[Proxy]:
    async with proxy_of(database_url) as proxy:
        yield proxy


async def whole_flow(serving: Serving) -> list[str]:
    """Makes every call once; returns the secrets that were handed out."""
    started = await serving.start()
    form = await serving.uploads.StartUploadSession(
        upload_sessions_pb2.StartUploadSessionRequest(
            tenant_id=TENANT, filename="form.txt", content_type="text/plain"
        ),
        metadata=serving.metadata(),
    )
    attachment_id = await serving.uploaded()
    await serving.complete(attachment_id)
    resolved = await serving.attachments.ResolveAttachments(
        attachments_pb2.ResolveAttachmentsRequest(
            tenant_id=TENANT, attachment_ids=[attachment_id], include_download_urls=True
        ),
        metadata=serving.metadata(),
    )
    download = await serving.attachments.CreateDownloadUrl(
        attachments_pb2.CreateDownloadUrlRequest(tenant_id=TENANT, attachment_id=attachment_id),
        metadata=serving.metadata(),
    )
    urls = [started.target.url, resolved.results[0].download.url, download.url]
    fields = [
        v for k, v in form.target.form_fields.items() if k.lower() in ("policy", "x-amz-signature")
    ]
    assert len(fields) == 2
    tokens = [answer.session_token.rpartition("_")[2] for answer in (started, form)]
    assert all(len(mac) == 64 for mac in tokens)
    return [*fields, *tokens, *(urlsplit(url).query for url in urls)]


async def as_stranger(serving: Serving, credential: str) -> Failure:
    return await failure(
        serving.uploads.StartUploadSession(
            upload_sessions_pb2.StartUploadSessionRequest(tenant_id=TENANT),
            metadata=(("authorization", credential),),
        )
    )


async def test_no_flow_however_it_fails_leaves_a_secret_in_the_log(
    serve: Serve,
    store_proxy: Proxy,
    database_proxy: Proxy,
    object_store: StoreUnderTest,
    database_url: str,
) -> None:
    serving = await serve(
        s3_endpoint=store_proxy.in_front_of(object_store.endpoint),
        s3_public_endpoint=object_store.endpoint,
        database_url=database_proxy.in_front_of(database_url),
        s3_timeout=5,
        database_timeout=0.5,
        health_interval=0.05,
        metrics_listen="127.0.0.1:0",
    )
    secrets = await whole_flow(serving)

    wrong = f"{serving.api_key[:-4]}beef"
    for credential in (f"Bearer {wrong}", f"bearer {wrong[:30]}", f"Basic {wrong}", wrong):
        assert (await as_stranger(serving, credential)).code is grpc.StatusCode.UNAUTHENTICATED

    attachment_id = await serving.uploaded()
    store_proxy.cut()
    assert (await failure(serving.complete(attachment_id))).reason == "STORAGE_UNAVAILABLE"
    store_proxy.release()

    database_proxy.cut()
    assert (await failure(serving.start())).reason == "DATABASE_UNAVAILABLE"
    await serving.process.logged("database unavailable")
    database_proxy.release()
    await serving.process.logged("database available")

    connection = await asyncpg.connect(database_url)
    await connection.execute("ALTER TABLE upload_sessions RENAME TO mislaid")
    await connection.close()
    bug = await failure(serving.start())
    assert (bug.code, bug.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "mislaid" not in str(bug.status)
    found = await serving.process.logged("bug")
    assert found["request_id"] == bug.request_id
    assert "UndefinedTableError" in found["exception"]

    assert await serving.process.stopped() == 0
    text = serving.process.errors
    password = urlsplit(database_url).password
    keys = [key.rpartition("_")[2] for key in (serving.api_key, wrong)]
    for secret in (*secrets, *keys, wrong[:30], password, object_store.secret_key):
        assert secret
        assert secret not in text
    assert not re.search(r"X-Amz-(Signature|Credential)(?!=\[redacted\])", text, re.IGNORECASE)
    assert serving.process.log()  # every line is JSON


async def test_wrong_storage_keys_are_reported_without_their_values(
    serve: Serve, object_store: StoreUnderTest
) -> None:
    serving = await serve(s3_secret_key="not-the-secret-key", seal="write_once")
    started = await serving.start()
    refused = await failure(serving.complete(started.session.attachment_id))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "STORAGE_MISCONFIGURED")
    fault = await serving.process.logged("fault")
    assert fault["reason"] == "STORAGE_MISCONFIGURED"
    assert "not-the-secret-key" not in serving.process.errors


LIBRARY = """
import asyncio, logging, warnings
from attachery_service.observability.logs import configure_logs

configure_logs()
logger = logging.getLogger("some.library")
logger.info("not worth a line")
logger.warning("went to %s", "https://s/b/k?X-Amz-Signature=abc123", stack_info=True)
try:
    raise ValueError("postgresql://user:pass@host/name")
except ValueError:
    logger.exception("two\\nlines")
warnings.warn("this is old", DeprecationWarning)

async def main():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)

asyncio.run(main())
"""


def test_logs_of_libraries_and_the_event_loop_have_the_same_form() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", LIBRARY],
        env={"PYTHONPATH": SOURCES},
        capture_output=True,
        text=True,
        check=True,
    )
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["logger"], line["level"]) for line in said] == [
        ("some.library", "warning"),
        ("some.library", "error"),
        ("py.warnings", "warning"),
        ("asyncio", "error"),
    ]
    assert all(re.fullmatch(r"[0-9-]{10}T[0-9:]{8}\.[0-9]{6}Z", line["timestamp"]) for line in said)
    assert "ValueError" in said[1]["exception"]
    assert "stack" in said[0]
    assert "abc123" not in done.stderr
    assert "pass@" not in done.stderr


REDACTED = [
    ("https://s/b/k?X-Amz-Signature=abc123&x=1", "abc123"),
    ("https://s/?X-Amz-Credential=AKIA%2F2026&X-Amz-Security-Token=tok%2B1", "AKIA"),
    ("https://s/?X-Amz-Credential=AKIA%2F2026&X-Amz-Security-Token=tok%2B1", "tok%2B1"),
    ("next=https%3A%2F%2Fs%3FX-Amz-Signature%3Dabc123", "abc123"),
    ("{'x-amz-signature': 'abc123'}", "abc123"),
    (r"{\"x-amz-signature\": \"abc123\"}", "abc123"),
    ("AWS4-HMAC-SHA256 Credential=A/B, SignedHeaders=host, Signature=abc123", "abc123"),
    ("authorization: Bearer eyJhbGciOi.J9", "eyJ"),
    (f"attk_{'0' * 16}_{'ab' * 32}", "ab" * 8),
    (f"attk_{'0' * 16}_{'ab' * 4}", "abab"),
    (f"atts_{'0' * 12}_{'aB-_' * 9}_{'ab' * 32}", "aB"),
    (f"atts_{'0' * 12}_{'aB-_' * 9}_{'ab' * 32}", "abab"),
    (f"attc_{'0' * 12}_{'aB-_' * 9}_{'ab' * 32}", "aB"),
    ("postgresql://user:pass@host:5432/name", "pass@"),
    ("postgres://user:p@ss/w@host/name", "ss/w"),
    ("postgresql://:pass@/name?host=/tmp", "pass"),
    ("postgresql://host/name?user=u&password=pass", "=pass"),
    ("postgresql://host/name?sslkey=k&sslpassword=pass", "=pass"),
    ("postgresql+asyncpg://user:pass@host/name", "pass"),
    ("postgresql+asyncpg://user:p@ss@host/name", "ss@"),
    ("postgres://me@corp:pass@host/name", "pass"),
    ("redis://:pass@host", "pass"),
    ("rediss://user:p@ss@host:6379/0", "ss@"),
    ("cannot connect to http://user:pass@proxy:3128", "pass"),
    ('{"proxy": "HTTPS://user:p/ss@proxy:3128"}', "ss@"),
    ("https://me@corp:12@proxy", "12"),
]


@pytest.mark.parametrize(("text", "secret"), REDACTED)
def test_secrets_are_blotted_out_in_every_form(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert "[redacted]" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://host:5432/name",
        "see https://host/path?page=2",
        "http://host:9000/bucket/mail@example.org",
        "https://host/a:b@c",
        "redis://host:6379/0",
        '{"endpoint": "http://host:9000", "principal": "me@corp"}',
        "a@b",
        "attk_",
        "the bearer of news",
    ],
)
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text
