"""`attachery worker`: the process that runs background jobs; any number may run at once."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from attachery_service.app.worker import open_worker
from attachery_service.cli.signals import stop_signals
from attachery_service.observability.logs import configure_logs
from attachery_service.settings.service import Settings

# Background jobs yield the processor to calls on the same machine.
_NICENESS = 10


def add_arguments(parser: ArgumentParser) -> None:
    parser.set_defaults(run=run)


async def run(_: Namespace) -> int:
    """Run the background jobs until a signal stops the process."""
    settings = Settings()
    configure_logs(settings.log_level)
    os.nice(_NICENESS)
    with stop_signals() as stop:
        async with open_worker(settings):
            await stop.wait()
    return 0
