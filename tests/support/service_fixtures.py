"""The service under test: the real one, on a free port, called through its API."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

import aiohttp
import asyncpg
import grpc
import pytest
from asyncpg.pool import PoolConnectionProxy
from pydantic import SecretStr

from attachery.v1 import (
    access_pb2_grpc,
    admin_pb2_grpc,
    attachments_pb2_grpc,
    resources_pb2,
    upload_sessions_pb2,
    upload_sessions_pb2_grpc,
)
from attachery_client import AttacheryClient
from attachery_service.app.options import database_options
from attachery_service.app.serve import App, open_app
from attachery_service.domain.credentials import ApiKey, StoredKey
from attachery_service.domain.identity import ALL_SCOPES, Principal, Scope
from attachery_service.observability.logs import configure_logs
from attachery_service.postgres.database import open_database
from attachery_service.postgres.repositories.api_keys import PostgresApiKeys
from attachery_service.settings.service import Settings
from support.database_fixtures import temporary_database
from support.store_fixtures import StoreUnderTest, new_bucket

TENANT = "acme"


@dataclass
class ServiceUnderTest:
    """A running service, and changes of its environment by a test."""

    app: App
    settings: Settings
    api_key: str
    database: asyncpg.Pool[asyncpg.Record]
    s3: Any
    http: aiohttp.ClientSession
    channel: grpc.aio.Channel
    tenant_id: str = TENANT
    metadata: tuple[tuple[str, str], ...] = field(default=())

    def __post_init__(self) -> None:
        self.metadata = (("authorization", f"Bearer {self.api_key}"),)
        self.uploads: upload_sessions_pb2_grpc.UploadSessionServiceAsyncStub = (
            upload_sessions_pb2_grpc.UploadSessionServiceStub(self.channel)  # type: ignore[assignment]
        )
        self.attachments: attachments_pb2_grpc.AttachmentServiceAsyncStub = (
            attachments_pb2_grpc.AttachmentServiceStub(self.channel)  # type: ignore[assignment]
        )
        self.admin: admin_pb2_grpc.AdminServiceAsyncStub = (
            admin_pb2_grpc.AdminServiceStub(self.channel)  # type: ignore[assignment]
        )
        self.access: access_pb2_grpc.AccessServiceAsyncStub = (
            access_pb2_grpc.AccessServiceStub(self.channel)  # type: ignore[assignment]
        )

    @property
    def target(self) -> str:
        return self.app.listen

    @property
    def bucket(self) -> str:
        return self.settings.s3_bucket

    async def start(self, **fields: Any) -> upload_sessions_pb2.StartUploadSessionResponse:
        """Starts a session for a small text file, with changes of `fields`."""
        values = {
            "tenant_id": TENANT,
            "filename": "hello.txt",
            "content_type": "text/plain",
            **fields,
        }
        request = upload_sessions_pb2.StartUploadSessionRequest(**values)
        return await self.uploads.StartUploadSession(request, metadata=self.metadata)

    async def complete(
        self, attachment_id: str, **fields: Any
    ) -> upload_sessions_pb2.CompleteUploadSessionResponse:
        request = upload_sessions_pb2.CompleteUploadSessionRequest(
            tenant_id=TENANT, attachment_id=attachment_id, **fields
        )
        return await self.uploads.CompleteUploadSession(request, metadata=self.metadata)

    async def get(self, attachment_id: str) -> resources_pb2.UploadSession:
        request = upload_sessions_pb2.GetUploadSessionRequest(
            tenant_id=TENANT, attachment_id=attachment_id
        )
        answer = await self.uploads.GetUploadSession(request, metadata=self.metadata)
        return answer.session

    async def cancel(self, attachment_id: str, request_id: str = "") -> resources_pb2.UploadSession:
        request = upload_sessions_pb2.CancelUploadSessionRequest(
            tenant_id=TENANT, attachment_id=attachment_id, request_id=request_id
        )
        answer = await self.uploads.CancelUploadSession(request, metadata=self.metadata)
        return answer.session

    async def ready(self, body: bytes = b"hello\n", **fields: Any) -> str:
        """Returns the id of an attachment with these bytes."""
        started = await self.start(**{"size_bytes": len(body), **fields})
        assert await self.send(started.target, body) < 300
        attachment_id = started.session.attachment_id
        await self.complete(attachment_id)
        return attachment_id

    async def send(self, target: resources_pb2.UploadTarget, body: bytes) -> int:
        """Follows the target exactly; returns object storage's HTTP status."""
        data: io.BytesIO | aiohttp.FormData = io.BytesIO(body)
        if target.form_fields:
            data = aiohttp.FormData()
            for name, value in target.form_fields.items():
                data.add_field(name, value)
            data.add_field("file", body, filename="file", content_type="application/octet-stream")
        skipped = () if "content-type" in {h.lower() for h in target.headers} else ("Accept",)
        async with self.http.request(
            target.method,
            target.url,
            data=data,
            headers=dict(target.headers),
            skip_auto_headers=skipped,
        ) as answer:
            await answer.read()
            return answer.status

    async def fetch(self, url: str) -> bytes:
        async with self.http.get(url) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.read()

    async def new_key(
        self,
        *,
        tenants: Iterable[str] | None = (TENANT,),
        scopes: Iterable[Scope] = ALL_SCOPES,
        ttl: timedelta | None = None,
    ) -> str:
        return await _new_key(self.settings, tenants, scopes, ttl)

    async def age(self, attachment_id: str, by: timedelta) -> None:
        """Moves a session's whole life into the past, as if it had begun that much earlier."""
        await age(self.database, attachment_id, by)

    async def events(self, attachment_id: str) -> list[str]:
        """The states of its history, in order."""
        rows = await self.database.fetch(
            "SELECT state FROM session_events WHERE attachment_id = $1 ORDER BY revision",
            attachment_id,
        )
        return [row["state"] for row in rows]

    @asynccontextmanager
    async def row_locked(self, attachment_id: str) -> AsyncIterator[None]:
        """Locks the session's row, so that the service cannot change it."""
        async with self.database.acquire() as connection, connection.transaction():
            await connection.execute(
                "SELECT FROM upload_sessions WHERE attachment_id = $1 FOR UPDATE", attachment_id
            )
            yield

    async def until_blocked(self, statements: int) -> None:
        """Waits until `count` statements of the service wait for a lock."""
        blocked = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'attachery' "
            "AND wait_event_type = 'Lock' AND datname = current_database()"
        )
        async with asyncio.timeout(5):
            while await self.database.fetchval(blocked) < statements:  # noqa: ASYNC110
                await asyncio.sleep(0)

    async def keys_in_store(self) -> set[str]:
        listing = await self.s3.list_objects_v2(Bucket=self.bucket)
        return {entry["Key"] for entry in listing.get("Contents", [])}


class MakeService(Protocol):
    """Starts a service with the test's settings."""

    async def __call__(self, **settings: Any) -> ServiceUnderTest: ...


@pytest.fixture(autouse=True)
def logs_as_in_production() -> None:
    """Configures the logs anew for each test, which resets the limits on tracebacks."""
    configure_logs()


@pytest.fixture
async def make_service(
    database_url: str, object_store: StoreUnderTest, bucket: str, raw_s3: Any
) -> AsyncIterator[MakeService]:
    async with services(database_url, object_store, bucket, raw_s3) as make:
        yield make


@pytest.fixture
async def service(make_service: MakeService) -> ServiceUnderTest:
    return await make_service()


@pytest.fixture(scope="session")
async def _one_service(
    postgres_url: str, object_store: StoreUnderTest, raw_s3: Any
) -> AsyncIterator[ServiceUnderTest]:
    async with (
        temporary_database(postgres_url) as database_url,
        services(database_url, object_store, await new_bucket(raw_s3), raw_s3) as make,
    ):
        yield await make()


@pytest.fixture
def shared_service(_one_service: ServiceUnderTest) -> ServiceUnderTest:
    """The same for all tests that neither need an empty tenant nor change the service itself."""
    return replace(_one_service)  # a test may change its credentials


@asynccontextmanager
async def services(
    database_url: str, object_store: StoreUnderTest, bucket: str, raw_s3: Any
) -> AsyncIterator[MakeService]:
    """Starts services on one database and bucket, and stops them at the end."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> ServiceUnderTest:
            values = {
                "listen": "127.0.0.1:0",
                "database_url": SecretStr(database_url),
                "s3_endpoint": object_store.endpoint,
                "s3_bucket": bucket,
                "s3_access_key": object_store.access_key,
                "s3_secret_key": SecretStr(object_store.secret_key),
                "seal": "write_once",
                "drain_time": 2.0,
                "key_cache_time": 0.0,
                **settings,
            }
            chosen = Settings(**values)
            api_key = await _new_key(chosen, (TENANT,), ALL_SCOPES)
            app = await stack.enter_async_context(open_app(chosen))
            return ServiceUnderTest(
                app=app,
                settings=chosen,
                api_key=api_key,
                database=await stack.enter_async_context(
                    asyncpg.create_pool(database_url, min_size=1, max_size=4)
                ),
                s3=raw_s3,
                http=await stack.enter_async_context(aiohttp.ClientSession()),
                channel=await stack.enter_async_context(grpc.aio.insecure_channel(app.listen)),
            )

        yield make


@pytest.fixture
async def client(service: ServiceUnderTest) -> AsyncIterator[AttacheryClient]:
    async with AttacheryClient(service.target, api_key=service.api_key) as opened:
        yield opened


async def age(
    database: asyncpg.Pool[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record],
    attachment_id: str | UUID,
    by: timedelta,
) -> None:
    """Moves a session's whole life into the past, as if it had begun that much earlier."""
    await database.execute(
        """
        UPDATE upload_sessions SET
            create_time = create_time - $2::interval,
            update_time = update_time - $2::interval,
            expire_time = expire_time - $2::interval,
            upload_url_expire_time = upload_url_expire_time - $2::interval,
            complete_time = complete_time - $2::interval,
            object_purge_time = object_purge_time - $2::interval,
            metadata_purge_time = metadata_purge_time - $2::interval,
            due_time = due_time - $2::interval,
            held_until = held_until - $2::interval,
            delete_time = delete_time - $2::interval,
            disposed_time = disposed_time - $2::interval
        WHERE attachment_id = $1
        """,
        attachment_id,
        by,
    )


async def _new_key(
    settings: Settings,
    tenants: Iterable[str] | None,
    scopes: Iterable[Scope],
    ttl: timedelta | None = None,
) -> str:
    key = ApiKey.generate()
    principal = Principal(
        name="tester",
        tenants=None if tenants is None else frozenset(tenants),
        scopes=frozenset(scopes),
    )
    async with open_database(database_options(settings)) as database:
        stored = StoredKey(key.secret_digest, principal)
        await PostgresApiKeys(database).store(key.key_id, stored, ttl)
    return key.text
