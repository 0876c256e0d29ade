"""The service that a competent user would write instead: REST, common libraries, the same work.

FastAPI on uvicorn (uvloop, httptools), an asyncpg pool, boto3 in threads. It uses the tables of the
service and writes the same rows: it looks the key up (cached for 5 s), checks scope and tenant,
validates, writes the session with its history in one statement, signs with boto3, and on Complete
sends a HEAD before it makes the session ready. It has no quotas, no request ids, no session tokens
and no rate limits, all of which the service has in the same calls.

Configured like the service, by ATTACHERY_*; run as `python -m bench.peers.fastapi_peer`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
import boto3
import uvicorn
from botocore.client import Config
from botocore.exceptions import ClientError
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from pydantic import BaseModel, Field
from uuid_utils.compat import uuid7

from attachery_service.settings.service import Settings

_KEY_CACHE_SECONDS = 5.0
_MAX_SIZE = 157_286_400
_LIFETIME = 3_600

_FIND_KEY = """
SELECT name, secret_digest, tenants, scopes FROM api_keys
WHERE key_id = $1 AND (revoke_time IS NULL OR revoke_time > now())
"""
_COLUMNS = """
tenant_id, attachment_id, state, revision, purpose, filename, content_type, declared_size, max_size,
size, upload_key, created_by, create_time, update_time, expire_time, complete_time,
object_purge_time, metadata_purge_time, sealed_etag
"""
_START = f"""
WITH started AS (
    INSERT INTO upload_sessions (
        tenant_id, attachment_id, purpose, filename, content_type, declared_size, max_size,
        declared_checksums, disposition, metadata, seal, upload_key, created_by, expire_time,
        upload_url_expire_time, object_purge_time, metadata_purge_time
    ) VALUES (
        $1, $2, 'default', $3, $4, $5, $6, '{{}}', 'attachment', '{{}}', 'write_once', $7, $8,
        now() + interval '1 hour', now() + interval '1 hour', now() + interval '1 hour',
        now() + interval '60 days'
    ) RETURNING *
), history AS (
    INSERT INTO session_events (tenant_id, attachment_id, revision, state, actor)
    SELECT tenant_id, attachment_id, revision, state, created_by FROM started
)
SELECT {_COLUMNS} FROM started
"""  # noqa: S608
_FIND = f"SELECT {_COLUMNS} FROM upload_sessions WHERE tenant_id = $1 AND attachment_id = $2"  # noqa: S608
_COMPLETE = f"""
WITH changed AS (
    UPDATE upload_sessions
    SET state = 'ready', revision = revision + 1, update_time = now(), complete_time = now(),
        sealed_key = upload_key, sealed_etag = $3, size = $4
    WHERE tenant_id = $1 AND attachment_id = $2 AND state = 'pending' AND expire_time > now()
    RETURNING *
), history AS (
    INSERT INTO session_events (tenant_id, attachment_id, revision, state, actor, facts)
    SELECT tenant_id, attachment_id, revision, state, $5, $6::jsonb FROM changed
)
SELECT {_COLUMNS} FROM changed
"""  # noqa: S608


class StartUpload(BaseModel):
    """The declaration of an upload."""

    filename: str = Field(min_length=1, max_length=255)
    content_type: str = Field(pattern=r"^[\w!#$&^.+-]+/[\w!#$&^.+-]+$", max_length=255)
    size_bytes: int = Field(ge=1, le=_MAX_SIZE)


class Session(BaseModel):
    """An upload session, and once it is ready its attachment."""

    tenant_id: str
    attachment_id: uuid.UUID
    state: str
    revision: int
    purpose: str
    filename: str
    content_type: str
    declared_size: int
    max_size: int
    size: int | None
    created_by: str
    create_time: Any
    update_time: Any
    expire_time: Any
    complete_time: Any
    object_purge_time: Any
    metadata_purge_time: Any


class Started(BaseModel):
    """The session, and the target of its bytes."""

    session: Session
    method: str
    url: str
    headers: dict[str, str]


class Caller(BaseModel):
    """The principal of a key."""

    name: str
    secret_digest: bytes
    tenants: frozenset[str] | None
    scopes: frozenset[str]


settings = Settings()
keys: dict[str, tuple[float, Caller]] = {}
s3 = boto3.client(
    "s3",
    endpoint_url=settings.s3_endpoint,
    region_name=settings.s3_region,
    aws_access_key_id=settings.s3_access_key,
    aws_secret_access_key=settings.s3_secret_key.get_secret_value()
    if settings.s3_secret_key
    else None,
    config=Config(
        signature_version="s3v4", s3={"addressing_style": "path"}, max_pool_connections=64
    ),
)


@asynccontextmanager
async def _open_pool(app: FastAPI) -> AsyncIterator[None]:
    url = settings.database_url.get_secret_value()
    async with asyncpg.create_pool(url, min_size=10, max_size=10) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=_open_pool)


async def caller_of(request: Request, authorization: Annotated[str, Header()]) -> Caller:
    """Returns the principal of the key in the header."""
    _, key_id, secret = (*authorization.removeprefix("Bearer ").split("_"), "", "")[:3]
    kept, now = keys.get(key_id), time.monotonic()
    if kept is None or kept[0] < now:
        row = await request.app.state.pool.fetchrow(_FIND_KEY, key_id)
        if row is None:
            raise HTTPException(401)
        kept = (now + _KEY_CACHE_SECONDS, Caller(**row))
        keys[key_id] = kept
    digest = hashlib.sha256(secret.encode()).digest()
    if not hmac.compare_digest(digest, kept[1].secret_digest):
        raise HTTPException(401)
    return kept[1]


def _require(caller: Caller, scope: str, tenant_id: str) -> None:
    if scope not in caller.scopes or not (caller.tenants is None or tenant_id in caller.tenants):
        raise HTTPException(403)


AnyCaller = Annotated[Caller, Depends(caller_of)]


@app.post("/v1/{tenant_id}/uploads")
async def start(
    tenant_id: str, upload: StartUpload, request: Request, caller: AnyCaller
) -> Started:
    """Creates a pending session and a signed URL."""
    _require(caller, "uploads.create", tenant_id)
    attachment_id = uuid7()
    key = f"{settings.s3_prefix}/{tenant_id}/{attachment_id}/{uuid.uuid4().hex}"
    row = await request.app.state.pool.fetchrow(
        _START,
        tenant_id,
        attachment_id,
        upload.filename,
        upload.content_type,
        upload.size_bytes,
        _MAX_SIZE,
        key,
        caller.name,
    )
    # Signing does no I/O; a thread would only add to its cost.
    url = s3.generate_presigned_url(
        "put_object",
        Params={
            "Bucket": settings.s3_bucket,
            "Key": key,
            "ContentType": upload.content_type,
            "ContentLength": upload.size_bytes,
            "IfNoneMatch": "*",
        },
        ExpiresIn=_LIFETIME,
    )
    headers = {
        "Content-Type": upload.content_type,
        "Content-Length": str(upload.size_bytes),
        "If-None-Match": "*",
    }
    return Started(session=Session(**row), method="PUT", url=url, headers=headers)


@app.get("/v1/{tenant_id}/uploads/{attachment_id}")
async def get(
    tenant_id: str, attachment_id: uuid.UUID, request: Request, caller: AnyCaller
) -> Session:
    """Returns the session in its current state."""
    _require(caller, "uploads.read", tenant_id)
    return Session(**await _found(request, tenant_id, attachment_id))


@app.post("/v1/{tenant_id}/uploads/{attachment_id}/complete")
async def complete(
    tenant_id: str, attachment_id: uuid.UUID, request: Request, caller: AnyCaller
) -> Session:
    """Checks the uploaded object; ready if it is the declared one."""
    _require(caller, "uploads.complete", tenant_id)
    row = await _found(request, tenant_id, attachment_id)
    if row["state"] != "pending":
        raise HTTPException(409)
    try:
        head = await asyncio.to_thread(
            s3.head_object, Bucket=settings.s3_bucket, Key=row["upload_key"], ChecksumMode="ENABLED"
        )
    except ClientError as error:
        raise HTTPException(422) from error
    size, etag = head["ContentLength"], head["ETag"].strip('"')
    checks = {
        "size": size == row["declared_size"] and 0 < size <= row["max_size"],
        "etag": bool(etag),
        "content_type": head["ContentType"] == row["content_type"],
    }
    if not all(checks.values()):
        raise HTTPException(422)
    done = await request.app.state.pool.fetchrow(
        _COMPLETE, tenant_id, attachment_id, etag, size, caller.name, json.dumps(checks)
    )
    if done is None:
        raise HTTPException(409)
    return Session(**done)


async def _found(request: Request, tenant_id: str, attachment_id: uuid.UUID) -> asyncpg.Record:
    row: asyncpg.Record | None = await request.app.state.pool.fetchrow(
        _FIND, tenant_id, attachment_id
    )
    if row is None:
        raise HTTPException(404)
    return row


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print("port", listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", log_level="info")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
