"""The servers of a scenario, and the sessions to copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import aiohttp
import grpc

from attachery.v1 import resources_pb2, upload_sessions_pb2, upload_sessions_pb2_grpc
from attachery_service.domain.credentials import ApiKey
from attachery_service.domain.identity import ALL_SCOPES
from attachery_service.s3.client import StorageOptions, ensure_bucket, open_storage
from bench import stand_in
from bench.processes import ServerProcess
from bench.rows import Pool, Rows

TENANT = "acme"
BUCKET = "bench"


@dataclass(frozen=True, slots=True)
class Database:
    """A migrated database with an API key that has all permissions."""

    url: str
    pool: Pool
    api_key: str


@dataclass(frozen=True, slots=True)
class Store:
    """Object storage."""

    endpoint: str
    pid: int
    access_key: str = "bench"
    secret_key: str = "bench"


@dataclass(frozen=True, slots=True)
class Service:
    """A running `attachery serve`, with a session of each kind to copy."""

    process: ServerProcess
    database: Database
    store: Store
    settings: Mapping[str, object]
    pending: Rows
    ready: Rows


async def new_key(pool: Pool) -> str:
    """Creates a key with all permissions in every tenant."""
    key = ApiKey.generate()
    await pool.execute(
        "INSERT INTO api_keys (key_id, name, secret_digest, scopes) VALUES ($1, 'bench', $2, $3)",
        key.key_id,
        key.secret_digest,
        [scope.value for scope in ALL_SCOPES],
    )
    return key.text


async def with_templates(
    process: ServerProcess, database: Database, store: Store, settings: Mapping[str, object]
) -> Service:
    """Creates the sessions to copy: a pending one, and a ready one."""
    metadata = (("authorization", f"Bearer {database.api_key}"),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{process.port}") as channel:
        stub: upload_sessions_pb2_grpc.UploadSessionServiceAsyncStub = (
            upload_sessions_pb2_grpc.UploadSessionServiceStub(channel)  # type: ignore[assignment]
        )
        ids = []
        for _ in range(2):
            started = await stub.StartUploadSession(start_message(), metadata=metadata)
            ids.append(started.session.attachment_id)
            await _put(started.target)
        done = upload_sessions_pb2.CompleteUploadSessionRequest(
            tenant_id=TENANT, attachment_id=ids[1]
        )
        await stub.CompleteUploadSession(done, metadata=metadata)
    pending, ready = (Rows(database.pool, TENANT, UUID(each)) for each in ids)
    return Service(process, database, store, settings, pending, ready)


async def make_bucket(store: Store) -> None:
    options = StorageOptions(
        bucket=BUCKET,
        endpoint=store.endpoint,
        access_key=store.access_key,
        secret_key=store.secret_key,
    )
    async with open_storage(options) as storage:
        await ensure_bucket(storage)


async def _put(target: resources_pb2.UploadTarget) -> None:
    async with (
        aiohttp.ClientSession(raise_for_status=True) as http,
        http.put(target.url, data=stand_in.BODY, headers=dict(target.headers)),
    ):
        pass


def start_message(
    tenant_id: str = TENANT, *, sized: bool = True
) -> upload_sessions_pb2.StartUploadSessionRequest:
    return upload_sessions_pb2.StartUploadSessionRequest(
        tenant_id=tenant_id,
        filename="quarterly-report.pdf",
        content_type=stand_in.CONTENT_TYPE,
        size_bytes=stand_in.SIZE if sized else None,
    )
