"""The command `attachery`."""

from __future__ import annotations

import sys


def main() -> int:
    """Runs the command line; returns the exit code."""
    try:
        from attachery_service.cli.main import run  # noqa: PLC0415
    except ImportError as error:
        missing = error.name or "a package"
        print(  # noqa: T201
            f"attachery: {missing} is not installed; the server's commands need\n"
            "  pip install 'attachery[server]'      (or 'attachery[embedded]' for 'attachery dev')",
            file=sys.stderr,
        )
        return 2
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
