"""The metadata that the client sends with every call, and its retries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2

from attachery.v1.upload_sessions_pb2 import (
    StartUploadSessionRequest,
    StartUploadSessionResponse,
)
from attachery_client import AttacheryClient, errors

OK = grpc.StatusCode.OK
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@dataclass(frozen=True)
class Call:
    """One attempt as the server saw it. `time_left` in seconds."""

    message: bytes
    metadata: dict[str, str | bytes]
    time_left: float


@dataclass
class ScriptedServer(grpc.GenericRpcHandler):
    """Answers Start with one code after the other, then OK; records the calls."""

    codes: list[grpc.StatusCode] = field(default_factory=list)
    hangs: bool = False
    health: int | None = None
    calls: list[Call] = field(default_factory=list)
    called: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        match handler_call_details.method.rpartition("/")[2]:
            case "StartUploadSession":
                return grpc.unary_unary_rpc_method_handler(self._start)
            case "Watch" if self.health is not None:
                return grpc.unary_stream_rpc_method_handler(self._watch)
        return None

    async def _start(self, message: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        metadata = dict(context.invocation_metadata() or ())
        self.calls.append(Call(message, metadata, context.time_remaining()))
        self.called.set()
        if self.hangs:
            await asyncio.Event().wait()
        code = self.codes.pop(0) if self.codes else OK
        if code is not OK:
            await context.abort(code, "scripted")
        return StartUploadSessionResponse().SerializeToString()

    async def _watch(self, _: bytes, __: object) -> AsyncIterator[bytes]:
        answer = health_pb2.HealthCheckResponse(status=self.health)  # type: ignore[arg-type]
        yield answer.SerializeToString()
        await asyncio.Event().wait()


@asynccontextmanager
async def scripted_server(
    *codes: grpc.StatusCode,
    hangs: bool = False,
    health: int | None = None,
    credentials: grpc.ServerCredentials | None = None,
) -> AsyncIterator[ScriptedServer]:
    script = ScriptedServer(list(codes), hangs=hangs, health=health)
    server = grpc.aio.server(handlers=[script])
    if credentials is None:
        script.port = server.add_insecure_port("127.0.0.1:0")
    else:
        script.port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield script
    finally:
        await server.stop(0)


def own_certificate() -> tuple[bytes, bytes]:
    """A key and its self-signed certificate for localhost, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(pem)


async def start(client: AttacheryClient, **own: Any) -> StartUploadSessionResponse:
    return await client.start_upload_session(
        tenant_id="acme", filename="a.txt", content_type="text/plain", **own
    )


async def test_unavailable_is_repeated_with_the_same_request_id() -> None:
    async with (
        scripted_server(UNAVAILABLE, UNAVAILABLE) as server,
        AttacheryClient(server.target, api_key="key") as client,
    ):
        await start(client)
    sent = [StartUploadSessionRequest.FromString(call.message).request_id for call in server.calls]
    assert len(sent) == 3
    assert len(set(sent)) == 1
    assert len(sent[0]) == 36
    assert len({call.metadata["x-request-id"] for call in server.calls}) == 1


async def test_two_calls_have_two_request_ids() -> None:
    async with (
        scripted_server() as server,
        AttacheryClient(server.target, api_key="key") as client,
    ):
        await start(client)
        await start(client)
        await start(client, request_id="mine")
    sent = [StartUploadSessionRequest.FromString(call.message).request_id for call in server.calls]
    assert sent[0] != sent[1]
    assert sent[2] == "mine"


async def test_unavailable_is_final_after_four_attempts() -> None:
    async with (
        scripted_server(*[UNAVAILABLE] * 9) as server,
        AttacheryClient(server.target, api_key="key") as client,
    ):
        with pytest.raises(errors.Unavailable, match="scripted"):
            await start(client)
    assert len(server.calls) == 4


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNKNOWN,
    ],
)
async def test_no_other_code_is_repeated(code: grpc.StatusCode) -> None:
    async with (
        scripted_server(code) as server,
        AttacheryClient(server.target, api_key="key") as client,
    ):
        with pytest.raises(errors.AttacheryError) as caught:
            await start(client)
    assert caught.value.code is code
    assert caught.value.request_id == server.calls[0].metadata["x-request-id"]
    assert len(server.calls) == 1


async def test_every_call_carries_the_key() -> None:
    async with (
        scripted_server() as server,
        AttacheryClient(server.target, api_key="secret-key") as client,
    ):
        await start(client)
    assert server.calls[0].metadata["authorization"] == "Bearer secret-key"


async def test_a_tls_channel_carries_the_key_as_well() -> None:
    key, certificate = own_certificate()
    async with (
        scripted_server(credentials=grpc.ssl_server_credentials([(key, certificate)])) as server,
        AttacheryClient(
            f"localhost:{server.port}",
            api_key="secret-key",
            credentials=grpc.ssl_channel_credentials(certificate),
        ) as client,
    ):
        await start(client)
    assert server.calls[0].metadata["authorization"] == "Bearer secret-key"


async def test_every_call_has_a_deadline() -> None:
    async with (
        scripted_server() as server,
        AttacheryClient(server.target, api_key="key") as client,
        AttacheryClient(server.target, api_key="key", timeout=3.0) as hasty,
    ):
        await start(client)
        await start(hasty)
        await start(client, timeout=1.5)
    for call, limit in zip(server.calls, (10.0, 3.0, 1.5), strict=True):
        assert abs(call.time_left - limit) < 0.5


async def test_a_silent_server_ends_in_deadline_exceeded() -> None:
    async with (
        scripted_server(hangs=True) as server,
        AttacheryClient(server.target, api_key="key", timeout=0.1) as client,
    ):
        with pytest.raises(errors.DeadlineExceeded) as caught:
            await start(client)
    assert caught.value.request_id == server.calls[0].metadata["x-request-id"]


async def test_a_refused_connection_is_unavailable() -> None:
    async with AttacheryClient("127.0.0.1:1", api_key="key") as client:
        with pytest.raises(errors.Unavailable) as caught:
            await start(client)
    assert caught.value.reason == ""
    assert caught.value.request_id


async def test_cancelling_the_task_cancels_the_call() -> None:
    async with (
        scripted_server(hangs=True) as server,
        AttacheryClient(server.target, api_key="key") as client,
    ):
        task = asyncio.create_task(start(client))
        await server.called.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("health", "works"),
    [
        (health_pb2.HealthCheckResponse.SERVING, True),
        (health_pb2.HealthCheckResponse.NOT_SERVING, False),
    ],
)
async def test_a_server_that_drains_gets_no_calls(health: int, works: bool) -> None:
    async with (
        scripted_server(health=health) as server,
        AttacheryClient(server.target, api_key="key") as client,
    ):
        if works:
            await start(client)
        else:
            with pytest.raises(errors.Unavailable):
                await start(client)
    assert len(server.calls) == works


async def test_a_closed_client_says_so() -> None:
    client = AttacheryClient("127.0.0.1:1", api_key="key")
    with pytest.raises(RuntimeError, match="async with"):
        await start(client)


@pytest.mark.parametrize("key", ["", "with space", "line\n", "schlüssel"])
def test_an_invalid_key_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        AttacheryClient("127.0.0.1:1", api_key=key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"checksums": {"sha1": "00"}},
        {"disposition": "outline"},
        {"expire_time": datetime(2030, 1, 1)},  # noqa: DTZ001 - that is the point
    ],
)
async def test_arguments_no_message_can_hold_are_refused(wrong: dict[str, Any]) -> None:
    async with AttacheryClient("127.0.0.1:1", api_key="key") as client:
        with pytest.raises(ValueError, match=r"."):
            await start(client, **wrong)


async def test_arguments_arrive_as_fields() -> None:
    async with (
        scripted_server() as server,
        AttacheryClient(server.target, api_key="key") as client,
    ):
        await start(
            client,
            size_bytes=5,
            checksums={"sha256": "ab"},
            disposition="inline",
            metadata={"ticket": "1"},
            expire_time=datetime(2030, 1, 1, tzinfo=UTC),
        )
    sent = StartUploadSessionRequest.FromString(server.calls[0].message)
    assert sent.size_bytes == 5
    assert sent.checksums.sha256 == "ab"
    assert sent.disposition == 2
    assert sent.metadata == {"ticket": "1"}
    assert sent.expire_time.ToDatetime(UTC) == datetime(2030, 1, 1, tzinfo=UTC)
