"""The service's commands, registered as entry points in the group `attachery.commands`.

Loading this module imports the standard library only.
"""

from __future__ import annotations

import os
import signal
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True, slots=True)
class ServiceCommand:
    """A command implemented by the function `add_arguments` of a module.

    The module is imported when the command starts: process-wide settings must be applied first.
    """

    name: str
    summary: str
    module: str

    def __call__(self, arguments: Sequence[str]) -> int:
        """Apply the process-wide settings, then run; return the exit code."""
        # gRPC's C library writes lines of its own format between the JSON lines. Its failures are
        # raised as exceptions as well; GRPC_VERBOSITY=error restores the lines.
        os.environ.setdefault("GRPC_VERBOSITY", "none")
        from attachery_service.settings.process import prepare  # noqa: PLC0415

        loop_factory = prepare()  # before gRPC is imported, which the next line does
        from attachery_service.cli.main import run  # noqa: PLC0415

        parser = self.parser()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return run(parser, arguments, loop_factory)

    def parser(self) -> ArgumentParser:
        """Import the module and build the command's parser."""
        parser = ArgumentParser(
            prog=f"attachery {self.name}", description=self.summary, allow_abbrev=False
        )
        import_module(self.module).add_arguments(parser)
        return parser


def _command(name: str, summary: str) -> ServiceCommand:
    return ServiceCommand(name, summary, f"attachery_service.cli.{name}")


serve = _command("serve", "serve the API, configured by ATTACHERY_* variables")
worker = _command("worker", "run the background jobs: expire, complete, purge and clean up")
migrate = _command("migrate", "bring the database's schema up to date")
check = _command("check", "show the state of the database and object storage")
audit = _command("audit", "compare the database with object storage")
bucket = _command("bucket", "prepare the bucket")
keys = _command("keys", "manage API keys")

COMMANDS = {
    command.name: command for command in (serve, worker, migrate, check, audit, bucket, keys)
}
