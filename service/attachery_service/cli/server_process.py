"""One of several server processes on a port: how it reports to its supervisor, and how it ends.

The process writes its health as lines to standard output, at each change and at least once a
second. It stops at the end of file on standard input, which also occurs when the supervisor dies.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import structlog

from attachery_service.app.serve import open_app
from attachery_service.cli.signals import Stop, stop_signals
from attachery_service.rpc.services.health import Health
from attachery_service.settings.process import settle
from attachery_service.settings.service import Settings

_log = structlog.get_logger("attachery.supervisor")

SERVING = "serving"
NOT_SERVING = "not serving"

_REPORT_SECONDS = 1.0
# From SIGTERM to SIGKILL for a hung process: each second, the kernel gives it more connections.
_HUNG_GRACE = 2.0


@asynccontextmanager
async def running_server(
    environment: Mapping[str, str], grace: float
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a server process; drain it after the block, and kill it after `grace` seconds."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "attachery_service", "serve", "--supervised"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
        start_new_session=True,  # the supervisor passes on Ctrl-C of the terminal
    )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(grace):
                await process.wait()
        except TimeoutError:
            _log.error("server process killed", pid=process.pid)
        finally:
            with suppress(ProcessLookupError):
                process.kill()


async def end_hung(process: asyncio.subprocess.Process) -> None:
    """Send SIGTERM, then SIGKILL: a stopped process reacts to no other signal."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_HUNG_GRACE):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()


async def serve_supervised(settings: Settings) -> int:
    """Serve on a shared port and report to the supervisor until it closes standard input."""
    with stop_signals() as stop:
        _stop_at_end_of_input(stop)
        async with open_app(settings, share_port=True) as app:
            settle(settings)
            reporting = asyncio.create_task(_report_health(app.health))
            await stop.wait()
        reporting.cancel()  # only now: a draining process is alive
    return 0


async def _report_health(health: Health) -> None:
    """Write a line for the supervisor at each change of health, and at least once a second.

    The supervisor takes silence for a hung event loop. The write must not block: a draining or
    dead supervisor reads no more.
    """
    out = sys.stdout.fileno()
    os.set_blocking(out, False)
    while True:
        changed = health.changed
        with suppress(OSError):
            os.write(out, f"{SERVING if health.serving else NOT_SERVING}\n".encode())
        with suppress(TimeoutError):
            async with asyncio.timeout(_REPORT_SECONDS):
                await changed.wait()


def _stop_at_end_of_input(stop: Stop) -> None:
    loop, standard_input = asyncio.get_running_loop(), sys.stdin.fileno()

    def end() -> None:
        loop.remove_reader(standard_input)
        stop.request_once()

    loop.add_reader(standard_input, end)
