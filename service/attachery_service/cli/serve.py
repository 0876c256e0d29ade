"""`attachery serve`: production; everything from the settings."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from contextlib import suppress

import structlog

from attachery_service.app.serve import App, open_app
from attachery_service.cli.signals import Stop, stop_signals
from attachery_service.cli.supervisor import NOT_SERVING, REPORT_SECONDS, SERVING, supervise
from attachery_service.observability.logs import configure_logs
from attachery_service.rpc.services.health import Health
from attachery_service.settings.process import in_force, settle
from attachery_service.settings.service import Settings

_log = structlog.get_logger("attachery.serve")


async def run(options: argparse.Namespace) -> int:
    settings = Settings()
    configure_logs(settings.log_level)
    if options.worker:
        return await _work(settings)
    if options.workers > 1:
        return await supervise(settings, options.workers)
    with stop_signals() as stop:
        async with open_app(settings) as app:
            settle(settings)
            announce(app, settings)
            await stop.wait()
    return 0


def announce(app: App, settings: Settings) -> None:
    """Tells once that calls are taken, and of what may depend on this machine."""
    where = {"listen": app.listen, "metrics": app.metrics_listen}
    told = {"seal": app.seal.value, "grpc_accept_prefetch": app.is_prefetching}
    tls = settings.tls_certificate is not None
    _log.info("serving", **where, **told, tls=tls, **in_force())


async def _work(settings: Settings) -> int:
    """As one of several, see workers.py."""
    with stop_signals() as stop:
        _stop_at_end_of_input(stop)
        async with open_app(settings, share_port=True) as app:
            settle(settings)
            reporting = asyncio.create_task(_report_health(app.health))
            await stop.wait()
        reporting.cancel()  # only now: a process that drains is alive
    return 0


async def _report_health(health: Health) -> None:
    """Writes a line for the supervisor at each change of health, and at least once a second.

    The supervisor takes silence for a hung event loop. It may read no more, because it drains or
    has died; this must not block the event loop.
    """
    out = sys.stdout.fileno()
    os.set_blocking(out, False)
    while True:
        changed = health.changed
        with suppress(OSError):
            os.write(out, f"{SERVING if health.serving else NOT_SERVING}\n".encode())
        with suppress(TimeoutError):
            async with asyncio.timeout(REPORT_SECONDS):
                await changed.wait()


def _stop_at_end_of_input(stop: Stop) -> None:
    loop, told = asyncio.get_running_loop(), sys.stdin.fileno()

    def end() -> None:
        loop.remove_reader(told)
        stop.ask_once()

    loop.add_reader(told, end)
