"""The given or embedded database and object storage of `attachery dev`, as settings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import SecretStr

from attachery_dev.embedded.folder import write_secret
from attachery_dev.embedded.object_store import running_object_store
from attachery_dev.embedded.postgres import running_postgres
from attachery_service.settings.service import Settings

_log = structlog.get_logger("attachery.dev")


@dataclass(frozen=True, slots=True, kw_only=True)
class DevOptions:
    """The options of `dev`; None stands for the embedded server."""

    listen: str
    metrics_listen: str | None
    data_dir: Path
    ready_file: Path | None = None
    database_url: str | None = None
    s3_endpoint: str | None = None
    s3_bucket: str = "attachery"


@dataclass(frozen=True, slots=True)
class _Store:
    """The endpoint of object storage and its credentials."""

    endpoint: str | None
    access_key: str | None = None
    secret_key: str | None = None


def settings_before_start(options: DevOptions) -> Settings:
    """Build the settings without the addresses of embedded servers. Raises ValidationError."""
    database_url = options.database_url or "postgresql://"
    store = _Store(None) if options.s3_endpoint is None else _given_store(options)
    return _settings_of(options, database_url, store)


async def settings_with_servers(
    options: DevOptions, data_dir: Path, stack: AsyncExitStack, progress: Callable[[str], None]
) -> Settings:
    """Start the embedded servers that the options ask for, and build the settings."""
    database_url = options.database_url
    if database_url is None:
        progress("starting PostgreSQL")
        database_url = await stack.enter_async_context(running_postgres(data_dir / "postgres"))
    if options.s3_endpoint is None:
        progress("starting object storage")
    return _settings_of(options, database_url, await _store(options, data_dir, stack))


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
    if "AWS_SESSION_TOKEN" in os.environ:  # temporary keys: the SDK reads all three
        return _Store(options.s3_endpoint)
    return _Store(
        options.s3_endpoint,
        os.environ.get("AWS_ACCESS_KEY_ID"),
        os.environ.get("AWS_SECRET_ACCESS_KEY"),
    )


def _kept_port(path: Path) -> int | None:
    """Read the port of object storage in the previous run; None if there was none."""
    text = path.read_text(encoding="ascii", errors="replace") if path.exists() else ""
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,4}", text.strip()) else None


def _keep_port(path: Path, before: int | None, now: int) -> None:
    if before is not None and before != now:
        _log.warning(
            "the port of object storage is taken: URLs signed for it before no longer work",
            taken=before,
            port=now,
        )
    write_secret(path, str(now))


def _bypass_proxies_on_loopback() -> None:
    """Exclude loopback from proxies: no proxy reaches the embedded servers."""
    excluded = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    os.environ["no_proxy"] = ",".join(filter(None, (excluded, "127.0.0.1", "localhost")))
