"""`attachery worker`: what time brings; any number of them beside any number of `serve`."""

from __future__ import annotations

import argparse
import os

from attachery_service.app.worker import open_worker
from attachery_service.cli.signals import stop_signals
from attachery_service.observability.logs import configure_logs
from attachery_service.settings.service import Settings

# Nobody waits for a sweep; calls served on the same machine come first.
_NICENESS = 10


async def run(_: argparse.Namespace) -> int:
    settings = Settings()
    configure_logs(settings.log_level)
    os.nice(_NICENESS)
    with stop_signals() as stop:
        async with open_worker(settings):
            await stop.wait()
    return 0
