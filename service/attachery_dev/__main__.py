"""`python -m attachery_dev`: the commands `dev` and `demo`, also without an installation."""

from __future__ import annotations

import sys

from attachery_client.cli.main import main
from attachery_dev.commands import COMMANDS

if __name__ == "__main__":
    sys.exit(main(COMMANDS))
