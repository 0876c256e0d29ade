"""`attachery dev`: the whole service on one machine, with nothing else installed."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import SecretStr

from attachery_service.app.options import database_options, storage_options
from attachery_service.app.parts import policies_of
from attachery_service.app.serve import App, open_app
from attachery_service.app.worker import background_jobs
from attachery_service.cli.ports import reserved_port
from attachery_service.cli.ready_file import READY_FILE, Ready, require_writable
from attachery_service.cli.serve import announce
from attachery_service.cli.signals import stop_signals
from attachery_service.domain.credentials import ApiKey, StoredKey
from attachery_service.domain.identity import ALL_SCOPES, Principal
from attachery_service.embedded.folder import claimed_folder, write_secret
from attachery_service.embedded.object_store import running_object_store
from attachery_service.embedded.postgres import running_postgres
from attachery_service.observability.logs import configure_logs
from attachery_service.postgres.database import open_database
from attachery_service.postgres.migrate import migrate
from attachery_service.postgres.repositories.api_keys import PostgresApiKeys
from attachery_service.s3.bucket.rules import CorsBook, cors_rule, demanded_headers, keep, look
from attachery_service.s3.client import Storage, ensure_bucket, open_storage
from attachery_service.s3.signing.urls import S3TargetSigner
from attachery_service.settings.service import Settings

_log = structlog.get_logger("attachery.dev")

TENANT = "demo"

_LOCAL_ORIGINS = [
    f"{scheme}://{host}{port}"
    for scheme in ("http", "https")
    for host in ("localhost", "127.0.0.1")
    for port in ("", ":*")
]


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
    configure_logs(settings_before_start(asked).log_level, human=sys.stderr.isatty())
    with stop_signals() as stop:
        async with running_dev(asked) as ready:
            print(welcome(ready, asked.data_dir), flush=True)
            await stop.wait()
            return 0
    _log.info("stopped before it served")
    return 0


@asynccontextmanager
async def running_dev(options: DevOptions) -> AsyncIterator[Ready]:
    """The service with everything it needs, until the block is left.

    Checks the settings, the addresses and the place of the ready file before it creates anything.

    Raises ValidationError, SettingsFileError, OSError, EmbeddedServerError, and what `migrate`
    and `open_app` do.
    """
    checked = settings_before_start(options)
    policies_of(checked)
    if options.s3_endpoint is not None:
        async with open_storage(storage_options(checked)):  # are there credentials?
            pass
    data_dir = options.data_dir.absolute()
    ready_files = [data_dir / READY_FILE, *filter(None, [options.ready_file])]
    if options.ready_file is not None:
        require_writable(options.ready_file, data_dir)
    progress = _Progress(shown=not data_dir.exists() or sys.stderr.isatty())
    async with AsyncExitStack() as stack:
        _require_free(options)
        await stack.enter_async_context(claimed_folder(data_dir))
        for path in ready_files:
            path.unlink(missing_ok=True)  # of a run that was killed
        settings = await _settings(options, data_dir, stack, progress)
        progress("migrating the database")
        await migrate(settings.database_url.get_secret_value())
        async with open_storage(storage_options(settings)) as storage:
            await ensure_bucket(storage)
            if options.s3_endpoint is None:
                await _let_local_pages_upload(storage)
        key = _stable_key(data_dir / "api_key")
        await _store_key(settings, key)
        progress("starting the service")
        app = await stack.enter_async_context(open_app(settings))
        await stack.enter_async_context(background_jobs(app.core))
        announce(app, settings)
        ready = _ready(settings, app, key)
        stack.enter_context(ready.written_to(*ready_files))
        yield ready


@dataclass(frozen=True, slots=True)
class _Progress:
    """Logs the steps of a start that takes long, or that somebody watches."""

    shown: bool

    def __call__(self, step: str) -> None:
        if self.shown:
            _log.info(step)


def settings_before_start(options: DevOptions) -> Settings:
    """Settings as they will be, but for the embedded servers. Raises ValidationError."""
    database_url = options.database_url or "postgresql://"
    store = _Store(None) if options.s3_endpoint is None else _given_store(options)
    return _settings_of(options, database_url, store)


def _require_free(options: DevOptions) -> None:
    """Raises OSError if one of the addresses is taken."""
    for flag, address in (("listen", options.listen), ("metrics-listen", options.metrics_listen)):
        try:
            with reserved_port(address or "127.0.0.1:0"):
                pass
        except OSError as error:
            text = f"{error}; choose another with --{flag} HOST:PORT"
            hint = " (make run LISTEN=HOST:PORT)" if flag == "listen" else ""
            raise OSError(text + hint) from error


async def _let_local_pages_upload(storage: Storage) -> None:
    """Writes the bucket's CORS rule for pages of this machine, unless there is one of ours."""
    headers = await demanded_headers(S3TargetSigner(storage))
    rule = cors_rule(storage.options, _LOCAL_ORIGINS, headers)
    found = await look(storage, CorsBook(storage), [rule])
    if not any(other.get("ID") == rule["ID"] for other in found.rules):
        await keep(storage, CorsBook(storage), [rule])


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


async def _settings(
    options: DevOptions, data_dir: Path, stack: AsyncExitStack, progress: _Progress
) -> Settings:
    """Settings for the given or the embedded servers, which are started here."""
    database_url = options.database_url
    if database_url is None:
        progress("starting PostgreSQL")
        database_url = await stack.enter_async_context(running_postgres(data_dir / "postgres"))
    if options.s3_endpoint is None:
        progress("starting the object store")
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
        port_file = data_dir / "object_store_port"
        kept = _kept_port(port_file)
        store = await stack.enter_async_context(running_object_store(data_dir / "objects", kept))
        _keep_port(port_file, kept, int(store.endpoint.rpartition(":")[2]))
        return _Store(store.endpoint, store.access_key, store.secret_key)
    return _given_store(options)


def _given_store(options: DevOptions) -> _Store:
    if "AWS_SESSION_TOKEN" in os.environ:  # temporary keys: the SDK knows how to use all three
        return _Store(options.s3_endpoint)
    return _Store(
        options.s3_endpoint,
        os.environ.get("AWS_ACCESS_KEY_ID"),
        os.environ.get("AWS_SECRET_ACCESS_KEY"),
    )


def _kept_port(path: Path) -> int | None:
    """The object store's port of the run before, None if there was none."""
    text = path.read_text(encoding="ascii", errors="replace") if path.exists() else ""
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,4}", text.strip()) else None


def _keep_port(path: Path, before: int | None, now: int) -> None:
    if before is not None and before != now:
        _log.warning(
            "the object store's port is taken, it got another: URLs signed before do not work",
            taken=before,
            port=now,
        )
    write_secret(path, str(now))


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


def welcome(ready: Ready, data_dir: Path) -> str:
    """What to paste next, and where everything is."""
    start = '{"tenant_id": "demo", "filename": "a.txt", "content_type": "text/plain"}'
    grpcurl = _grpcurl()
    return (
        f"\nAttachery serves on {ready.listen}. Paste into another terminal:\n\n"
        f"export ATTACHERY={ready.listen} KEY={ready.api_key}\n"
        f'{grpcurl} -plaintext "$ATTACHERY" list\n'
        f"{grpcurl} -plaintext -H \"authorization: Bearer $KEY\" -d '{start}' "
        '"$ATTACHERY" attachery.v1.UploadSessionService/StartUploadSession\n'
        "make demo FILE=README.md    # one file through the whole flow, in a place of its own\n\n"
        f"metrics       http://{ready.metrics}/metrics\n"
        f"object store  {ready.s3_endpoint or 'AWS'}, bucket {ready.s3_bucket}\n"
        f"data folder   {data_dir.absolute()}\n"
        f"ready file    {data_dir.absolute() / READY_FILE}"
        "  (`attachery check`, `keys`, `audit` and `bucket` find it from here)\n\n"
        "Ctrl-C stops it; the data stays.\n"
    )


def _grpcurl() -> str:
    """The one of this environment, which need not be on PATH."""
    beside = Path(sys.executable).with_name("grpcurl")
    return shlex.quote(str(beside)) if beside.exists() else "grpcurl"
