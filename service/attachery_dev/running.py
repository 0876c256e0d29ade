"""The service with everything it needs, in one process and a data folder."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from attachery_dev.api_key import TENANT, stable_key, store_key
from attachery_dev.embedded.folder import claimed_folder
from attachery_dev.ready_file import require_writable, written
from attachery_dev.servers import DevOptions, settings_before_start, settings_with_servers
from attachery_service.app.options import storage_options
from attachery_service.app.parts import policies_of
from attachery_service.app.serve import App, open_app
from attachery_service.app.worker import background_jobs
from attachery_service.cli.ports import reserved_port
from attachery_service.cli.ready_file import READY_FILE, Ready
from attachery_service.cli.serve import announce
from attachery_service.domain.credentials import ApiKey
from attachery_service.postgres.migrate import migrate
from attachery_service.s3.bucket.rules import CorsBook, cors_rule, demanded_headers, keep, look
from attachery_service.s3.client import Storage, ensure_bucket, open_storage
from attachery_service.s3.signing.urls import S3TargetSigner
from attachery_service.settings.service import Settings

_log = structlog.get_logger("attachery.dev")

_LOCAL_ORIGINS = [
    f"{scheme}://{host}{port}"
    for scheme in ("http", "https")
    for host in ("localhost", "127.0.0.1")
    for port in ("", ":*")
]


@asynccontextmanager
async def running_dev(options: DevOptions) -> AsyncIterator[Ready]:
    """Run the service with everything it needs during the block.

    Checks the settings, the addresses and the place of the ready file before it creates anything.

    Raises ValidationError, SettingsFileError, OSError, EmbeddedServerError, and the errors of
    `migrate` and `open_app`.
    """
    data_dir = options.data_dir.absolute()
    ready_files = [data_dir / READY_FILE, *filter(None, [options.ready_file])]
    await _check(options, data_dir)
    progress = _Progress(shown=not data_dir.exists() or sys.stderr.isatty())
    async with AsyncExitStack() as stack:
        _require_free(options)
        await stack.enter_async_context(claimed_folder(data_dir))
        for path in ready_files:
            path.unlink(missing_ok=True)  # left by a killed run
        settings = await settings_with_servers(options, data_dir, stack, progress)
        progress("migrating the database")
        await migrate(settings.database_url.get_secret_value())
        await _prepare_bucket(settings, is_embedded=options.s3_endpoint is None)
        key = stable_key(data_dir / "api_key")
        await store_key(settings, key)
        progress("starting the service")
        app = await stack.enter_async_context(open_app(settings))
        await stack.enter_async_context(background_jobs(app.core))
        announce(app, settings)
        ready = _ready(settings, app, key)
        stack.enter_context(written(ready, *ready_files))
        yield ready


async def _check(options: DevOptions, data_dir: Path) -> None:
    settings = settings_before_start(options)
    policies_of(settings)
    if options.s3_endpoint is not None:
        async with open_storage(storage_options(settings)):  # fails without credentials
            pass
    if options.ready_file is not None:
        require_writable(options.ready_file, data_dir)


async def _prepare_bucket(settings: Settings, *, is_embedded: bool) -> None:
    async with open_storage(storage_options(settings)) as storage:
        await ensure_bucket(storage)
        if is_embedded:
            await _let_local_pages_upload(storage)


@dataclass(frozen=True, slots=True)
class _Progress:
    """Logs the steps of a first start, which takes long, or of one at a terminal."""

    shown: bool

    def __call__(self, step: str) -> None:
        """Log the step."""
        if self.shown:
            _log.info(step)


def _require_free(options: DevOptions) -> None:
    """Raise OSError if one of the addresses is taken."""
    for flag, address in (("listen", options.listen), ("metrics-listen", options.metrics_listen)):
        try:
            with reserved_port(address or "127.0.0.1:0"):
                pass
        except OSError as error:
            text = f"{error}; choose another with --{flag} HOST:PORT"
            hint = " (make run LISTEN=HOST:PORT)" if flag == "listen" else ""
            raise OSError(text + hint) from error


async def _let_local_pages_upload(storage: Storage) -> None:
    """Write the bucket's CORS rule for pages of this machine, unless it has one."""
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
