"""`attachery serve`: serve the API in production, configured by the environment only."""

from __future__ import annotations

import argparse
from argparse import ArgumentParser, ArgumentTypeError, Namespace

import structlog

from attachery_service.app.serve import App, open_app
from attachery_service.cli.server_process import serve_supervised
from attachery_service.cli.signals import stop_signals
from attachery_service.cli.supervisor import supervise
from attachery_service.observability.logs import configure_logs
from attachery_service.settings.process import in_force, settle
from attachery_service.settings.service import Settings

_log = structlog.get_logger("attachery.serve")

_MAX_PROCESSES = 256


def add_arguments(parser: ArgumentParser) -> None:
    parser.set_defaults(run=run)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--processes", type=_count, default=1, metavar="N", help="processes on one port; 1"
    )
    kind.add_argument("--workers", type=_count, metavar="N", help="former name of --processes")
    # For the processes that the supervisor starts.
    kind.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= _MAX_PROCESSES):
        raise ArgumentTypeError(f"must be 1 to {_MAX_PROCESSES}")
    return int(text)


async def run(options: Namespace) -> int:
    """Serve until a signal stops the process."""
    settings = Settings()
    configure_logs(settings.log_level)
    if options.supervised:
        return await serve_supervised(settings)
    if options.workers is not None:
        _log.warning("flag renamed", former="--workers", current="--processes")
    processes = options.workers or options.processes
    if processes > 1:
        return await supervise(settings, processes)
    with stop_signals() as stop:
        async with open_app(settings) as app:
            settle(settings)
            announce(app, settings)
            await stop.wait()
    return 0


def announce(app: App, settings: Settings) -> None:
    """Log once that the server accepts calls, with the choices that depend on the machine."""
    where = {"listen": app.listen, "metrics": app.metrics_listen}
    told = {"seal": app.seal.value, "grpc_accept_prefetch": app.is_prefetching}
    tls = settings.tls_certificate is not None
    _log.info("serving", **where, **told, tls=tls, **in_force())
