"""The composition root of the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from attachery_service.app.health import database_watched
from attachery_service.app.options import rate_limiter, tls_files, token_verifier
from attachery_service.app.parts import (
    Core,
    finish_background,
    log_wrong_credentials,
    open_core,
)
from attachery_service.app.wiring import Parts, wire
from attachery_service.domain.sessions import Seal
from attachery_service.observability.http_endpoint import serve_metrics
from attachery_service.rpc.methods import SERVICES
from attachery_service.rpc.server import Server, start_server
from attachery_service.rpc.services.health import Health
from attachery_service.s3.bucket.probing import probe, reach
from attachery_service.s3.client import Storage
from attachery_service.settings.service import Settings
from attachery_service.usecases.background_tasks import BackgroundTasks

_log = structlog.get_logger("attachery.app")

# In seconds, after the last call: the result of an interrupted call may still be stored.
_LEAST_BACKGROUND_TIME = 1.0


@dataclass(frozen=True, slots=True)
class App:
    """A running server. Its health is NOT_SERVING while it drains."""

    listen: str
    metrics_listen: str | None
    seal: Seal
    is_prefetching: bool
    health: Health
    core: Core

    @property
    def background(self) -> BackgroundTasks:
        return self.core.background


@asynccontextmanager
async def open_app(settings: Settings, *, share_port: bool = False) -> AsyncIterator[App]:
    """Serve during the block; at its end drain, and close everything in reverse order.

    `share_port`: other processes may listen on the same port. Raises DatabaseUnavailable,
    SchemaError, StorageUnavailable, StorageMisconfigured, OSError, SettingsFileError,
    RateLimitStoreError.
    """
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(open_core(settings))
        seal, health = await _choose_seal(settings, core.storage), Health(SERVICES)
        metrics_listen = stack.enter_context(
            serve_metrics(core.registry, settings.metrics_listen, lambda: health.serving)
        )
        limiter = await stack.enter_async_context(rate_limiter(settings, core.registry))
        verifier = await stack.enter_async_context(token_verifier(settings))
        server = await start_server(
            wire(Parts(core, seal, health, limiter, verifier)),
            settings.listen,
            tls_files(settings),
            share_port=share_port,
        )
        stack.push_async_callback(_drain, core, health, server)
        watched = database_watched(core.database, health, settings.health_interval)
        await stack.enter_async_context(watched)
        yield App(
            listen=f"{settings.listen.rpartition(':')[0]}:{server.port}",
            metrics_listen=metrics_listen,
            seal=seal,
            is_prefetching=server.is_prefetching,
            health=health,
            core=core,
        )


async def _choose_seal(settings: Settings, storage: Storage) -> Seal:
    if settings.seal != "auto":
        log_wrong_credentials(await reach(storage))
        return Seal(settings.seal)
    return (await probe(storage)).seal


async def _drain(core: Core, health: Health, server: Server) -> None:
    """Set health to NOT_SERVING, wait for load balancers to notice, then for the open calls."""
    settings, loop = core.settings, asyncio.get_running_loop()
    _log.info("draining")
    health.set_serving(serving=False)
    await asyncio.sleep(settings.drain_delay)
    end = loop.time() + settings.drain_time
    if late := await server.stop(settings.drain_time):
        _log.warning("calls cut off", calls=late, drain_time=settings.drain_time)
    await finish_background(core.background, max(end - loop.time(), _LEAST_BACKGROUND_TIME))
