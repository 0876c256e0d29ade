"""`attachery dev`: the whole service on one machine, with nothing else installed."""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from attachery_service.app import App, database_options, open_app, storage_options
from attachery_service.cli.ready_file import Ready
from attachery_service.cli.serve import announce
from attachery_service.cli.signals import stop_signals
from attachery_service.config import Settings
from attachery_service.domain.credentials import ApiKey
from attachery_service.domain.identity import ALL_SCOPES, Principal
from attachery_service.embedded.folder import claimed_folder
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
    ready_file: Path | None = None
    database_url: str | None = None
    s3_endpoint: str | None = None
    s3_bucket: str = "attachery"


async def run(options: argparse.Namespace) -> int:
    asked = DevOptions(
        listen=options.listen,
        metrics_listen=options.metrics_listen,
        data_dir=options.data_dir,
        ready_file=options.ready_file,
        database_url=options.database_url,
        s3_endpoint=options.s3_endpoint,
        s3_bucket=options.s3_bucket,
    )
    with stop_signals() as stop:
        async with running_dev(asked) as ready:
            print(_welcome(ready), flush=True)
            await stop.wait()
    return 0


@asynccontextmanager
async def running_dev(options: DevOptions) -> AsyncIterator[Ready]:
    """The service with everything it needs, until the block is left."""
    data_dir = options.data_dir.absolute()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(claimed_folder(data_dir))
        if options.ready_file is not None:
            options.ready_file.unlink(missing_ok=True)  # of a run that was killed
        settings = await _settings(options, data_dir, stack)
        await migrate(settings.database_url.get_secret_value())
        async with open_storage(storage_options(settings)) as storage:
            await ensure_bucket(storage)
        key = _stable_key(data_dir / "api_key")
        await _store_key(settings, key)
        app = await stack.enter_async_context(open_app(settings, with_worker=True))
        announce(app, settings)
        ready = _ready(settings, app, key)
        stack.enter_context(ready.written_to(options.ready_file))
        yield ready


def _ready(settings: Settings, app: App, key: ApiKey) -> Ready:
    secret = settings.s3_secret_key
    return Ready(
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
    # What is wrong with them is told before anything is started.
    _settings_of(options, options.database_url or "postgresql://", _Store(options.s3_endpoint))
    database_url = options.database_url
    if database_url is None:
        database_url = await stack.enter_async_context(running_postgres(data_dir / "postgres"))
    return _settings_of(options, database_url, await _store(options, data_dir, stack))


@dataclass(frozen=True, slots=True)
class _Store:
    endpoint: str | None
    access_key: str | None = None
    secret_key: str | None = None


def _settings_of(options: DevOptions, database_url: str, store: _Store) -> Settings:
    """Raises ValidationError."""
    return Settings(
        listen=options.listen,
        metrics_listen=options.metrics_listen,
        database_url=SecretStr(database_url),
        s3_endpoint=store.endpoint,
        s3_bucket=options.s3_bucket,
        s3_access_key=store.access_key,
        s3_secret_key=SecretStr(store.secret_key) if store.secret_key else None,
    )


async def _store(options: DevOptions, data_dir: Path, stack: AsyncExitStack) -> _Store:
    if options.s3_endpoint is None:
        _bypass_proxies_on_loopback()
        store = await stack.enter_async_context(running_object_store(data_dir / "objects"))
        return _Store(store.endpoint, store.access_key, store.secret_key)
    if "AWS_SESSION_TOKEN" in os.environ:  # temporary keys: the SDK knows how to use all three
        return _Store(options.s3_endpoint)
    return _Store(
        options.s3_endpoint,
        os.environ.get("AWS_ACCESS_KEY_ID"),
        os.environ.get("AWS_SECRET_ACCESS_KEY"),
    )


def _bypass_proxies_on_loopback() -> None:
    """No proxy can reach the embedded object storage; `demo` also calls the service there."""
    excluded = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    os.environ["no_proxy"] = ",".join(filter(None, (excluded, "127.0.0.1", "localhost")))


def _stable_key(path: Path) -> ApiKey:
    """The key of this folder, made on first use; only its owner may read it."""
    known = path.read_text(encoding="ascii", errors="replace") if path.exists() else ""
    if key := ApiKey.parse(known.strip()):
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
