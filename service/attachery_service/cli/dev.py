"""`attachery dev`: the whole service on one machine, with nothing else installed."""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from attachery_service.app import database_options, open_app, storage_options
from attachery_service.cli.ready_file import Ready
from attachery_service.cli.signals import stop_signals
from attachery_service.config import Settings
from attachery_service.domain.credentials import ApiKey
from attachery_service.domain.identity import ALL_SCOPES, Principal
from attachery_service.embedded.object_store import running_object_store
from attachery_service.embedded.postgres import running_postgres
from attachery_service.ports import StoredKey
from attachery_service.storage.client import ensure_bucket, open_storage
from attachery_service.store.database import open_database
from attachery_service.store.keys import PostgresApiKeys
from attachery_service.store.migrating import migrate

TENANT = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class DevOptions:
    """What `dev` is asked for; None means the embedded part."""

    listen: str
    metrics_listen: str | None
    data_dir: Path
    database_url: str | None = None
    s3_endpoint: str | None = None
    s3_bucket: str = "attachery"


async def run(options: argparse.Namespace) -> int:
    asked = DevOptions(
        listen=options.listen,
        metrics_listen=options.metrics_listen,
        data_dir=options.data_dir,
        database_url=options.database_url,
        s3_endpoint=options.s3_endpoint,
        s3_bucket=options.s3_bucket,
    )
    with stop_signals() as stop:
        async with running_dev(asked) as ready:
            with ready.written_to(options.ready_file):
                print(_welcome(ready), flush=True)
                await stop.wait()
    return 0


@asynccontextmanager
async def running_dev(options: DevOptions) -> AsyncIterator[Ready]:
    """The service with everything it needs, until the block is left."""
    data_dir = options.data_dir.absolute()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        settings = await _settings(options, data_dir, stack)
        await migrate(settings.database_url.get_secret_value())
        async with open_storage(storage_options(settings)) as storage:
            await ensure_bucket(storage)
        key = _stable_key(data_dir / "api_key")
        await _store_key(settings, key)
        app = await stack.enter_async_context(open_app(settings))
        secret = settings.s3_secret_key
        yield Ready(
            listen=app.listen,
            tenant_id=TENANT,
            api_key=key.text,
            s3_endpoint=settings.s3_endpoint,
            s3_bucket=settings.s3_bucket,
            s3_access_key=settings.s3_access_key,
            s3_secret_key=secret.get_secret_value() if secret else None,
            database_url=settings.database_url.get_secret_value(),
            metrics=app.metrics_listen,
        )


async def _settings(options: DevOptions, data_dir: Path, stack: AsyncExitStack) -> Settings:
    """Settings for the given or the embedded servers, which are started here."""
    database_url = options.database_url
    if database_url is None:
        database_url = await stack.enter_async_context(running_postgres(data_dir / "postgres"))
    endpoint, access_key, secret_key = await _object_store(options, data_dir, stack)
    return Settings(
        listen=options.listen,
        metrics_listen=options.metrics_listen,
        database_url=SecretStr(database_url),
        s3_endpoint=endpoint,
        s3_bucket=options.s3_bucket,
        s3_access_key=access_key,
        s3_secret_key=SecretStr(secret_key) if secret_key else None,
    )


async def _object_store(
    options: DevOptions, data_dir: Path, stack: AsyncExitStack
) -> tuple[str, str | None, str | None]:
    """Endpoint, access key and secret key of the given or the embedded store."""
    if options.s3_endpoint is not None:
        given = (os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY"))
        return options.s3_endpoint, *given
    store = await stack.enter_async_context(running_object_store(data_dir / "objects"))
    return store.endpoint, store.access_key, store.secret_key


def _stable_key(path: Path) -> ApiKey:
    """The key of this folder, made on first use; only its owner may read it."""
    if path.exists() and (key := ApiKey.parse(path.read_text(encoding="ascii").strip())):
        return key
    key = ApiKey.generate()
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(key.text + "\n", encoding="ascii")
    return key


async def _store_key(settings: Settings, key: ApiKey) -> None:
    principal = Principal(name="dev", tenants=frozenset({TENANT}), scopes=ALL_SCOPES)
    async with open_database(database_options(settings)) as database:
        await PostgresApiKeys(database).store(key.key_id, StoredKey(key.secret_digest, principal))


def _welcome(ready: Ready) -> str:
    start = '{"tenant_id": "demo", "filename": "a.txt", "content_type": "text/plain"}'
    return (
        f"\nAttachery serves on {ready.listen}. Paste into another terminal:\n\n"
        f"export ATTACHERY={ready.listen} KEY={ready.api_key}\n"
        'grpcurl -plaintext "$ATTACHERY" list\n'
        f"grpcurl -plaintext -H \"authorization: Bearer $KEY\" -d '{start}' "
        '"$ATTACHERY" attachery.v1.UploadSessionService/StartUploadSession\n'
    )
