"""The command `attachery`."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Runs the command line; returns the exit code."""
    # The C library would write its own kind of lines between the JSON ones; what goes wrong is
    # raised as well. GRPC_VERBOSITY=error brings them back.
    os.environ.setdefault("GRPC_VERBOSITY", "none")
    try:
        from attachery_service.process import prepare  # noqa: PLC0415

        loop_factory = prepare()  # gRPC, which the next line imports, looks but once
        from attachery_service.cli.main import run  # noqa: PLC0415
    except ModuleNotFoundError as error:
        print(  # noqa: T201
            f"attachery: {error.name} is not installed; this needs pip install 'attachery[server]'"
            " ('attachery[embedded]' for dev and demo)",
            file=sys.stderr,
        )
        return 2
    return run(sys.argv[1:], loop_factory)


if __name__ == "__main__":
    sys.exit(main())
