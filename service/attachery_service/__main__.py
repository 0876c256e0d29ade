"""`python -m attachery_service`: the command line `attachery`, also without an installation."""

from __future__ import annotations

import sys

from attachery_client.cli.main import main as run_command_line
from attachery_service.commands import COMMANDS


def main() -> int:
    """Run the command line; return the exit code."""
    return run_command_line(COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
